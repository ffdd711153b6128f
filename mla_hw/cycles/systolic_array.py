"""Timing of :class:`rtl_gen.units.systolic_array.SystolicArray`."""

from mla_hw.cycles.accumulator import ACCUMULATE_TIMING
from mla_hw.cycles.multiplier import MULTIPLIER_TIMING
from mla_hw.cycles.timing import Timing

__all__ = ["DRAIN_TIMING", "SHADOW_TIMING", "result_latency"]

#: From accumulator to shadow register.
SHADOW_TIMING = Timing(latency=1)
#: From a row's drain pulse to the cycle in which its first result may be taken.
DRAIN_TIMING = Timing(latency=1)


def result_latency(columns: int, row: int) -> int:
    """Cycles from a tile's last step at the input to column 0's sum at the output of ``row``.

    The row's skew, the way of the operand from column C-1 to column 0, and the stages of one
    processing element.
    """
    element = MULTIPLIER_TIMING.then(ACCUMULATE_TIMING).then(SHADOW_TIMING)
    return row + columns - 1 + element.latency
