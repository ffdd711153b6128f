"""Golden model of :class:`rtl_gen.units.score_unit.ScoreUnit`."""

from mla_hw.golden.arithmetic import Ints, round_shift, saturate

__all__ = ["SCORE_BITS", "SCORE_FRACTION", "scale_scores"]

SCORE_BITS = 24
SCORE_FRACTION = 10


def scale_scores(acc: Ints, token_scale: Ints, pre: int, post: int) -> tuple[Ints, int]:
    """Bring score sums to log2 units with ``SCORE_FRACTION`` fraction bits.

    softmax_scale * log2(e) and the static scales are folded into the scale of the queries, which
    is chosen so that what is left of the score multiplier is ``2 ** -(pre + post)``.

    Parameters
    ----------
    acc : [heads, tokens] int
    token_scale : [tokens] int
        Dynamic scale of each cache row, 1 to 32767.
    pre, post : int
        Rounding shifts, 0 to 31.

    Returns
    -------
    scores : [heads, tokens], 24 bits signed
    saturated : int
    """
    shifted = round_shift(acc, pre)
    narrow, _ = saturate(shifted, SCORE_BITS)
    scaled = round_shift(narrow * token_scale, post)
    scores, _ = saturate(scaled, SCORE_BITS)
    limited = (narrow != shifted) | (scores != scaled)
    return scores, int(limited.sum())
