"""Golden model of :class:`rtl_gen.units.serial_divider.SerialDivider`."""

__all__ = ["divide"]


def divide(numerator: int, denominator: int) -> int:
    """Exact quotient, rounded down.

    Parameters
    ----------
    numerator : int
        Not negative.
    denominator : int
        Positive.
    """
    return numerator // denominator
