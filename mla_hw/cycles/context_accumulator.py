"""Timing of :class:`rtl_gen.units.context_accumulator.ContextAccumulator`."""

from mla_hw.cycles.rounding_shifter import shifter_timing
from mla_hw.cycles.simple_memory import MEMORY_READ_LATENCY
from mla_hw.cycles.timing import Timing

__all__ = ["CONTEXT_READ_LATENCY", "HELD_LATENCY", "SHIFT_BITS", "context_accumulator_timing"]

#: Bits of the shift amount.
SHIFT_BITS = 6
#: From an address of the context memory to its register behind the memory.
HELD_LATENCY = MEMORY_READ_LATENCY
#: From an element address at the port ``read`` to its sum: one more register joins the lanes.
CONTEXT_READ_LATENCY = HELD_LATENCY + 1


def context_accumulator_timing() -> Timing:
    """From a sum to the first cycle in which its address may be presented again.

    Read, shift, add, write. In a lane, two sums for the same address have to be at least as far
    apart, as what the second one reads would miss the first one otherwise.
    """
    return Timing(HELD_LATENCY).then(shifter_timing(SHIFT_BITS)).then(Timing(2))
