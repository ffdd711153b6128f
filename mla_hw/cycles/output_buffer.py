"""Timing of :class:`rtl_gen.units.output_buffer.OutputBuffer`."""

__all__ = ["OUTPUT_READ_LATENCY", "OUTPUT_WRITE_LATENCY"]

#: Cycles from a read address to the port word.
OUTPUT_READ_LATENCY = 1
#: Cycles from an element to the first read address that sees it.
OUTPUT_WRITE_LATENCY = 2
