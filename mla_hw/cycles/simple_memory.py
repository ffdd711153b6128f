"""Timing of :class:`rtl_gen.units.simple_memory.SimpleMemory`."""

from mla_hw.cycles.timing import Timing

__all__ = ["MEMORY_READ_LATENCY", "SIMPLE_MEMORY_TIMING"]

#: From an address to its data: the memory, and a register, because block RAM is slow. An entry
#: written in cycle t is seen by addresses from t+1 on.
SIMPLE_MEMORY_TIMING = Timing(latency=2)
#: The same as a number; the latency of every read port.
MEMORY_READ_LATENCY = SIMPLE_MEMORY_TIMING.latency
