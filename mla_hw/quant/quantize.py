"""Weights, scales and constants of one layer as integers.

Every scale is the value of one step. Where a factor can be chosen freely it is chosen such that
what is left for the hardware is a shift: the shared scale of q_lat and q_rope takes in
softmax_scale·log2(e), the scale of ctx takes in the latents' scale / 127.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mla_hw.config import ModelConfig
from mla_hw.errors import ConfigError
from mla_hw.golden.rope import ROPE_FRACTION
from mla_hw.golden.score_unit import SCORE_FRACTION
from mla_hw.golden.softmax import SUM_BITS
from mla_hw.quant.calibrate import HEADROOM, Calibration
from mla_hw.quant.fold import FoldedLayer, pair_order
from mla_hw.quant.products import Products, expand_latents, multiply_weights, quantize_weight
from mla_hw.rope import rope_table

__all__ = [
    "Projection",
    "QuantizedLayer",
    "quantize",
    "quantize_hidden",
    "quantize_weight",
    "rope_rows",
]

_INT16 = 32767
_RANGE = (
    "--calibration: with these rows, weights and RoPE factors a scale is outside the core's range; "
    "rows as the trained layer sees them may mend it"
)
_MAX_SHIFT = 31
_MIN_CONTEXT_SHIFT = 9
#: The key's magnitude in 16 bits over that of the calibration rows. Less than HEADROOM, because
#: more costs the key resolution where kv_lora_rank is small (docs/decisions.md).
_KEY_HEADROOM = 1.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Projection:
    """One projection as it is executed: ``y = requantize(W a)`` per head or at once.

    Parameters
    ----------
    weights : [n, k] or [heads, n, k] int8
        Output channels by steps.
    multiplier : [n] or [heads, n] int
        Requantise constant of each output channel, 0 to 32767.
    pre, post : int
        Shifts of the tensor.
    """

    weights: NDArray[np.int8]
    multiplier: NDArray[np.int64]
    pre: int
    post: int


@dataclass(frozen=True, kw_only=True, eq=False)
class QuantizedLayer:
    """One layer in the integers of the numbers contract.

    Parameters
    ----------
    config : ModelConfig
    projections : dict
        By the tensor that they make, in the order of execution: q_down (with query compression),
        kv_latent, k_pe, q_pe, and those of q_nope, q_lat, o that the scheme has, y. RoPE channels
        are in pair order.
    scales : dict
        Value of one step of every tensor.
    constants : dict
        Integers of the layer: ``score_pre``, ``score_post``, ``epsilon_q``, ``epsilon_kv``,
        ``key_ratio``, ``key_ratio_shift``, ``context_shift``; those of
        :class:`~mla_hw.quant.products.Products`, where the scheme has some.
    operands : dict
        Of these.
    """

    config: ModelConfig
    projections: dict[str, Projection]
    scales: dict[str, float]
    constants: dict[str, int]
    operands: dict[str, NDArray[np.int8]]


def quantize_hidden(
    x: NDArray[np.floating], scale: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Turn hidden states into the integers that the core reads.

    Returns
    -------
    integers : int64, shape of ``x``
        Symmetric int16.
    saturated : int64, shape of ``x`` without the last axis
        How many of a row's elements were clamped.
    """
    steps = np.rint(np.asarray(x, np.float64) / scale)
    clamped = np.clip(steps, -_INT16, _INT16)
    return clamped.astype(np.int64), (clamped != steps).sum(-1)


def rope_rows(config: ModelConfig, context: int) -> NDArray[np.int64]:
    """RoPE table of the core: [context, qk_rope_head_dim] cos, sin, cos, sin, … in Q14.

    Raises
    ------
    ConfigError
        When the attention factor does not fit the format.
    """
    cos, sin = rope_table(config, np.arange(context), context)
    table = np.rint(np.stack([cos, sin], -1) * (1 << ROPE_FRACTION)).reshape(context, -1)
    if np.abs(table).max(initial=0) > _INT16:
        raise ConfigError("rope attention_factor must be below 2 to fit the core's RoPE table")
    return table.astype(np.int64)


def _static_scale(maximum: float) -> float:
    return HEADROOM * maximum / _INT16 if maximum > 0 else 1.0


def _project(
    weight: NDArray[np.float64],
    scale_in: float,
    scale_out: float,
    channel_maximum: NDArray[np.float64],
) -> Projection:
    """Round the weights, per output channel."""
    integers, scale = quantize_weight(weight)
    return _requantized(integers, scale, scale_in, scale_out, channel_maximum)


