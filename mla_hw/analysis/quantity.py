"""Numbers for people."""

__all__ = ["quantity"]

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def quantity(value: float) -> str:
    """Return a number with up to four digits and a decimal prefix."""
    for unit, prefix in _PREFIXES:
        if value >= unit:
            return f"{value / unit:.4g} {prefix}"
    return f"{value:.4g}"
