"""Timing of :class:`rtl_gen.units.normalize.Normalize`."""

from mla_hw.cycles.context_accumulator import CONTEXT_READ_LATENCY
from mla_hw.cycles.multiplier import MULTIPLIER_TIMING
from mla_hw.cycles.rounding_shifter import rounding_shifter_timing
from mla_hw.cycles.sequencing import COMMAND_LATENCY, WALK_LATENCY
from mla_hw.cycles.serial_divider import serial_divider_timing
from mla_hw.cycles.serial_normalizer import serial_normalizer_timing
from mla_hw.cycles.simple_memory import MEMORY_READ_LATENCY
from mla_hw.golden.normalize import RECIPROCAL_BITS
from mla_hw.golden.softmax import SUM_BITS

__all__ = ["QUOTIENT_BITS", "RESULT_LATENCY", "SHIFT_BITS", "TOTAL_LATENCY", "normalize_cycles"]

#: Bits of the shift ahead of the multiplication.
SHIFT_BITS = 6
#: Bits of the reciprocal, which reaches from 2^14 to below 2^15.
QUOTIENT_BITS = RECIPROCAL_BITS + 1
#: From the address of the head's sum to the sum.
TOTAL_LATENCY = MEMORY_READ_LATENCY
#: From the product to the output: rounding, saturation.
RESULT_LATENCY = 2


def normalize_cycles(k: int) -> int:
    """Count cycles from the accepted command to ``done``.

    Parameters
    ----------
    k : int
        Context sums.
    """
    reciprocal = serial_normalizer_timing(SUM_BITS).then(serial_divider_timing(QUOTIENT_BITS))
    operand = CONTEXT_READ_LATENCY + rounding_shifter_timing(SHIFT_BITS).latency + 1
    output = operand + MULTIPLIER_TIMING.latency + RESULT_LATENCY
    return COMMAND_LATENCY + TOTAL_LATENCY + reciprocal.latency + WALK_LATENCY + k - 1 + output
