"""Timing of the shifters in :mod:`rtl_gen.units.rounding_shifter`."""

from mla_hw.cycles.timing import Timing

__all__ = ["SHIFT_BITS_PER_STAGE", "rounding_shifter_timing", "shifter_timing"]

#: Bits of the shift amount that one register stage handles: three look-up tables in series.
SHIFT_BITS_PER_STAGE = 3


def shifter_timing(shift_bits: int) -> Timing:
    """Return the timing of a ``Shifter`` whose shift amount has ``shift_bits`` bits."""
    return Timing(-(-shift_bits // SHIFT_BITS_PER_STAGE))


def rounding_shifter_timing(shift_bits: int) -> Timing:
    """Return the timing of a ``RoundingShifter``: one more stage adds the rounding bit."""
    return shifter_timing(shift_bits).then(Timing(1))
