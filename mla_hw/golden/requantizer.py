"""Golden model of :class:`rtl_gen.units.requantizer.Requantizer`."""

import numpy as np

from mla_hw.golden.arithmetic import Ints, round_shift, saturate

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
    rounded = round_shift(acc, pre)
    narrow, _ = saturate(rounded, 16)
    product = round_shift(narrow * multiplier, post)
    y, _ = saturate(product, bits)
    limited = (narrow != rounded) | (y != product)
    return y, int(np.count_nonzero(limited))
