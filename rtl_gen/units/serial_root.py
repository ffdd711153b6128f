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
        # The remainder never exceeds twice the root.
        remainder = Signal(half + 1, reset_less=True)
        root = Signal(half, reset_less=True)
        steps = Signal(range(half + 1))

        grown = Signal(half + 3)
        trial = Signal(signed(half + 4))
        m.d.comb += [
            grown.eq(Cat(window[-2:], remainder)),
            trial.eq(grown - Cat(C(1, 2), root)),
            self.root.eq(root),
        ]

        m.d.sync += self.done.eq(steps == 1)
        with m.If(steps != 0):
            m.d.sync += [
                steps.eq(steps - 1),
                window.eq(window << 2),
                remainder.eq(Mux(trial < 0, grown, trial)),
                root.eq(Cat(trial >= 0, root)),
            ]
        with m.If(self.start):
            m.d.sync += [
                steps.eq(half),
                window.eq(self.radicand),
                remainder.eq(0),
                root.eq(0),
                self.done.eq(0),
            ]

        return m
