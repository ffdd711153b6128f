"""Golden model of :class:`rtl_gen.units.norm.Norm`: RMSNorm without weights."""

import math

from mla_hw.golden.arithmetic import Ints, round_shift, saturate

__all__ = ["rms_norm"]

_SQUARE_BITS = 48


def rms_norm(values: Ints, epsilon: int) -> Ints:
    """``32767 * v / sqrt(sum(v^2) + epsilon)``: RMSNorm whose output scale is √length / 32767.

    The weights are folded into the next projection. The output never saturates: the root is too
    small by less than one part in 2^23, so that the largest magnitude is below 32767.5.

    Parameters
    ----------
    values : [length] int16
        length below 2^17.
    epsilon : int
        length * eps / scale^2 of the true input, at least 1 and below 2^40.
    """
    total = int((values * values).sum()) + epsilon
    half_shift = (_SQUARE_BITS - total.bit_length()) // 2
    root = math.isqrt(total << (2 * half_shift))  # in [2^23, 2^24)
    inverse = (32767 << 23) // root  # in (2^14 - 1, 2^15)
    return saturate(round_shift(values * inverse, 23 - half_shift), 16)[0]
