"""Stream FIFO in block RAM."""

from amaranth import *
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from mla_hw.cycles.block_queue import BLOCK_QUEUE_TIMING
from mla_hw.errors import ConfigError
from rtl_gen.units.queue import has_room

__all__ = ["BlockQueue"]

#: For one payload per cycle.
_LEAST_DEPTH = BLOCK_QUEUE_TIMING.latency + 2
#: Places for what has been read ahead; one is free again five cycles after it has been given away.
_AHEAD = 8


class BlockQueue(wiring.Component):
    """First-in first-out stream buffer: block RAM, and a few places behind it.

    As :class:`rtl_gen.units.queue.Queue`, but for many payloads. The latency is
    :py:`timing.latency`, the throughput one payload per cycle. ``i.ready`` does not depend on
    ``o.ready``.

    Parameters
    ----------
    shape : shape-like
        Shape of the payload.
    depth : int
        Payloads that it holds, the one at the output included; at least 7, as each keeps its place
        for six cycles.

    Members
    -------
    i : :py:`In(stream.Signature(shape))`
    o : :py:`Out(stream.Signature(shape))`

    Raises
    ------
    ConfigError
        If the depth is less than 7.
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

        # What is written can be read from the next cycle on. It is read as long as there is a place
        # for it in LUT RAM, and moves on from there as soon as the output is free. Nothing but
        # registers chooses an address, and nothing but a register follows a memory.
        few: memory.Memory = memory.Memory(shape=self.shape, depth=_AHEAD, init=[])
        m.submodules.few = few
        place, first = few.write_port(), few.read_port(domain="comb")
        unread = Signal(range(self.depth + 1))
        free, held = Signal(range(_AHEAD + 1), init=_AHEAD), Signal(range(_AHEAD + 1))
        readable, credit, waiting = Signal(), Signal(init=1), Signal()
        fetch, fetched, load, taken = Signal(), Signal(), Signal(), Signal()
        read, payload = (Signal(self.shape, name=n, reset_less=True) for n in ("read", "payload"))
        take = load & waiting
        m.d.comb += [
            fetch.eq(readable & credit),
            place.data.eq(read),
            load.eq(~self.o.valid | self.o.ready),
            self.o.payload.eq(payload),
        ]
        m.d.sync += [
            unread.eq(unread + push - fetch),
            readable.eq(push | _remains(unread, fetch)),
            r_port.addr.eq(r_port.addr + fetch),
            fetched.eq(fetch),
            read.eq(r_port.data),
            place.en.eq(fetched),
            place.addr.eq(place.addr + place.en),
            held.eq(held + place.en - take),
            waiting.eq(place.en | _remains(held, take)),
            taken.eq(take),
            free.eq(free + taken - fetch),
            credit.eq(taken | _remains(free, fetch)),
        ]
        with m.If(load):
            m.d.sync += [
                self.o.valid.eq(waiting),
                payload.eq(first.data),
                first.addr.eq(first.addr + waiting),
            ]

        return m


def _remains(count: Value, taken: Value) -> Value:
    """Return whether something is left of what is counted."""
    return (count > 1) | ((count == 1) & ~taken)
