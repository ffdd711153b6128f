"""Timing of :class:`rtl_gen.units.requantizer.Requantizer`."""

from mla_hw.cycles.multiplier import MULTIPLIER_TIMING
from mla_hw.cycles.rounding_shifter import rounding_shifter_timing
from mla_hw.cycles.timing import Timing

__all__ = ["SHIFT_BITS", "requantizer_timing"]

#: Bits of the tensor's shift amounts.
SHIFT_BITS = 5


def requantizer_timing() -> Timing:
    """Shift, multiply, shift, and one register at the output."""
    shift = rounding_shifter_timing(SHIFT_BITS)
    return shift.then(MULTIPLIER_TIMING).then(shift).then(Timing(1))
