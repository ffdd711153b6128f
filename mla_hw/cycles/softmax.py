"""Timing of :class:`rtl_gen.units.softmax.Softmax`."""

from mla_hw.cycles.multiplier import MULTIPLIER_TIMING
from mla_hw.cycles.rounding_shifter import shifter_timing
from mla_hw.cycles.sequencing import COMMAND_LATENCY, OPERAND_LATENCY, WALK_LATENCY

__all__ = [
    "HEAD_INTERVAL",
    "PROBABILITY_LATENCY",
    "SHIFT_BITS",
    "STATE_SHIFT_BITS",
    "TABLE_LATENCY",
    "TOTAL_LATENCY",
    "UPDATE_LATENCY",
    "VALUE_LATENCY",
    "softmax_cycles",
]

#: Bits of the shift of one exponential; everything from 31 on gives 0.
SHIFT_BITS = 5
#: Bits of the shift between a tile and what came before it.
STATE_SHIFT_BITS = 6
#: From a score's address to its segment of the table: score, distance to the exponent, segment.
TABLE_LATENCY = OPERAND_LATENCY + 2
#: From a score's address to 2 ** -fraction.
VALUE_LATENCY = TABLE_LATENCY + MULTIPLIER_TIMING.latency + 1
_SHIFT = shifter_timing(SHIFT_BITS).latency + 1
#: From a score's address to its probability.
PROBABILITY_LATENCY = VALUE_LATENCY + MULTIPLIER_TIMING.latency + _SHIFT
#: From a score's address to the sum that it is part of.
TOTAL_LATENCY = VALUE_LATENCY + _SHIFT + 1
#: From the tile's sum to the new state: order, shift, rounding, sum, halving.
UPDATE_LATENCY = 1 + shifter_timing(STATE_SHIFT_BITS).latency + 3
#: Least distance between two heads, so that each finds the registers of the update free.
HEAD_INTERVAL = 16


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
    return COMMAND_LATENCY + last_score + TOTAL_LATENCY + UPDATE_LATENCY
