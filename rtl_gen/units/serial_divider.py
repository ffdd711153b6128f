"""Serial divider: one bit of the quotient per cycle."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from mla_hw.cycles.serial_divider import serial_divider_timing
from mla_hw.errors import ConfigError

__all__ = ["SerialDivider"]


class SerialDivider(wiring.Component):
    """Divide exactly, rounding down.

    Computes :py:`quotient = numerator // denominator`, bit-exact with
    :func:`mla_hw.golden.serial_divider.divide`, by restoring division: a word as wide as the
    denominator holds the remainder, and one subtraction per cycle decides one bit. A constant
    numerator costs nothing. The latency is a constant (:attr:`timing`); a start while a division
    is under way abandons it.

    Parameters
    ----------
    numerator_bits, denominator_bits : int
        Widths of the unsigned operands.
    quotient_bits : int
        Bits of the quotient, which the operands must not exceed: ``numerator >> quotient_bits``
        is less than ``denominator``, otherwise the result means nothing.

    Members
    -------
    start : :py:`In(1)`
        Operands are valid.
    numerator : :py:`In(unsigned(numerator_bits))`
    denominator : :py:`In(unsigned(denominator_bits))`
        To be held until the end.
    done : :py:`Out(1)`
        Pulse in the first cycle of the result.
    quotient : :py:`Out(unsigned(quotient_bits))`
        Stays until the next start.
    """

    start: Signal
    numerator: Signal
    denominator: Signal
    done: Signal
    quotient: Signal

    def __init__(self, *, numerator_bits: int, denominator_bits: int, quotient_bits: int) -> None:
        if quotient_bits < 1 or denominator_bits < 1 or numerator_bits < 1:
            raise ConfigError(
                f"numerator_bits, denominator_bits and quotient_bits must be at least 1, not "
                f"{numerator_bits}, {denominator_bits} and {quotient_bits}"
            )
        if numerator_bits > denominator_bits + quotient_bits:
            raise ConfigError(
                f"numerator_bits must be at most denominator_bits + quotient_bits = "
                f"{denominator_bits + quotient_bits}, not {numerator_bits}"
            )
        self.numerator_bits = numerator_bits
        self.denominator_bits = denominator_bits
        self.quotient_bits = quotient_bits
        self.timing = serial_divider_timing(quotient_bits)
        super().__init__({
            "start": In(1),
            "numerator": In(unsigned(numerator_bits)),
            "denominator": In(unsigned(denominator_bits)),
            "done": Out(1),
            "quotient": Out(unsigned(quotient_bits)),
        })

    def elaborate(self, platform):
        m = Module()

        # Both remainders of a step are kept, and the next one chooses: with the sign in a register,
        # only one of choice and subtraction waits for the other.
        grown = Signal(self.denominator_bits + 1, reset_less=True)
        trial = Signal(signed(self.denominator_bits + 2), reset_less=True)
        fits = ~trial[-1]
        # Bits of the numerator leave at the top while bits of the quotient enter at the bottom, the
        # last of which is `fits`. What enters first has no meaning and has left in the end.
        window = Signal(self.quotient_bits, reset_less=True)
        busy, steps = Signal(), Signal(range(self.quotient_bits + 1), reset_less=True)

        remainder = Mux(fits, trial, grown)[: self.denominator_bits]
        following = Cat(window[-1], remainder)
        m.d.comb += self.quotient.eq(Cat(fits, window[:-1]))

        m.d.sync += self.done.eq(busy & (steps == 1))
        with m.If(busy):
            m.d.sync += [
                steps.eq(steps - 1),
                busy.eq(steps != 1),
                grown.eq(following),
                trial.eq(following - self.denominator),
                window.eq(Cat(fits, window)),
            ]
        with m.If(self.start):
            m.d.sync += [
                steps.eq(self.quotient_bits),
                busy.eq(1),
                grown.eq(self.numerator >> self.quotient_bits),
                trial.eq(-1),
                window.eq(self.numerator),
                self.done.eq(0),
            ]

        return m
