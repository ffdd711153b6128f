"""Serial square root: one bit of the root per cycle."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from mla_hw.cycles.serial_root import serial_root_timing
from mla_hw.errors import ConfigError

__all__ = ["SerialRoot"]


class SerialRoot(wiring.Component):
    """Extract a square root exactly, rounding down.

    Computes :py:`root = floor(sqrt(radicand))`, bit-exact with
    :func:`mla_hw.golden.serial_root.square_root`, digit by digit: two bits of the radicand join
    the remainder, and one subtraction of ``4 * root + 1`` decides one bit. The latency is a
    constant (:attr:`timing`); a start while a root is under way abandons it.

    Parameters
    ----------
    bits : int
        Width of the unsigned radicand, even.

    Members
    -------
    start : :py:`In(1)`
        The radicand is valid.
    radicand : :py:`In(unsigned(bits))`
    done : :py:`Out(1)`
        Pulse in the first cycle of the result.
    root : :py:`Out(unsigned(bits // 2))`
        Stays until the next start.
    """

    start: Signal
    radicand: Signal
    done: Signal
    root: Signal

    def __init__(self, *, bits: int) -> None:
        if bits < 2 or bits % 2:
            raise ConfigError(f"bits must be even and at least 2, not {bits}")
        self.bits = bits
        self.timing = serial_root_timing(bits)
        super().__init__({
            "start": In(1),
            "radicand": In(unsigned(bits)),
            "done": Out(1),
            "root": Out(unsigned(bits // 2)),
        })

    def elaborate(self, platform):
        m = Module()

        half = self.bits // 2
        window = Signal(self.bits, reset_less=True)
        # Both remainders of a step are kept, and the next one chooses, as in the divider.
        grown = Signal(half + 3, reset_less=True)
        trial = Signal(signed(half + 4), reset_less=True)
        fits = ~trial[-1]
        # The bits of the root but for the last one, which is `fits`.
        found = Signal(half - 1, reset_less=True)
        busy, steps = Signal(), Signal(range(half + 1), reset_less=True)

        # The remainder never exceeds twice the root.
        remainder = Mux(fits, trial, grown)[: half + 1]
        root = Cat(fits, found)
        following = Cat(window[-2:], remainder)
        m.d.comb += self.root.eq(root)

        m.d.sync += self.done.eq(busy & (steps == 1))
        with m.If(busy):
            m.d.sync += [
                steps.eq(steps - 1),
                busy.eq(steps != 1),
                window.eq(window << 2),
                grown.eq(following),
                trial.eq(following - Cat(C(1, 2), root)),
                found.eq(root),
            ]
        with m.If(self.start):
            m.d.sync += [
                steps.eq(half),
                busy.eq(1),
                window.eq(self.radicand),
                grown.eq(0),
                trial.eq(-1),
                found.eq(0),
                self.done.eq(0),
            ]

        return m
