"""Pipelined shifts right by a variable amount: plain, and rounding with saturation."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from mla_hw.cycles.rounding_shifter import (
    SHIFT_BITS_PER_STAGE,
    rounding_shifter_timing,
    shifter_timing,
)
from rtl_gen.pipeline import delay

__all__ = ["RoundingShifter", "Shifter"]


class Shifter(wiring.Component):
    """Shift right arithmetically and keep the bit that decides the rounding.

    Computes :py:`o = (i << 1) >> shift`, so that :py:`(o >> 1) + (o & 1)` is
    :func:`mla_hw.golden.arithmetic.round_shift`, also for a shift by 0 and beyond the width.

    The latency is :py:`timing.latency`, the throughput one value per cycle; nothing stalls.

    Parameters
    ----------
    width : int
        Bits of the value.
    shift_bits : int
        Bits of the shift amount.

    Members
    -------
    i : :py:`In(signed(width))`
        Value.
    shift : :py:`In(shift_bits)`
        How far to shift it.
    o : :py:`Out(signed(width + 1))`
        Shifted value, and the last bit that was shifted out as bit 0.
    """

    i: Signal
    shift: Signal
    o: Signal

    def __init__(self, *, width: int, shift_bits: int) -> None:
        self.width = width
        self.shift_bits = shift_bits
        self.timing = shifter_timing(shift_bits)
        super().__init__({
            "i": In(signed(width)),
            "shift": In(shift_bits),
            "o": Out(signed(width + 1)),
        })

    def elaborate(self, platform):
        m = Module()

        # The coarse bits first: the fine ones wait in fewer registers than values would.
        value: Value = Cat(C(0, 1), self.i).as_signed()
        shift: Value = self.shift
        for low in reversed(range(0, self.shift_bits, SHIFT_BITS_PER_STAGE)):
            shifted = Signal(signed(self.width + 1), name=f"shifted_{low}", reset_less=True)
            m.d.sync += shifted.eq(value >> (shift[low:] << low))
            value, shift = shifted, delay(m, shift[:low], 1, f"shift_{low}")
        m.d.comb += self.o.eq(value)

        return m


class RoundingShifter(wiring.Component):
    """Shift right, round half up, saturate symmetrically.

    Computes :py:`o = saturate((i + half) >> shift)` with half of the last place, bit-exact with
    :func:`mla_hw.golden.arithmetic.round_shift` and
    :func:`~mla_hw.golden.arithmetic.saturate`. The latency is :py:`timing.latency`, the throughput
    one value per cycle; nothing stalls. The outputs are combinational from the last registers
    (two look-up tables), as a multiplier or another register takes them up.

    Parameters
    ----------
    width : int
        Bits of the value.
    shift_bits : int
        Bits of the shift amount.
    out_width : int
        Bits of the result, which lies within ±(2 ** (out_width - 1) - 1).

    Members
    -------
    i : :py:`In(signed(width))`
        Value.
    shift : :py:`In(shift_bits)`
        How far to shift it.
    o : :py:`Out(signed(out_width))`
        Result.
    saturated : :py:`Out(1)`
        The result was out of range.
    """

    i: Signal
    shift: Signal
    o: Signal
    saturated: Signal

    def __init__(self, *, width: int, shift_bits: int, out_width: int) -> None:
        # One bit above the result at least, so that overflow has a bit to show in.
        self.width = max(width, out_width + 1)
        self.shift_bits = shift_bits
        self.out_width = out_width
        self.timing = rounding_shifter_timing(shift_bits)
        super().__init__({
            "i": In(signed(width)),
            "shift": In(shift_bits),
            "o": Out(signed(out_width)),
            "saturated": Out(1),
        })

    def elaborate(self, platform):
        m = Module()

        m.submodules.shifter = shifter = Shifter(width=self.width, shift_bits=self.shift_bits)
        m.d.comb += [shifter.i.eq(self.i), shifter.shift.eq(self.shift)]

        # What does not fit before the rounding does not fit after it either, so that the addition
        # is as narrow as the result and the look at the other bits goes on beside it. The negative
        # number without a positive counterpart counts as not fitting, unless rounding mends it.
        floor, half, top = shifter.o[1:], shifter.o[0], self.out_width - 1
        rounded = Signal(signed(self.out_width + 1), reset_less=True)
        negative = Signal(reset_less=True)
        overflow = Signal(reset_less=True)
        m.d.sync += [
            rounded.eq(floor[: self.out_width].as_signed() + half),
            negative.eq(floor[-1]),
            overflow.eq(
                (floor[top:].any() & ~floor[top:].all()) | (floor[-1] & ~shifter.o[: top + 1].any())
            ),
        ]

        carried = rounded[top] & ~rounded[-1]
        limit = Cat(C(1, 1), (~negative).replicate(top - 1), negative)
        m.d.comb += [
            self.saturated.eq(overflow | carried),
            self.o.eq(Mux(self.saturated, limit, rounded[: self.out_width])),
        ]

        return m
