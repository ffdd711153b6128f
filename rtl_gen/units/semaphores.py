"""Semaphores between the engines."""

from functools import reduce
from operator import or_

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from mla_hw.cycles.semaphores import SEMAPHORE_TIMING
from mla_hw.hardware import SEMAPHORES

__all__ = ["Semaphores"]

_COUNT_BITS = 4


class Semaphores(wiring.Component):
    """Counters that let instructions of different engines wait for each other.

    A semaphore has one posting and one waiting engine, so it is taken, and given by an engine, at
    most once per cycle; the dispatcher's credit may come in the same cycle. What is given or taken
    in a cycle shows in ``available`` in the next one. An engine takes only what is available.

    Parameters
    ----------
    engines : int
        Engines that take and give.

    Members
    -------
    take : :py:`In(data.ArrayLayout(SEMAPHORES, engines))`
        Semaphores that each engine takes in this cycle, a bit each.
    give : :py:`In(data.ArrayLayout(SEMAPHORES, engines))`
        Semaphores that each engine gives in this cycle.
    credit : :py:`In(SEMAPHORES)`
        Semaphores that the dispatcher gives in this cycle.
    clear : :py:`In(1)`
        All counters become 0.
    available : :py:`Out(SEMAPHORES)`
        Counters above 0.
    overflow : :py:`Out(1)`
        Pulse in the cycle after a counter was given beyond 15; it stays at 15.
    """

    def __init__(self, engines: int = 4) -> None:
        self.timing = SEMAPHORE_TIMING
        masks = data.ArrayLayout(SEMAPHORES, engines)
        super().__init__({
            "take": In(masks),
            "give": In(masks),
            "credit": In(SEMAPHORES),
            "clear": In(1),
            "available": Out(SEMAPHORES),
            "overflow": Out(1),
        })

    def elaborate(self, platform):
        m = Module()

        take = reduce(or_, self.take)
        give = reduce(or_, self.give)
        beyond = Signal(SEMAPHORES)
        for i in range(SEMAPHORES):
            count = Signal(_COUNT_BITS, name=f"count_{i}")
            total = Signal(_COUNT_BITS + 1, name=f"total_{i}")
            m.d.comb += [
                total.eq(count + give[i] + self.credit[i] - take[i]),
                beyond[i].eq(total[_COUNT_BITS]),
                self.available[i].eq(count != 0),
            ]
            with m.If(self.clear):
                m.d.sync += count.eq(0)
            with m.Else():
                m.d.sync += count.eq(Mux(beyond[i], (1 << _COUNT_BITS) - 1, total))
        m.d.sync += self.overflow.eq(beyond.any() & ~self.clear)

        return m
