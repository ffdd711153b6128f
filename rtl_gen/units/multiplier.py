"""Multiplier: the one component that differs between FPGA families."""

from collections.abc import Callable

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from mla_hw.cycles.multiplier import MULTIPLIER_TIMING
from mla_hw.errors import ConfigError
from mla_hw.hardware import MULTIPLIER_KINDS

__all__ = ["Multiplier"]

#: Operand bits of all families' blocks but iCE40's.
_WIDTH = 18
_ICE40_WIDTH = 16
#: Inputs of an SB_MAC16 that have to be 0: the adder's operands, holds, resets, loads, carries.
_ICE40_IDLE = (
    *("C", "D", "AHOLD", "BHOLD", "CHOLD", "DHOLD", "OHOLDTOP", "OHOLDBOT"),
    *("IRSTTOP", "IRSTBOT", "ORSTTOP", "ORSTBOT", "OLOADTOP", "OLOADBOT"),
    *("ADDSUBTOP", "ADDSUBBOT", "CI", "ACCUMCI", "SIGNEXTIN"),
)


class Multiplier(wiring.Component):
    """Product with registers at inputs and output.

    Computes :py:`p = a * b`. The latency is two cycles, the throughput one product per cycle;
    nothing stalls. Synthesis infers some families' blocks without their registers, which on ECP5
    costs a third of the clock frequency, hence the forms that instantiate them.

    Parameters
    ----------
    a_width, b_width : int
        Bits of the operands, for a block at most 18.
    kind : str
        ``portable``: left to synthesis. Otherwise one block with its own registers, by family:
        ``ecp5`` a MULT18X18D, ``gowin`` and ``nexus`` a MULT18X18, ``ice40`` an SB_MAC16, which
        takes 16 bits; look-up tables multiply by those above.
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
        if kind not in MULTIPLIER_KINDS:
            raise ConfigError(
                f"multiplier must be one of {', '.join(MULTIPLIER_KINDS)}, not {kind!r}"
            )
        if kind != "portable" and max(a_width, b_width) > _WIDTH:
            raise ConfigError(
                f"multiplier {kind} takes operands of at most {_WIDTH} bits, "
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
        if self.kind == "portable":
            a, b, p = (Signal.like(x, reset_less=True) for x in (self.a, self.b, self.p))
            m.d.sync += [a.eq(self.a), b.eq(self.b), p.eq(a * b)]
            m.d.comb += self.p.eq(p)
        elif self.kind == "ice40" and max(len(self.a), len(self.b)) > _ICE40_WIDTH:
            self._split(m)
        else:
            width = _ICE40_WIDTH if self.kind == "ice40" else _WIDTH
            a, b, p = Signal(width), Signal(width), Signal(2 * width)
            m.d.comb += [a.eq(self.a), b.eq(self.b), self.p.eq(p)]
            m.submodules.dsp = _BLOCKS[self.kind](a, b, p, (self.is_signed, self.is_signed))
        return m

    def _split(self, m: Module) -> None:
        """Multiply the lower 16 bits in the block, beside it by the one or two bits above.

        The two products are added behind their registers.
        """
        low_a, low_b, low = Signal(_ICE40_WIDTH), Signal(_ICE40_WIDTH), Signal(2 * _ICE40_WIDTH)
        m.d.comb += [low_a.eq(self.a), low_b.eq(self.b)]
        # The lower bits of a wider operand have no sign.
        signs = [self.is_signed and len(x) <= _ICE40_WIDTH for x in (self.a, self.b)]
        m.submodules.dsp = _ice40(low_a, low_b, low, (signs[0], signs[1]))

        a, b = (Signal.like(x, reset_less=True) for x in (self.a, self.b))
        upper = Signal(signed(len(self.p) - _ICE40_WIDTH + 2), reset_less=True)
        rest = a[:_ICE40_WIDTH]
        m.d.sync += [
            a.eq(self.a),
            b.eq(self.b),
            upper.eq(
                self._times(a[_ICE40_WIDTH:], b)
                + self._times(b[_ICE40_WIDTH:], rest.as_signed() if signs[0] else rest)
            ),
        ]
        m.d.comb += self.p.eq((upper << _ICE40_WIDTH) + (low.as_signed() if any(signs) else low))

    def _times(self, bits: Value, value: Value) -> Value:
        """Multiply by a few upper bits of an operand, the topmost of which may be its sign."""
        total: Value = Const(0)
        for i, bit in enumerate(bits):
            term = Mux(bit, value, 0) << i
            total = total - term if self.is_signed and i == len(bits) - 1 else total + term
        return total


def _bits(**ports: Signal) -> dict[str, Value]:
    """Connect ports that are named bit by bit: ``i_A`` becomes ``i_A0``, ``i_A1`` and so on."""
    return {f"{name}{i}": bit for name, value in ports.items() for i, bit in enumerate(value)}


def _ecp5(a: Signal, b: Signal, p: Signal, signs: tuple[bool, bool]) -> Instance:
    connections: dict[str, object] = {"i_CLK0": ClockSignal(), "i_CE0": 1, "i_RST0": 0}
    # All three registers alike: mixed modes fall back to the timing without registers.
    for register in ("REG_INPUTA", "REG_INPUTB", "REG_OUTPUT"):
        connections |= {
            f"p_{register}_CLK": "CLK0",
            f"p_{register}_CE": "CE0",
            f"p_{register}_RST": "RST0",
        }
    connections |= _bits(i_A=a, i_B=b, o_P=p)
    for name, sign in zip("AB", signs, strict=True):
        connections |= {f"i_SIGNED{name}": int(sign), f"i_SOURCE{name}": 0}
    return Instance("MULT18X18D", **connections)


def _ice40(a: Signal, b: Signal, p: Signal, signs: tuple[bool, bool]) -> Instance:
    return Instance(
        "SB_MAC16",
        p_A_REG=C(1, 1),
        p_B_REG=C(1, 1),
        # The register behind the 16 × 16 product, and its two halves as the output.
        p_PIPELINE_16x16_MULT_REG2=C(1, 1),
        p_TOPOUTPUT_SELECT=C(3, 2),
        p_BOTOUTPUT_SELECT=C(3, 2),
        p_A_SIGNED=C(signs[0], 1),
        p_B_SIGNED=C(signs[1], 1),
        i_CLK=ClockSignal(),
        i_CE=1,
        i_A=a,
        i_B=b,
        o_O=p,
        **{f"i_{name}": C(0, 16 if name in "CD" else 1) for name in _ICE40_IDLE},
    )


def _gowin(a: Signal, b: Signal, p: Signal, signs: tuple[bool, bool]) -> Instance:
    return Instance(
        "MULT18X18",
        p_AREG=C(1, 1),
        p_BREG=C(1, 1),
        p_OUT_REG=C(1, 1),
        i_CLK=ClockSignal(),
        i_CE=1,
        i_RESET=0,
        i_ASIGN=int(signs[0]),
        i_BSIGN=int(signs[1]),
        i_ASEL=0,
        i_BSEL=0,
        i_SIA=C(0, _WIDTH),
        i_SIB=C(0, _WIDTH),
        i_A=a,
        i_B=b,
        o_DOUT=p,
    )


def _nexus(a: Signal, b: Signal, p: Signal, signs: tuple[bool, bool]) -> Instance:
    return Instance(
        "MULT18X18",
        p_REGINPUTA="REGISTER",
        p_REGINPUTB="REGISTER",
        p_REGOUTPUT="REGISTER",
        i_CLK=ClockSignal(),
        **{f"i_CE{register}": 1 for register in ("A", "B", "OUT")},
        **{f"i_RST{register}": 0 for register in ("A", "B", "OUT")},
        i_SIGNEDA=int(signs[0]),
        i_SIGNEDB=int(signs[1]),
        i_A=a,
        i_B=b,
        o_Z=p,
    )


_BLOCKS: dict[str, Callable[[Signal, Signal, Signal, tuple[bool, bool]], Instance]] = {
    "ecp5": _ecp5,
    "ice40": _ice40,
    "gowin": _gowin,
    "nexus": _nexus,
}
