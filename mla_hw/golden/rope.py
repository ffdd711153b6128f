"""Golden model of :class:`rtl_gen.units.rope.Rope`: rotary position embedding."""

import numpy as np

from mla_hw.golden.arithmetic import Ints, round_shift, saturate

__all__ = ["ROPE_FRACTION", "rotate_pairs"]

#: cos and sin are Q14, so that an attention factor of up to 1.99 fits.
ROPE_FRACTION = 14


def rotate_pairs(values: Ints, table: Ints) -> tuple[Ints, int]:
    """Rotate adjacent pairs (0, 1), (2, 3) and so on.

    Either pairing of the checkpoint becomes adjacent by the order in which the memory image
    holds the rows of the projections.

    Parameters
    ----------
    values : [..., dim] int16
    table : [dim] int16
        The position's row of the RoPE table: cos, sin, cos, sin, …, Q14.

    Returns
    -------
    rotated : [..., dim] int16, adjacent pairs again
    saturated : int
    """
    even, odd = values[..., 0::2], values[..., 1::2]
    cos, sin = table[0::2], table[1::2]
    turned = np.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1)
    return saturate(round_shift(turned, ROPE_FRACTION).reshape(values.shape), 16)
