"""Timing of :class:`rtl_gen.units.simple_memory.SimpleMemory`."""

from mla_hw.cycles.timing import Timing

__all__ = ["SIMPLE_MEMORY_TIMING"]

#: From an address to its data; an entry written in cycle t is seen by addresses from t+1 on.
SIMPLE_MEMORY_TIMING = Timing(latency=1)
