"""Accumulator: adds up the products of a processing element."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from mla_hw.cycles.accumulator import ACCUMULATE_TIMING

__all__ = ["Accumulator"]


class Accumulator(wiring.Component):
    """Register that adds one product per cycle, and begins anew with the first one of a tile.

    Computes :py:`sum = (0 if first else sum) + p`. The latency is one cycle; nothing stalls. There
    is no enable: a product of 0 changes nothing.

    Parameters
    ----------
    width, p_width : int
        Bits of the sum, which wraps, and of the product, which are not more.
    kind : str
        ``ecp5``: one carry chain and no look-up table besides,
        ``rtl_gen/primitives/accumulator_ecp5.v``. Any other: left to synthesis.

    Members
    -------
    first : :py:`In(1)`
    p : :py:`In(signed(p_width))`
    sum : :py:`Out(signed(width))`
    """

    first: Signal
    p: Signal
    sum: Signal

    def __init__(self, *, width: int, p_width: int, kind: str = "portable") -> None:
        self.kind = kind
        self.timing = ACCUMULATE_TIMING
        super().__init__({
            "first": In(1),
            "p": In(signed(p_width)),
            "sum": Out(signed(width)),
        })

    def elaborate(self, platform):
        m = Module()
        if self.kind == "ecp5":
            m.submodules.chain = Instance(
                "accumulator_ecp5",
                p_WIDTH=len(self.sum),
                p_P_WIDTH=len(self.p),
                i_clk=ClockSignal(),
                i_first=self.first,
                i_p=self.p,
                o_sum=self.sum,
            )
        else:
            held = Signal.like(self.sum, reset_less=True)
            m.d.sync += held.eq(Mux(self.first, 0, held) + self.p)
            m.d.comb += self.sum.eq(held)
        return m
