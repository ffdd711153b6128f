"""Stream FIFO that keeps payload shapes."""

from amaranth import *
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from mla_hw.cycles.queue import QUEUE_TIMING
from mla_hw.errors import ConfigError

__all__ = ["Queue", "has_room"]


class Queue(wiring.Component):
    """First-in first-out stream buffer; the oldest payload falls through to the output.

    The latency is one cycle and the throughput one payload per cycle (:mod:`mla_hw.cycles.queue`).
    ``i.ready`` does not depend on ``o.ready``: a full queue takes nothing in the cycle in which it
    gives, so that full throughput needs a depth of at least 2.

    For few payloads, which lie in LUT RAM; a long one is a :class:`BlockQueue`. The read port looks
    ahead to the payload that will be the oldest one in the next cycle.

    Parameters
    ----------
    shape : shape-like
        Shape of the payload.
    depth : int
        Payloads that it holds, at least 1.

    Members
    -------
    i : :py:`In(stream.Signature(shape))`
    o : :py:`Out(stream.Signature(shape))`
    level : :py:`Out(range(depth + 1))`
        Payloads held.

    Raises
    ------
    ConfigError
        If the depth is less than 1.
    """

    i: stream.Interface
    o: stream.Interface
    level: Signal

    def __init__(self, shape, depth: int) -> None:
        if depth < 1:
            raise ConfigError(f"Depth of a queue must be at least 1, not {depth}")
        self.shape = shape
        self.depth = depth
        self.timing = QUEUE_TIMING
        super().__init__({
            "i": In(stream.Signature(shape)),
            "o": Out(stream.Signature(shape)),
            "level": Out(range(depth + 1)),
        })

    def elaborate(self, platform):
        m = Module()

        # A memory of depth 1 would have no address.
        depth = max(self.depth, 2)
        # What is written in the same cycle goes around the memory, see below.
        attrs: dict = {"no_rw_check": 1}
        storage: memory.Memory = memory.Memory(shape=self.shape, depth=depth, init=[], attrs=attrs)
        m.submodules.memory = storage
        w_port = storage.write_port()
        r_port = storage.read_port()

        # The incremented address is kept, so that only a choice lies between `o.ready` and memory.
        oldest = Signal(range(depth))
        following = Signal(range(depth), init=1)
        next_oldest = Signal(range(depth))
        push = self.i.valid & self.i.ready
        pop = self.o.valid & self.o.ready
        m.d.comb += [
            w_port.en.eq(push),
            w_port.data.eq(self.i.payload),
            next_oldest.eq(Mux(pop, following, oldest)),
            r_port.addr.eq(next_oldest),
        ]
        m.d.sync += oldest.eq(next_oldest)
        with m.If(pop):
            m.d.sync += following.eq(_increment(following, depth))
        with m.If(push):
            m.d.sync += w_port.addr.eq(_increment(w_port.addr, depth))

        # Payloads that were there before stay; else the read port needs what is written in the
        # same cycle, which it does not see.
        kept = Signal()
        m.d.comb += kept.eq((self.level > 1) | ((self.level == 1) & ~pop))
        fresh = Signal(self.shape, reset_less=True)
        use_fresh = Signal()
        m.d.sync += [
            fresh.eq(self.i.payload),
            use_fresh.eq(~kept),
        ]
        with m.If(use_fresh):
            m.d.comb += self.o.payload.eq(fresh)
        with m.Else():
            m.d.comb += self.o.payload.eq(r_port.data)

        m.d.sync += self.level.eq(self.level + push - pop)
        ready, valid = Signal(init=1), Signal()
        m.d.sync += [ready.eq(has_room(self.level, self.depth, push, pop)), valid.eq(push | kept)]
        m.d.comb += [self.i.ready.eq(ready), self.o.valid.eq(valid)]

        return m


def has_room(level: Value, depth: int, push: Value, pop: Value) -> Value:
    """Return whether a queue has room in the next cycle; for a register, as all look at it."""
    return pop | ((level != depth) & ((level != depth - 1) | ~push))


def _increment(address: Value, depth: int) -> Value:
    """Step to the next address of a ring."""
    return Mux(address == depth - 1, 0, address + 1)
