"""Cycle model: the timing of each unit in :mod:`rtl_gen.units`, one module per unit."""

from mla_hw.cycles.timing import Timing

__all__ = ["Timing"]
