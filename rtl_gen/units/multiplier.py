"""Multiplier: the one component that differs between FPGA families."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from mla_hw.cycles.multiplier import MULTIPLIER_TIMING
from mla_hw.errors import ConfigError

__all__ = ["Multiplier"]

_DSP_WIDTH = 18


class Multiplier(wiring.Component):
    """Product with registers at inputs and output.

    Computes :py:`p = a * b`. The latency is two cycles, the throughput one product per cycle;
    nothing stalls. Yosys infers the ECP5 block without its registers, which costs a third of the
    clock frequency, hence the form that instantiates it.

    Parameters
    ----------
    a_width, b_width : int
        Bits of the operands.
    kind : str
        ``portable``: left to synthesis. ``ecp5``: one MULT18X18D with the block's own registers;
        operands of at most 18 bits.
    is_signed : bool
        Of both operands and the product.

    Members
    -------
    a : :py:`In(Shape(a_width, is_signed))`
    b : :py:`In(Shape(b_width, is_signed))`
    p : :py:`Out(Shape(a_width + b_width, is_signed))`
    """

    a: Signal
    b: Signal
    p: Signal

    def __init__(
        self, *, a_width: int, b_width: int, kind: str = "portable", is_signed: bool = True
    ) -> None:
        if kind not in ("portable", "ecp5"):
            raise ConfigError(f"multiplier must be portable or ecp5, not {kind!r}")
        if kind == "ecp5" and max(a_width, b_width) > _DSP_WIDTH:
            raise ConfigError(
                f"multiplier ecp5 takes operands of at most {_DSP_WIDTH} bits, "
                f"not {a_width} and {b_width}"
            )
        self.kind = kind
        self.is_signed = is_signed
        self.timing = MULTIPLIER_TIMING
        super().__init__({
            "a": In(Shape(a_width, is_signed)),
            "b": In(Shape(b_width, is_signed)),
            "p": Out(Shape(a_width + b_width, is_signed)),
        })

    def elaborate(self, platform):
        m = Module()
        if self.kind == "ecp5":
            self._instantiate_dsp(m)
        else:
            a = Signal.like(self.a, reset_less=True)
            b = Signal.like(self.b, reset_less=True)
            p = Signal.like(self.p, reset_less=True)
            m.d.sync += [a.eq(self.a), b.eq(self.b), p.eq(a * b)]
            m.d.comb += self.p.eq(p)
        return m

    def _instantiate_dsp(self, m: Module) -> None:
        a, b = Signal(_DSP_WIDTH), Signal(_DSP_WIDTH)
        p = Signal(2 * _DSP_WIDTH)
        m.d.comb += [a.eq(self.a), b.eq(self.b), self.p.eq(p)]
        connections: dict[str, object] = {"i_CLK0": ClockSignal(), "i_CE0": 1, "i_RST0": 0}
        # All three registers alike: mixed modes fall back to the timing without registers.
        for register in ("REG_INPUTA", "REG_INPUTB", "REG_OUTPUT"):
            connections |= {
                f"p_{register}_CLK": "CLK0",
                f"p_{register}_CE": "CE0",
                f"p_{register}_RST": "RST0",
            }
        for name, direction, bits in (("A", "i", a), ("B", "i", b), ("P", "o", p)):
            connections |= {f"{direction}_{name}{i}": bits[i] for i in range(len(bits))}
        for name in "AB":
            connections |= {f"i_SIGNED{name}": int(self.is_signed), f"i_SOURCE{name}": 0}
        m.submodules.dsp = Instance("MULT18X18D", **connections)
