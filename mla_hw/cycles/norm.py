"""Timing of :class:`rtl_gen.units.norm.Norm`."""

from mla_hw.cycles.multiplier import MULTIPLIER_TIMING
from mla_hw.cycles.rounding_shifter import rounding_shifter_timing
from mla_hw.cycles.sequencing import COMMAND_LATENCY, OPERAND_LATENCY, WALK_LATENCY
from mla_hw.cycles.serial_divider import serial_divider_timing
from mla_hw.cycles.serial_normalizer import serial_normalizer_timing
from mla_hw.cycles.serial_root import serial_root_timing

__all__ = ["INVERSE_BITS", "SHIFT_BITS", "SQUARE_BITS", "SUM_LATENCY", "norm_cycles"]

#: Bits of the sum of squares.
SQUARE_BITS = 48
#: From a square to the sum that contains it: a register, and one half after the other.
SUM_LATENCY = 3
#: Bits of the inverse root.
INVERSE_BITS = 15
#: Bits of the shift that undoes the normalisation.
SHIFT_BITS = 5


def norm_cycles(k: int) -> int:
    """Count cycles from the accepted command to ``done``.

    Parameters
    ----------
    k : int
        Elements.
    """
    last_product = WALK_LATENCY + k - 1 + OPERAND_LATENCY + MULTIPLIER_TIMING.latency
    inverse = (
        serial_normalizer_timing(SQUARE_BITS, 2)
        .then(serial_root_timing(SQUARE_BITS))
        .then(serial_divider_timing(INVERSE_BITS))
    )
    # Registers behind the product in both passes: the sum, the output.
    squares = last_product + SUM_LATENCY
    outputs = last_product + rounding_shifter_timing(SHIFT_BITS).latency + 1
    return COMMAND_LATENCY + squares + inverse.latency + outputs
