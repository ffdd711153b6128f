"""Timing of :class:`rtl_gen.units.score_unit.ScoreUnit`."""

from mla_hw.cycles.multiplier import MULTIPLIER_TIMING
from mla_hw.cycles.rounding_shifter import rounding_shifter_timing
from mla_hw.cycles.timing import Timing

__all__ = ["MAXIMUM_DISTANCE", "SHIFT_BITS", "score_timing", "score_unit_timing"]

#: Bits of the shift amounts.
SHIFT_BITS = 5
#: Cycles from a row's last sum until the row may come again after another one; the array takes at
#: least 2 * columns.
MAXIMUM_DISTANCE = 3


def score_timing() -> Timing:
    """From a sum to its score: shift, multiply, join both products, shift, and a register."""
    shift = rounding_shifter_timing(SHIFT_BITS)
    return shift.then(MULTIPLIER_TIMING).then(Timing(1)).then(shift).then(Timing(1))


def score_unit_timing() -> Timing:
    """From a sum to the first read address whose data shows it, in all three memories.

    The maximum is written last: it takes two cycles to compare and one to write.
    """
    return score_timing().then(Timing(3))
