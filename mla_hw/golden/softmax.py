"""Golden model of :class:`rtl_gen.units.softmax.Softmax`: online softmax, one tile at a time."""

from dataclasses import dataclass

import numpy as np

from mla_hw.golden.arithmetic import Ints, round_shift
from mla_hw.golden.score_unit import SCORE_FRACTION

__all__ = [
    "EXP2_SEGMENTS",
    "EXP2_TABLE",
    "GUARD_BITS",
    "SUM_BITS",
    "ShiftControl",
    "SoftmaxState",
    "exp2_fraction",
    "softmax_tile",
]

EXP2_SEGMENTS = 16
_LOW_BITS = SCORE_FRACTION - 4
#: 2 ** (-i / 16) in Q15, with 32767 for 1 so that it stays within 16 signed bits.
EXP2_TABLE = tuple(round(32767 * 2 ** (-i / EXP2_SEGMENTS)) for i in range(EXP2_SEGMENTS + 1))
GUARD_BITS = 5
#: The sum stays below 2 ** SUM_BITS; reaching it raises the exponent by one.
SUM_BITS = 28


@dataclass(frozen=True, slots=True)
class ShiftControl:
    """How the context accumulator joins a tile to what it holds for one head.

    Parameters
    ----------
    first : bool
        Overwrite: nothing is held yet.
    swap : bool
        The tile has the larger exponent: what is held is shifted, not the tile.
    shift : int
        Rounding shift of the smaller one, 0 to 63 (clamped: everything from 63 on gives 0).
    halve : bool
        Shift the sum by one more: the exponent was raised.
    """

    first: bool
    swap: bool
    shift: int
    halve: bool


@dataclass(frozen=True, slots=True)
class SoftmaxState:
    """Running exponent and sum of one head.

    Parameters
    ----------
    exponent : int
        log2 units; probabilities and ``total`` are relative to ``2 ** exponent``.
    total : int
        Sum of the exponentials, Q15 with ``GUARD_BITS`` more.
    """

    exponent: int
    total: int


def exp2_fraction(fraction: Ints) -> Ints:
    """``2 ** -(fraction / 2**SCORE_FRACTION)`` in Q15 by linear interpolation; below 2^15."""
    index, low = fraction >> _LOW_BITS, fraction & ((1 << _LOW_BITS) - 1)
    table = np.array(EXP2_TABLE, np.int64)
    slope = table[index] - table[index + 1]
    return np.asarray(table[index] - round_shift(slope * low, _LOW_BITS), np.int64)


def softmax_tile(
    scores: Ints, token_scale: Ints, state: SoftmaxState | None
) -> tuple[Ints, SoftmaxState, ShiftControl]:
    """Turn one head's scores of one tile into probabilities.

    Parameters
    ----------
    scores : [tokens] int
        True tokens only, as :func:`~mla_hw.golden.score_unit.scale_scores` gives them.
    token_scale : [tokens] int
    state : SoftmaxState or None
        State after the tiles before; None before the first.

    Returns
    -------
    probabilities : [tokens] int16, below 2^15
        Relative to the tile's exponent and times the token's scale / 2^15.
    state, control
        State after this tile, and what the context accumulator has to do with the tile.

    Notes
    -----
    Exponents are relative to the tile and of old and new sums exactly one is shifted: AMLA's
    shift instead of a multiplication (arXiv 2509.25224).
    """
    tile_exponent = (int(scores.max()) >> SCORE_FRACTION) + 1
    distance = (tile_exponent << SCORE_FRACTION) - scores
    whole = distance >> SCORE_FRACTION
    value = exp2_fraction(distance & ((1 << SCORE_FRACTION) - 1))
    tile_total = int(round_shift(value << GUARD_BITS, whole).sum())
    probabilities = round_shift(value * token_scale, 15 + whole)
    if state is None:
        return (
            probabilities,
            SoftmaxState(tile_exponent, tile_total),
            ShiftControl(True, False, 0, False),
        )
    delta = tile_exponent - state.exponent
    if swap := delta > 0:
        total = tile_total + int(round_shift(state.total, delta))
    else:
        total = state.total + int(round_shift(tile_total, -delta))
    exponent = max(tile_exponent, state.exponent)
    if halve := total >= 1 << SUM_BITS:
        total, exponent = int(round_shift(total, 1)), exponent + 1
    return (
        probabilities,
        SoftmaxState(exponent, total),
        ShiftControl(False, swap, min(abs(delta), 63), halve),
    )
