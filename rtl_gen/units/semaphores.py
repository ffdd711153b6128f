"""Semaphores between the engines."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from mla_hw.cycles.semaphores import GIVE_TIMING
from mla_hw.hardware import SEMAPHORES

__all__ = ["Semaphores"]

_COUNT_BITS = 4


class Semaphores(wiring.Component):
    """Counters that let instructions of different engines wait for each other.

    A semaphore has one posting and one waiting engine, so it is taken, and given by an engine, at
    most once per cycle; the dispatcher's credit may come in the same cycle. What an engine gives
    shows in ``available`` in the next cycle, credits and takes one later. An engine takes only what
    is available, and not again before that shows what it has taken.

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
    available : :py:`Out(SEMAPHORES)`
        Counters above 0.
    overflow : :py:`Out(1)`
        Pulse: a counter was given beyond 15, and is wrong from then on.
    """

    take: Any
    give: Any
    credit: Signal
    available: Signal
    overflow: Signal

    def __init__(self, engines: int = 4) -> None:
        self.timing = GIVE_TIMING
        masks = data.ArrayLayout(SEMAPHORES, engines)
        super().__init__({
            "take": In(masks),
            "give": In(masks),
            "credit": In(SEMAPHORES),
            "available": Out(SEMAPHORES),
            "overflow": Out(1),
        })

    def elaborate(self, platform):
        m = Module()

        # Gives come late in the cycle, from the end of an instruction, so they join last.
        give = Signal(SEMAPHORES)
        take, credit = Signal(SEMAPHORES), Signal(SEMAPHORES)
        beyond = Signal(SEMAPHORES)
        m.d.comb += give.eq(reduce(or_, self.give))
        m.d.sync += [take.eq(reduce(or_, self.take)), credit.eq(self.credit)]
        for i in range(SEMAPHORES):
            count = Signal(_COUNT_BITS, name=f"count_{i}")
            without = Signal(_COUNT_BITS + 1, name=f"without_{i}")
            total = Signal(_COUNT_BITS + 1, name=f"total_{i}")
            m.d.comb += [
                without.eq(count + credit[i] - take[i]),
                total.eq(Mux(give[i], without + 1, without)),
            ]
            m.d.sync += [
                count.eq(total),
                self.available[i].eq(give[i] | (without != 0)),
                beyond[i].eq(total[_COUNT_BITS]),
            ]
        m.d.sync += self.overflow.eq(beyond.any())

        return m
