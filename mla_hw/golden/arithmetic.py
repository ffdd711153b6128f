"""Rounding, saturation and the exact bit-serial operations that every unit shares."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Ints", "bit_length", "isqrt", "round_shift", "saturate", "symmetric_limit"]

Ints = NDArray[np.int64]

_WORD = 62  # a shift by this much already clears every word of the core


def round_shift(value: ArrayLike, shift: ArrayLike) -> Ints:
    """Add half, shift right arithmetically; a shift beyond the word width gives 0.

    Parameters
    ----------
    value : array_like of int
        At most 60 bits, signed.
    shift : array_like of int
        Not negative; broadcast against ``value``.
    """
    value, shift = np.asarray(value, np.int64), np.minimum(np.asarray(shift, np.int64), _WORD)
    half = (np.int64(1) << shift) >> 1
    return np.asarray((value + half) >> shift, np.int64)


def symmetric_limit(bits: int) -> int:
    """Largest magnitude of a symmetric signed number: 127 for 8 bits."""
    return (1 << (bits - 1)) - 1


def saturate(value: ArrayLike, bits: int) -> tuple[Ints, int]:
    """Clamp to ``bits`` symmetric signed bits; return the result and how many were clamped."""
    value, limit = np.asarray(value, np.int64), symmetric_limit(bits)
    # Twice as fast as np.clip for the few elements that there mostly are.
    clamped = np.minimum(np.maximum(value, -limit), limit)
    return clamped, int(np.count_nonzero(clamped != value))


def bit_length(value: ArrayLike) -> Ints:
    """Position of the highest set bit plus one; 0 for 0. Exact up to 62 bits."""
    value = np.asarray(value, np.int64)
    length = np.zeros_like(value)
    for step in (32, 16, 8, 4, 2, 1):
        high = value >> (length + step) != 0
        length = length + np.where(high, step, 0)
    return np.asarray(length + (value >> length != 0), np.int64)


def isqrt(value: ArrayLike) -> Any:
    """Exact integer square root, element by element."""
    return np.vectorize(math.isqrt, otypes=[np.int64])(value)
