"""Timing of :class:`rtl_gen.units.rope.Rope`."""

from mla_hw.cycles.multiplier import MULTIPLIER_TIMING
from mla_hw.cycles.sequencing import COMMAND_LATENCY, OPERAND_LATENCY, WALK_LATENCY

__all__ = ["PRODUCT_LATENCY", "RESULT_LATENCY", "rope_cycles"]

#: From an element's address to the products of its output: both elements of the pair are needed.
PRODUCT_LATENCY = OPERAND_LATENCY + 1 + MULTIPLIER_TIMING.latency
#: From the products to the output: sign, sum, rounding, saturation.
RESULT_LATENCY = 4


def rope_cycles(k: int, n: int) -> int:
    """Count cycles from the accepted command to ``done``.

    Parameters
    ----------
    k, n : int
        Elements per head, and heads.
    """
    return COMMAND_LATENCY + WALK_LATENCY + k * n - 1 + PRODUCT_LATENCY + RESULT_LATENCY
