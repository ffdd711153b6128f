"""Timing of :class:`rtl_gen.units.serial_divider.SerialDivider`."""

from mla_hw.cycles.timing import Timing

__all__ = ["serial_divider_timing"]


def serial_divider_timing(quotient_bits: int) -> Timing:
    """One cycle to load, then one per bit of the quotient; the next start with the result."""
    return Timing(latency=quotient_bits + 1, interval=quotient_bits + 1)
