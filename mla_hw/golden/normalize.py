"""Golden model of :class:`rtl_gen.units.normalize.Normalize`: context divided by the sum."""

from mla_hw.golden.arithmetic import Ints, bit_length, round_shift, saturate
from mla_hw.golden.softmax import SUM_BITS

__all__ = ["RECIPROCAL_BITS", "normalize_context", "reciprocal_of_sum"]

RECIPROCAL_BITS = 14


def reciprocal_of_sum(total: int) -> tuple[int, int]:
    """Exact divide: (floor((2^42 - 1) / (total << n)), n) with ``total << n`` in [2^27, 2^28).

    The reciprocal is within [2^14, 2^15).
    """
    n = SUM_BITS - int(bit_length(total))
    return ((1 << (SUM_BITS + RECIPROCAL_BITS)) - 1) // (total << n), n


def normalize_context(context: Ints, total: int, shift: int) -> tuple[Ints, int]:
    """Divide one head's context sums by its softmax sum: ``context / total * 2^(28 - shift)``.

    Parameters
    ----------
    context : [n] int, 36 bits signed
    total : int
        At least 2^18 (the largest probability alone gives 2^19 - 32), below 2^28.
    shift : int
        Static, 9 to 35; it and the power of two in the scale of ctx are one choice.

    Returns
    -------
    ctx : [n] int16, symmetric
    saturated : int
    """
    reciprocal, n = reciprocal_of_sum(total)
    shifted = round_shift(context, shift - n)
    narrow, _ = saturate(shifted, 16)
    scaled = round_shift(narrow * reciprocal, RECIPROCAL_BITS)
    ctx, _ = saturate(scaled, 16)
    return ctx, int(((narrow != shifted) | (ctx != scaled)).sum())
