"""Golden model of :class:`rtl_gen.units.context_accumulator.ContextAccumulator`."""

import numpy as np

from mla_hw.golden.arithmetic import Ints, round_shift
from mla_hw.golden.softmax import GUARD_BITS, ShiftControl

__all__ = ["CONTEXT_BITS", "accumulate_context"]

#: Enough for any context length, because the sum of probabilities stays below 2 ** SUM_BITS.
CONTEXT_BITS = 36


def accumulate_context(held: Ints, tile: Ints, control: ShiftControl) -> Ints:
    """Join one head's context sums of a tile to what is held for the tiles before.

    Parameters
    ----------
    held : [n] int, 36 bits signed
    tile : [n] int
        Sums of probability times latent, as the array drains them.
    control : ShiftControl
        From :func:`~mla_hw.golden.softmax.softmax_tile`.
    """
    tile = tile << GUARD_BITS
    if control.first:
        return tile
    large, small = (tile, held) if control.swap else (held, tile)
    joined = large + round_shift(small, control.shift)
    if control.halve:
        joined = round_shift(joined, 1)
    assert np.abs(joined).max(initial=0) < 1 << (CONTEXT_BITS - 1)
    return joined
