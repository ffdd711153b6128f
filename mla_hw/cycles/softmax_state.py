"""Timing of :class:`rtl_gen.units.softmax_state.SoftmaxState`."""

from mla_hw.cycles.rounding_shifter import shifter_timing
from mla_hw.cycles.simple_memory import MEMORY_READ_LATENCY
from mla_hw.cycles.timing import Timing

__all__ = ["LEAST_TOTAL_DELAY", "SHIFT_BITS", "softmax_state_timing"]

#: Bits of the shift between a tile and what came before it.
SHIFT_BITS = 6
#: Cycles that the comparison of the exponents takes, before the tile's sum can be joined.
LEAST_TOTAL_DELAY = MEMORY_READ_LATENCY + 3


def softmax_state_timing(total_delay: int) -> Timing:
    """From the tile's exponent to the shift control and the new state.

    Parameters
    ----------
    total_delay : int
        Cycles by which the tile's sum comes after its exponent.
    """
    # Order, shift, rounding, sum, halving.
    latency = total_delay + 1 + shifter_timing(SHIFT_BITS).latency + 3
    return Timing(latency, interval=latency)
