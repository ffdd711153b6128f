"""Event counters with a common latch."""

from amaranth import *
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from mla_hw.cycles.counters import EVENT_LATENCY, VISIT_LATENCY
from mla_hw.errors import ConfigError
from rtl_gen.pipeline import delay

__all__ = ["Counters"]

_BITS = 64
#: Counters among which one cycle chooses: 2 ** 3.
_GROUP_BITS = 3


class Counters(wiring.Component):
    """Count events in 64 bits each; sample all counters in the same cycle.

    Wide counters are small in memory and large in registers, so each has only a few bits in
    registers. They are added to its 64 bits in memory, and start anew, when its turn comes: one
    counter per cycle. A latch holds all the small counts of its cycle; in the round that follows,
    their sums with the memory go to a second memory. :mod:`mla_hw.cycles.counters` says how long
    that takes.

    Parameters
    ----------
    n_counters : int
        At least ``VISIT_LATENCY``, which is what an addition takes.

    Members
    -------
    count : :py:`In(n_counters)`
        Events of this cycle, a bit per counter.
    clear : :py:`In(1)`
        All counters are 0 in the next cycle; this cycle's events are not counted.
    latch : :py:`In(1)`
        Sample all counters, with the events up to the cycle before.
    busy : :py:`Out(1)`
        Sampled values are not complete yet.
    address : :py:`In(range(n_counters))`
        Counter whose sampled value is read.
    value : :py:`Out(64)`
        Its value, one cycle later.

    Raises
    ------
    ConfigError
        If there are fewer counters.
    """

    count: Signal
    clear: Signal
    latch: Signal
    busy: Signal
    address: Signal
    value: Signal

    def __init__(self, n_counters: int) -> None:
        if n_counters < VISIT_LATENCY:
            raise ConfigError(f"n_counters must be at least {VISIT_LATENCY}, not {n_counters}")
        self.n_counters = n_counters
        super().__init__({
            "count": In(n_counters),
            "clear": In(1),
            "latch": In(1),
            "busy": Out(1),
            "address": In(range(n_counters)),
            "value": Out(_BITS),
        })

    def elaborate(self, platform):
        m = Module()

        n_counters = self.n_counters
        totals: memory.Memory = memory.Memory(shape=_BITS, depth=n_counters, init=[])
        sampled: memory.Memory = memory.Memory(shape=_BITS, depth=n_counters, init=[])
        m.submodules.totals = totals
        m.submodules.sampled = sampled
        total_w, total_r = totals.write_port(), totals.read_port()
        sample_w, sample_r = sampled.write_port(), sampled.read_port()
        m.d.comb += [sample_r.addr.eq(self.address), self.value.eq(sample_r.data)]

        # Between two visits a counter counts n_counters events at most.
        small = data.ArrayLayout(range(n_counters + 1), n_counters)
        recent: data.View = data.View(small, Signal(small.size))
        held: data.View = data.View(small, Signal(small.size))
        turn = Signal(range(n_counters))
        m.d.sync += turn.eq(Mux(turn == n_counters - 1, 0, turn + 1))
        # Events come from all over the core.
        count, clear, latch = (
            delay(m, port, EVENT_LATENCY, name, reset_less=False)
            for name, port in (("count", self.count), ("clear", self.clear), ("latch", self.latch))
        )
        for i in range(n_counters):
            visited = turn == i
            m.d.sync += recent[i].eq(Mux(visited, 0, recent[i]) + count[i])
            with m.If(clear):
                m.d.sync += recent[i].eq(0)
            with m.If(latch):
                m.d.sync += held[i].eq(Mux(visited, 0, recent[i]))

        # Visits that are left until every counter has been sampled, or cleared; a total that waits
        # to be cleared at the latch is not part of the sample, one that is cleared later is.
        to_sample = Signal(range(n_counters + 1))
        to_clear = Signal(range(n_counters + 1))
        to_ignore = Signal(range(n_counters + 1))
        for left in (to_sample, to_clear, to_ignore):
            with m.If(left != 0):
                m.d.sync += left.eq(left - 1)
        with m.If(latch):
            m.d.sync += [
                to_sample.eq(n_counters),
                to_ignore.eq(Mux(to_clear != 0, to_clear - 1, 0)),
            ]
        with m.If(clear):
            m.d.sync += to_clear.eq(n_counters)

        # Cycle 0: the counter within its group. Cycle 1: the group, and the address.
        which = [Signal.like(turn, reset_less=True, name=f"which_{i}") for i in range(4)]
        sampling, clearing, ignoring = Signal(4), Signal(2), Signal(2)
        m.d.sync += [
            Cat(which).eq(Cat(turn, *which[:3])),
            sampling.eq(Cat(to_sample != 0, sampling[:3])),
            clearing.eq(Cat(to_clear != 0, clearing[0])),
            ignoring.eq(Cat(to_ignore != 0, ignoring[0])),
        ]
        part = self._choose(m, recent, turn, which[0], "part")
        held_part = self._choose(m, held, turn, which[0], "held_part")
        m.d.comb += total_r.addr.eq(which[0])
        # Cycles 2 and 3: add, one half of the word after the other.
        for write, none, increment, name in (
            (total_w, clearing[1], part, "total"),
            (sample_w, ignoring[1], held_part, "sample"),
        ):
            before = Mux(none, 0, total_r.data)
            low = Signal(_BITS // 2 + 1, name=f"{name}_low", reset_less=True)
            high = Signal(_BITS // 2, name=f"{name}_high", reset_less=True)
            m.d.sync += [
                low.eq(before[: _BITS // 2] + increment),
                high.eq(before[_BITS // 2 :]),
                write.data.eq(Cat(low[:-1], high + low[-1])),
            ]
        m.d.sync += total_w.en.eq(1)
        # Cycle 4: write.
        m.d.comb += [
            total_w.addr.eq(which[3]),
            sample_w.addr.eq(which[3]),
            sample_w.en.eq(sampling[3]),
            self.busy.eq(latch | (to_sample != 0) | sampling.any()),
        ]

        return m

    def _choose(self, m: Module, values, turn: Signal, later: Signal, name: str) -> Signal:
        """Return the value that ``turn`` named two cycles ago; ``later`` follows it by one."""
        groups = []
        for first in range(0, self.n_counters, 1 << _GROUP_BITS):
            members = range(first, min(first + (1 << _GROUP_BITS), self.n_counters))
            chosen = Signal.like(values[0], name=f"{name}_{first}", reset_less=True)
            m.d.sync += chosen.eq(Array(values[i] for i in members)[turn[:_GROUP_BITS]])
            groups.append(chosen)
        part: Signal = Signal.like(values[0], name=name, reset_less=True)
        m.d.sync += part.eq(Array(groups)[later[_GROUP_BITS:]])
        return part
