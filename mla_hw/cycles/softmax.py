"""Timing of :class:`rtl_gen.units.softmax.Softmax`."""

from mla_hw.cycles.multiplier import MULTIPLIER_TIMING
from mla_hw.cycles.rounding_shifter import shifter_timing
from mla_hw.cycles.sequencing import COMMAND_LATENCY, OPERAND_LATENCY, WALK_LATENCY
from mla_hw.cycles.softmax_state import softmax_state_timing

__all__ = [
    "HEAD_INTERVAL",
    "PROBABILITY_LATENCY",
    "SHIFT_BITS",
    "TABLE_LATENCY",
    "TOTAL_DELAY",
    "TOTAL_LATENCY",
    "VALUE_LATENCY",
    "softmax_cycles",
]

#: Bits of the shift of one exponential; everything from 31 on gives 0.
SHIFT_BITS = 5
#: From a score's address to its segment of the table: score, distance to the exponent, segment.
TABLE_LATENCY = OPERAND_LATENCY + 2
#: From a score's address to 2 ** -fraction.
VALUE_LATENCY = TABLE_LATENCY + MULTIPLIER_TIMING.latency + 1
_SHIFT = shifter_timing(SHIFT_BITS).latency + 1
#: From a score's address to its probability.
PROBABILITY_LATENCY = VALUE_LATENCY + MULTIPLIER_TIMING.latency + _SHIFT
#: From a score's address to the sum that it is part of.
TOTAL_LATENCY = VALUE_LATENCY + _SHIFT + 1
#: From the exponent, which is known with the score, to the sum of the tile.
TOTAL_DELAY = TOTAL_LATENCY - OPERAND_LATENCY
#: Least distance between two heads.
HEAD_INTERVAL = softmax_state_timing(TOTAL_DELAY).interval


def softmax_cycles(n: int, rows: int) -> int:
    """Count cycles from the accepted command to ``done``.

    Parameters
    ----------
    n : int
        Tokens of the tile.
    rows : int
        Heads.
    """
    last_score = WALK_LATENCY + (rows - 1) * max(n, HEAD_INTERVAL) + n - 1
    state = softmax_state_timing(TOTAL_DELAY)
    return COMMAND_LATENCY + last_score + OPERAND_LATENCY + state.latency
