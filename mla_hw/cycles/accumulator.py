"""Timing of :class:`rtl_gen.units.accumulator.Accumulator`."""

from mla_hw.cycles.timing import Timing

__all__ = ["ACCUMULATE_TIMING"]

#: From product to sum.
ACCUMULATE_TIMING = Timing(latency=1)
