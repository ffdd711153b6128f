"""Stream FIFO in block RAM."""

from amaranth import *
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from mla_hw.cycles.block_queue import BLOCK_QUEUE_TIMING

__all__ = ["BlockQueue"]


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
        Payloads that it holds, at least 2, the one at the output included.

    Members
    -------
    i : :py:`In(stream.Signature(shape))`
    o : :py:`Out(stream.Signature(shape))`
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, shape, depth: int) -> None:
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
        push, pop, fetch = Signal(), Signal(), Signal()
        level = Signal(range(self.depth + 1))
        m.d.comb += [
            self.i.ready.eq(level != self.depth),
            push.eq(self.i.valid & self.i.ready),
            pop.eq(self.o.valid & self.o.ready),
            w_port.en.eq(push),
            w_port.data.eq(self.i.payload),
        ]
        m.d.sync += [
            w_port.addr.eq(w_port.addr + push),
            level.eq(level + push - pop),
        ]

        # A payload can be read from the cycle after its write on, and is there in the next one.
        written = Signal()
        readable = Signal(range(self.depth + 1))
        # The incremented address is kept, so that only a choice lies between `o.ready` and memory.
        oldest, following = Signal.like(r_port.addr), Signal.like(r_port.addr, init=1)
        m.d.comb += [
            fetch.eq((readable != 0) & (~self.o.valid | self.o.ready)),
            r_port.addr.eq(Mux(fetch, following, oldest)),
        ]
        payload = Signal(self.shape, reset_less=True)
        m.d.comb += self.o.payload.eq(payload)
        m.d.sync += [
            written.eq(push),
            readable.eq(readable + written - fetch),
            oldest.eq(r_port.addr),
            following.eq(following + fetch),
        ]
        with m.If(fetch):
            m.d.sync += [payload.eq(r_port.data), self.o.valid.eq(1)]
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)

        return m
