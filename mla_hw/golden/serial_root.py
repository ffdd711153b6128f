"""Golden model of :class:`rtl_gen.units.serial_root.SerialRoot`."""

import math

__all__ = ["square_root"]


def square_root(radicand: int) -> int:
    """Exact square root of a number that is not negative, rounded down."""
    return math.isqrt(radicand)
