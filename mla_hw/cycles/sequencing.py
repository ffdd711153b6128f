"""Timing of :mod:`rtl_gen.sequencing`, with which every vector unit begins."""

from mla_hw.cycles.simple_memory import MEMORY_READ_LATENCY

__all__ = ["COMMAND_LATENCY", "OPERAND_LATENCY", "WALK_LATENCY"]

#: From the accepted command to the pulse that begins the work.
COMMAND_LATENCY = 1
#: From the start of a walk to its first address.
WALK_LATENCY = 1
#: From an address to the operand that was read: the memory and a register.
OPERAND_LATENCY = MEMORY_READ_LATENCY + 1
