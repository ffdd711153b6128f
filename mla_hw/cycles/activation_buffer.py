"""Timing of :class:`rtl_gen.units.activation_buffer.ActivationBuffer`."""

from mla_hw.cycles.simple_memory import MEMORY_READ_LATENCY

__all__ = ["ACTIVATION_READ_LATENCY", "ACTIVATION_WRITE_LATENCY"]

#: Cycles from a read request to its lanes: address, memory (2), a register behind it, half, lane.
#: Equal to LATENT_READ_LATENCY, because both operands of the array leave in the same cycle.
ACTIVATION_READ_LATENCY = MEMORY_READ_LATENCY + 4
#: Cycles from a write to the first read request that sees it.
ACTIVATION_WRITE_LATENCY = 2