def _requantized(
    integers: NDArray[np.int8],
    scale: NDArray[np.float64],
    scale_in: float,
    scale_out: float,
    channel_maximum: NDArray[np.float64],
) -> Projection:
    """Choose the shifts: the pre-shift keeps headroom, the constant uses its 15 bits."""
    factor = scale * scale_in / scale_out
    safe = np.where(scale > 0, scale, 1) * scale_in
    sums = float((np.where(scale > 0, channel_maximum, 0) / safe).max(initial=0))
    pre = _shift_to_fit(HEADROOM * sums)
    largest = float(factor.max(initial=0)) * 2.0**pre
    post = min(_MAX_SHIFT, math.floor(math.log2(_INT16 / largest))) if largest > 0 else 0
    if post < 0:
        raise ConfigError(_RANGE)
    multiplier = np.minimum(np.rint(factor * 2.0 ** (pre + post)), _INT16).astype(np.int64)
    return Projection(weights=integers, multiplier=multiplier, pre=pre, post=post)


def _shift_to_fit(magnitude: float) -> int:
    return max(0, math.ceil(math.log2(magnitude / _INT16))) if magnitude > 0 else 0


def quantize(
    folded: FoldedLayer, calibration: Calibration, scheme: str = "absorb"
) -> QuantizedLayer:
    """Quantise a folded layer with the scales that calibration gave.

    Parameters
    ----------
    folded : FoldedLayer
    calibration : Calibration
    scheme : str
        One of :data:`~mla_hw.schedule.SCHEMES`: what the products are.

    Raises
    ------
    ConfigError
        When the calibration rows lead to scales that no shift of the core can express.
    """
    config, operands = folded.config, folded.operands
    nope, kv = config.qk_nope_head_dim, config.kv_lora_rank
    order = pair_order(config)
    maxima, channels = calibration.maxima, calibration.channel_maxima
    w_nope, w_uk, w_uv = operands["W_UQ"][:, :nope], operands["W_UK"], operands["W_UV"]
    products: Products | None = None
    if scheme == "naive":
        products = expand_latents(w_uv, w_uk, calibration.latents)
    elif scheme == "recompute":
        products = multiply_weights(w_nope, w_uk)
    expands = products if scheme == "naive" else None
    scales = {"x": _static_scale(maxima["x"])}
    for name in ("kv_latent", "k_pe", "y"):
        scales[name] = _static_scale(maxima[name])
    scales["c_kv"] = math.sqrt(kv) / _INT16
    key_gain = _key_gain(calibration, scales["c_kv"])

    # softmax_scale·log2(e)·(scales) = 2^-(pre + post + SCORE_FRACTION), exactly.
    unit = scales["c_kv"] / 127 * config.softmax_scale * math.log2(math.e)
    # What the key is multiplied by without rotation; where keys are expanded, in their units.
    query = "q_nope" if expands else "q_lat"
    key_units = expands.units["keys"] if expands else np.ones(1)
    latent = float((channels[query] * key_units).max())
    queries = max(latent, maxima["q_rope"] / key_gain, maxima["q_pe"] / key_gain)
    score_shift = math.floor(-math.log2(_static_scale(queries) * unit)) - SCORE_FRACTION
    scales[query] = 2.0 ** -(score_shift + SCORE_FRACTION) / unit
    scales["q_rope"] = scales[query] * key_gain

    # 2^(28 - shift) per unit of context / total is what normalisation leaves.
    context_unit = scales["c_kv"] / 127 * 2.0 ** (15 - SUM_BITS)
    context, largest = "ctx", maxima["ctx"]
    value_units = np.ones(1)
    if expands:
        context, value_units = "o", expands.units["values"]
        safe = np.where(value_units > 0, value_units, 1)
        largest = float(np.where(value_units > 0, channels["o"] / safe, 0).max())
    context_shift = math.ceil(math.log2(_static_scale(largest) / context_unit))
    context_shift = max(context_shift, _MIN_CONTEXT_SHIFT)
    scales[context] = context_unit * 2.0**context_shift

    projections = {}
    query_scale = scales["x"]
    constants = {}
    if config.q_lora_rank is not None:
        scales["q_down"] = _static_scale(maxima["q_down"])
        projections["q_down"] = _project(
            operands["W_DQ"], scales["x"], scales["q_down"], channels["q_down"]
        )
        query_scale = scales["c_q"] = math.sqrt(config.q_lora_rank) / _INT16
        constants["epsilon_q"] = _epsilon(config, config.q_lora_rank, scales["q_down"])
    w_dkv, w_uq = operands["W_DKV"], operands["W_UQ"]
    for name, rows in (("kv_latent", np.arange(kv)), ("k_pe", kv + order)):
        maximum = channels["kv_latent"] if name == "kv_latent" else channels["k_pe"][order]
        projections[name] = _project(w_dkv[rows], scales["x"], scales[name], maximum)
    projections["q_pe"] = _project(
        w_uq[:, nope + order].reshape(-1, w_uq.shape[-1]),
        query_scale,
        scales["q_rope"],
        channels["q_pe"][:, order].ravel(),
    )
    if expands:
        weight = w_nope * key_units[..., None]
        maximum = channels["q_nope"] * key_units
        projections["q_nope"] = _project(weight, query_scale, scales["q_nope"], maximum)
    elif products:
        projections["q_lat"] = _requantized(
            np.zeros((*products.units["q_lat"].shape, 0), np.int8),
            products.units["q_lat"],
            query_scale,
            scales["q_lat"],
            channels["q_lat"],
        )
    elif scheme == "reuse":
        weight = w_uk.transpose(0, 2, 1) @ w_nope
        projections["q_lat"] = _project(weight, query_scale, scales["q_lat"], channels["q_lat"])
    else:
        scales["q_nope"] = _static_scale(maxima["q_nope"])
        projections["q_nope"] = _project(
            w_nope.reshape(-1, w_uq.shape[-1]),
            query_scale,
            scales["q_nope"],
            channels["q_nope"].ravel(),
        )
        projections["q_lat"] = _project(
            w_uk.transpose(0, 2, 1), scales["q_nope"], scales["q_lat"], channels["q_lat"]
        )
    if not expands:
        scales["o"] = _static_scale(maxima["o"])
        projections["o"] = _project(w_uv, scales["ctx"], scales["o"], channels["o"])
    w_o = (operands["W_O"] * value_units).reshape(config.hidden_size, -1)
    projections["y"] = _project(w_o, scales["o"], scales["y"], channels["y"])

    ratio = scales["k_pe"] * key_gain / scales["c_kv"]
    ratio_shift = min(_MAX_SHIFT, math.floor(math.log2(_INT16 / ratio)))
    lengths = calibration.query_lengths
    if expands:
        # At most that of the channels' maxima.
        lengths = float(np.linalg.norm(channels["q_nope"] * key_units, axis=-1).max()), lengths[1]
    score_pre = _score_pre(
        math.hypot(lengths[0] / scales[query], lengths[1] / scales["q_rope"]),
        (nope if expands else kv) + config.qk_rope_head_dim,
    )
    score_pre = min(score_pre, score_shift, _MAX_SHIFT)
    if not 0 <= score_shift <= 2 * _MAX_SHIFT or context_shift > 35 or ratio_shift < 0:
        raise ConfigError(_RANGE)
    constants |= {
        "score_pre": score_pre,
        "score_post": score_shift - score_pre,
        "epsilon_kv": _epsilon(config, kv, scales["kv_latent"]),
        "key_ratio": round(ratio * 2.0**ratio_shift),
        "key_ratio_shift": ratio_shift,
        "context_shift": context_shift,
        **(products.constants if products else {}),
    }
    return QuantizedLayer(
        config=config,
        projections=projections,
        scales=scales,
        constants=constants,
        operands=products.operands if products else {},
    )


def _epsilon(config: ModelConfig, length: int, scale: float) -> int:
    return min(max(1, round(length * config.inner_norm_eps / scale**2)), (1 << 40) - 1)


def _key_gain(calibration: Calibration, latent_scale: float) -> float:
    """Choose the key's unit: as large as the latents, but with headroom in 16 bits."""
    if not calibration.key_level:
        return 1.0
    level = calibration.latent_level / calibration.key_level
    return min(level, _INT16 * latent_scale / (_KEY_HEADROOM * calibration.maxima["k_rope"]))


def _score_pre(query: float, channels: int) -> int:
    """Shift after which score sums of the calibration's queries, with headroom, fit 24 bits.

    By Cauchy-Schwarz: a row of int8 channels is not longer than 127·√channels.

    Parameters
    ----------
    query : float
        Largest length of a query, in steps.
    channels : int
        Of a key.
    """
    bound = HEADROOM * query * 127 * math.sqrt(channels)
    return max(0, math.ceil(math.log2(bound / (1 << 23)))) if bound > 0 else 0
