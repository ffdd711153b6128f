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
_LEAST_DEPTH = BLOCK_QUEUE_TIMING.latency + 1


class BlockQueue(wiring.Component):
    """First-in first-out stream buffer with a register behind its memory.

    As :class:`rtl_gen.units.queue.Queue`, but nothing but a register follows the memory, which is
    slow. The latency is :py:`timing.latency`, the throughput one payload per cycle. ``i.ready``
    does not depend on ``o.ready``.

    Parameters
    ----------
    shape : shape-like
        Shape of the payload.
    depth : int
        Payloads that it holds, the one at the output included; at least 4, as each keeps its place
        for three cycles.

    Members
    -------
    i : :py:`In(stream.Signature(shape))`
    o : :py:`Out(stream.Signature(shape))`

    Raises
    ------
    ConfigError
        If the depth is less than 4.
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
        push, pop = Signal(), Signal()
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
            level.eq(level + push - pop),
            ready.eq(has_room(level, self.depth, push, pop)),
        ]

        # Two stages that move on as soon as the next one does: the memory's output and a register.
        # What is written can be read from the next cycle on.
        # `unread` counts what has been fetched a cycle late, because that comes late in the cycle.
        unread = Signal(range(self.depth + 2))
        readable, loaded, fetched = Signal(), Signal(), Signal()
        load, fetch = Signal(), Signal()
        payload = Signal(self.shape, reset_less=True)
        m.d.comb += [
            load.eq(~self.o.valid | self.o.ready),
            r_port.en.eq(load | ~loaded),
            fetch.eq(r_port.en & readable),
            self.o.payload.eq(payload),
        ]
        m.d.sync += [
            fetched.eq(fetch),
            unread.eq(unread + push - fetched),
            readable.eq(push | (unread > 1 + fetched) | ((unread == 1 + fetched) & ~fetch)),
        ]
        with m.If(r_port.en):
            m.d.sync += [loaded.eq(readable), r_port.addr.eq(r_port.addr + readable)]
        with m.If(load):
            m.d.sync += [payload.eq(r_port.data), self.o.valid.eq(loaded)]

        return m
