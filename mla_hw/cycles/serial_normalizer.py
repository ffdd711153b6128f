"""Timing of :class:`rtl_gen.units.serial_normalizer.SerialNormalizer`."""

from mla_hw.cycles.timing import Timing

__all__ = ["normalizer_steps", "serial_normalizer_timing"]


def normalizer_steps(bits: int, stride: int = 1) -> int:
    """Count the steps of the binary search: bits of the largest shift count."""
    return ((bits - 1) // stride).bit_length()


def serial_normalizer_timing(bits: int, stride: int = 1) -> Timing:
    """One cycle to load, then two per step; the next start with the result."""
    cycles = 2 * normalizer_steps(bits, stride) + 1
    return Timing(latency=cycles, interval=cycles)
