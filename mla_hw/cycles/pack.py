"""Timing of :class:`rtl_gen.units.pack.Pack`."""

from mla_hw.cycles.multiplier import MULTIPLIER_TIMING
from mla_hw.cycles.rounding_shifter import rounding_shifter_timing
from mla_hw.cycles.sequencing import COMMAND_LATENCY, OPERAND_LATENCY, WALK_LATENCY
from mla_hw.cycles.serial_divider import serial_divider_timing
from mla_hw.cycles.serial_normalizer import serial_normalizer_timing

__all__ = [
    "INVERSE_BITS",
    "LARGEST_LATENCY",
    "SCALE_BITS",
    "SHIFT_BITS",
    "VALUE_LATENCY",
    "pack_cycles",
]

#: Bits of the token's scale: the largest magnitude.
SCALE_BITS = 15
#: Bits of its inverse.
INVERSE_BITS = 15
#: Bits of both shifts, that of the ratio and that of the inverse.
SHIFT_BITS = 5
_SHIFT = rounding_shifter_timing(SHIFT_BITS).latency
#: From an address to the element in the unit of the latents, in a register.
VALUE_LATENCY = OPERAND_LATENCY + MULTIPLIER_TIMING.latency + _SHIFT + 1
#: From there to its magnitude and the largest so far.
LARGEST_LATENCY = 2


def pack_cycles(k: int, n: int) -> int:
    """Count cycles from the accepted command to ``done``.

    Parameters
    ----------
    k, n : int
        Latents and elements of the RoPE key.
    """
    last_value = WALK_LATENCY + k + n - 1 + VALUE_LATENCY
    inverse = serial_normalizer_timing(SCALE_BITS).then(serial_divider_timing(INVERSE_BITS))
    # Behind the last byte come the two of the scale, and a cycle in which they are stored.
    outputs = last_value + MULTIPLIER_TIMING.latency + _SHIFT + 1 + 2 + 1
    return COMMAND_LATENCY + last_value + LARGEST_LATENCY + inverse.latency + outputs
