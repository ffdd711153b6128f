"""Golden model of :class:`rtl_gen.units.requantizer.Requantizer`."""

from mla_hw.golden.arithmetic import Ints, round_shift, saturate, symmetric_limit

__all__ = ["requantize"]


def requantize(
    acc: Ints, multiplier: Ints, pre: int, post: int, *, bits: int = 16
) -> tuple[Ints, int]:
    """Bring projection sums to int16: pre-shift, times the channel's constant, shift.

    One 16×16 multiplier does it, hence the saturation between the two shifts.

    Parameters
    ----------
    acc : [..., n] int
        Sums as the array drains them.
    multiplier : [n] int16
        Constant of each output channel, 0 to 32767.
    pre, post : int
        Rounding shifts of the tensor, 0 to 31.
    bits : int
        16, or 8 for product rows.

    Returns
    -------
    y : [..., n] int of so many bits, symmetric
    saturated : int
        Number of elements that met a limit, before or after the multiplication.
    """
    narrow, _ = saturate(round_shift(acc, pre), 16)
    y, _ = saturate(round_shift(narrow * multiplier, post), bits)
    limited = (abs(round_shift(acc, pre)) > 32767) | (
        abs(round_shift(narrow * multiplier, post)) > symmetric_limit(bits)
    )
    return y, int(limited.sum())
