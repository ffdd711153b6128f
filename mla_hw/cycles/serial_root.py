"""Timing of :class:`rtl_gen.units.serial_root.SerialRoot`."""

from mla_hw.cycles.timing import Timing

__all__ = ["serial_root_timing"]


def serial_root_timing(bits: int) -> Timing:
    """One cycle to load, then one per bit of the root; the next start with the result."""
    return Timing(latency=bits // 2 + 1, interval=bits // 2 + 1)
