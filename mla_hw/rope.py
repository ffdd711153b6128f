"""Rotary position embedding in float64: frequencies, tables, rotation."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mla_hw.config import ModelConfig
from mla_hw.rope_config import RopeConfig, yarn_mscale

__all__ = ["apply_rope", "attention_factor", "inverse_frequencies", "rope_table"]


def inverse_frequencies(rope: RopeConfig, dim: int, context: int) -> NDArray[np.float64]:
    """Compute the angle per position of each channel pair.

    Parameters
    ----------
    rope : RopeConfig
        Type and parameters, with the semantics of Hugging Face transformers.
    dim : int
        Rotated channels per head, even.
    context : int
        Tokens for which the frequencies are made. Longrope uses ``long_factor`` if it exceeds
        ``original_max_position_embeddings``, else ``short_factor``; other types ignore it.

    Returns
    -------
    NDArray
        Frequencies in radians per position, [dim / 2].
    """
    frequencies = rope.rope_theta ** (-np.arange(0, dim, 2) / dim)
    if rope.rope_type == "yarn":
        ramp = _yarn_ramp(rope, dim)
        return np.asarray(frequencies * (1 - ramp) + frequencies / _factor(rope) * ramp)
    if rope.rope_type == "longrope":
        stretched = context > _original(rope)
        return np.asarray(frequencies / np.asarray(_extension(rope, stretched)))
    return np.asarray(frequencies)


def attention_factor(rope: RopeConfig) -> float:
    """Return the multiplier of cos and sin, which acts squared on the rotated part of a score."""
    if rope.rope_type == "default":
        return 1.0
    if rope.attention_factor is not None:
        return rope.attention_factor
    factor = _factor(rope)
    if rope.rope_type == "longrope":
        if factor <= 1:
            return 1.0
        return math.sqrt(1 + math.log(factor) / math.log(_original(rope)))
    if rope.mscale and rope.mscale_all_dim:
        return yarn_mscale(factor, rope.mscale) / yarn_mscale(factor, rope.mscale_all_dim)
    return yarn_mscale(factor)


def rope_table(
    config: ModelConfig, positions: ArrayLike, context: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Tabulate cos and sin, :func:`attention_factor` included.

    Parameters
    ----------
    config : ModelConfig
        The layer.
    positions : array_like of int
        Token positions, [n].
    context : int
        Tokens that the cache is made for. All rows of one cache must be rotated alike, so with
        longrope the choice of frequencies (:func:`inverse_frequencies`) is made once per table
        and not, as in Hugging Face, whenever the running length crosses the original context.

    Returns
    -------
    cos, sin : NDArray
        Both [n, qk_rope_head_dim / 2].
    """
    frequencies = inverse_frequencies(config.rope, config.qk_rope_head_dim, context)
    angles = np.asarray(positions, dtype=np.float64)[:, None] * frequencies
    factor = attention_factor(config.rope)
    return np.cos(angles) * factor, np.sin(angles) * factor


def apply_rope(
    x: NDArray[np.float64],
    cos: NDArray[np.float64],
    sin: NDArray[np.float64],
    *,
    interleaved: bool,
) -> NDArray[np.float64]:
    """Rotate channel pairs; the result is in half-split order for both pairings.

    Element ``i`` of the first half and of the second half of the result belong to pair ``i``, as
    in Hugging Face's DeepSeek-V3. Query and key are permuted alike, so scores do not depend on
    the order.

    Parameters
    ----------
    x : NDArray
        Channels in checkpoint order, [..., dim].
    cos, sin : NDArray
        Tables that broadcast to [..., dim / 2].
    interleaved : bool
        True for pairs ``(2 i, 2 i + 1)``, False for pairs ``(i, i + dim / 2)``.
    """
    half = x.shape[-1] // 2
    first, second = (x[..., 0::2], x[..., 1::2]) if interleaved else (x[..., :half], x[..., half:])
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def _yarn_ramp(rope: RopeConfig, dim: int) -> NDArray[np.float64]:
    # 0 keeps a frequency, 1 divides it by the factor; the bounds are indices of frequencies
    # that turn beta_fast and beta_slow times within the original context.
    def index(rotations: float) -> float:
        wavelength = _original(rope) / (2 * math.pi * rotations)
        return dim * math.log(wavelength) / (2 * math.log(rope.rope_theta))

    low, high = index(rope.beta_fast), index(rope.beta_slow)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    width = high - low or 0.001
    return np.clip((np.arange(dim // 2) - low) / width, 0.0, 1.0)


def _factor(rope: RopeConfig) -> float:
    assert rope.factor is not None, "RopeConfig checks that yarn and longrope have a factor"
    return rope.factor


def _original(rope: RopeConfig) -> int:
    assert rope.original_max_position_embeddings is not None, "checked by RopeConfig"
    return rope.original_max_position_embeddings


def _extension(rope: RopeConfig, stretched: bool) -> tuple[float, ...]:
    extension = rope.long_factor if stretched else rope.short_factor
    assert extension is not None, "checked by RopeConfig"
    return extension
