"""Timing of :class:`rtl_gen.units.multiplier.Multiplier`."""

from mla_hw.cycles.timing import Timing

__all__ = ["MULTIPLIER_LATENCY", "MULTIPLIER_TIMING"]

#: Input registers and output register, those of the DSP block where there is one.
MULTIPLIER_LATENCY = 2
MULTIPLIER_TIMING = Timing(MULTIPLIER_LATENCY)
