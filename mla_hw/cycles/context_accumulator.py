"""Timing of :class:`rtl_gen.units.context_accumulator.ContextAccumulator`."""

from mla_hw.cycles.rounding_shifter import shifter_timing
from mla_hw.cycles.simple_memory import MEMORY_READ_LATENCY
from mla_hw.cycles.timing import Timing

__all__ = [
    "ADDRESS_LATENCY",
    "CONTEXT_READ_LATENCY",
    "HELD_LATENCY",
    "SHIFT_BITS",
    "context_accumulator_timing",
]

#: Bits of the shift amount.
SHIFT_BITS = 6
#: The address of the context memory has a register.
ADDRESS_LATENCY = 1
#: From an address to what lies there.
HELD_LATENCY = ADDRESS_LATENCY + MEMORY_READ_LATENCY
#: From an element address at the port ``read`` to its sum: one more register joins the lanes.
CONTEXT_READ_LATENCY = HELD_LATENCY + 1


def context_accumulator_timing() -> Timing:
    """From a sum to the first cycle in which its address may be presented again.

    Read, choose, shift, add, write; the memory sees that address one cycle later, too. In a lane,
    two sums for the same address have to be at least as far apart, as what the second one reads
    would miss the first one otherwise.
    """
    shift = Timing(1).then(shifter_timing(SHIFT_BITS))
    return Timing(MEMORY_READ_LATENCY).then(shift).then(Timing(2))
