"""Timing of :class:`rtl_gen.units.output_buffer.OutputBuffer`."""

from mla_hw.cycles.simple_memory import MEMORY_READ_LATENCY

__all__ = ["OUTPUT_READ_LATENCY", "OUTPUT_WRITE_LATENCY"]

#: Cycles from a read address to the port word.
OUTPUT_READ_LATENCY = MEMORY_READ_LATENCY
#: Cycles from an element to the first read address that sees it.
OUTPUT_WRITE_LATENCY = 3
