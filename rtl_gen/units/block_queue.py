"""Stream FIFO in block RAM."""

from amaranth import *
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from mla_hw.cycles.block_queue import BLOCK_QUEUE_TIMING
from mla_hw.errors import ConfigError
from rtl_gen.units.queue import Queue, has_room

__all__ = ["BlockQueue"]

#: For one payload per cycle.
_LEAST_DEPTH = BLOCK_QUEUE_TIMING.latency + 2
#: Payloads that are read ahead, as a place is free again four cycles after it has been given away.
_AHEAD = 4


class BlockQueue(wiring.Component):
    """First-in first-out stream buffer: a long memory, and a short :class:`Queue` behind it.

    As :class:`rtl_gen.units.queue.Queue`, but nothing but a register follows the block RAM, which
    is slow. The latency is :py:`timing.latency`, the throughput one payload per cycle. ``i.ready``
    does not depend on ``o.ready``.

    Parameters
    ----------
    shape : shape-like
        Shape of the payload.
    depth : int
        Payloads that it holds, the one at the output included; at least 6, as each keeps its place
        for five cycles.

    Members
    -------
    i : :py:`In(stream.Signature(shape))`
    o : :py:`Out(stream.Signature(shape))`

    Raises
    ------
    ConfigError
        If the depth is less than 6.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, shape, depth: int) -> None:
        if depth < _LEAST_DEPTH:
            raise ConfigError(
                f"Depth of a block queue must be at least {_LEAST_DEPTH}, not {depth}"
            )
        self.shape = shape
        self.depth = depth
        self.timing = BLOCK_QUEUE_TIMING
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()

        # No payload is read in the cycle in which it is written.
        attrs: dict = {"no_rw_check": 1}
        storage: memory.Memory = memory.Memory(
            shape=self.shape, depth=1 << ceil_log2(self.depth), init=[], attrs=attrs
        )
        m.submodules.memory = storage
        w_port, r_port = storage.write_port(), storage.read_port()
        push, pop, popped = Signal(), Signal(), Signal()
        # A place is free a cycle late, because `o.ready` comes late in the cycle.
        level = Signal(range(self.depth + 1))
        ready = Signal(init=1)
        m.d.comb += [
            self.i.ready.eq(ready),
            push.eq(self.i.valid & self.i.ready),
            pop.eq(self.o.valid & self.o.ready),
            w_port.en.eq(push),
            w_port.data.eq(self.i.payload),
        ]
        m.d.sync += [
            w_port.addr.eq(w_port.addr + push),
            popped.eq(pop),
            level.eq(level + push - popped),
            ready.eq(has_room(level, self.depth, push, popped)),
        ]

        # What is written can be read from the next cycle on. It is read as long as there is room
        # behind the memory, which is known from registers alone, so that no path leads from
        # `o.ready` to the memory.
        unread = Signal(range(self.depth + 1))
        free = Signal(range(_AHEAD + 1), init=_AHEAD)
        readable, credit, fetch = Signal(), Signal(init=1), Signal()
        m.submodules.ahead = ahead = Queue(self.shape, _AHEAD)
        fetched, payload = Signal(), Signal(self.shape, reset_less=True)
        m.d.comb += [
            fetch.eq(readable & credit),
            ahead.i.payload.eq(payload),
            self.o.payload.eq(ahead.o.payload),
            self.o.valid.eq(ahead.o.valid),
            ahead.o.ready.eq(self.o.ready),
        ]
        m.d.sync += [
            unread.eq(unread + push - fetch),
            readable.eq(push | _remains(unread, fetch)),
            free.eq(free + pop - fetch),
            credit.eq(pop | _remains(free, fetch)),
            r_port.addr.eq(r_port.addr + fetch),
            fetched.eq(fetch),
            ahead.i.valid.eq(fetched),
            payload.eq(r_port.data),
        ]

        return m


def _remains(count: Value, taken: Value) -> Value:
    """Return whether something is left of what is counted."""
    return (count > 1) | ((count == 1) & ~taken)
