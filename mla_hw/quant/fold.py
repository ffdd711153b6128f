"""Fold what needs no hardware of its own into the weights."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mla_hw.checkpoint import LayerWeights
from mla_hw.config import ModelConfig
from mla_hw.graph import build_graph, evaluate

__all__ = ["FoldedLayer", "fold", "pair_order"]

Array = NDArray[np.float64]
#: Even out RoPE pairs by at most this factor either way; beyond it a pair is as good as absent.
_GAIN_LIMIT = 256.0


@dataclass(frozen=True, kw_only=True, eq=False)
class FoldedLayer:
    """Weights of the ``absorb`` graph whose norms have no weights of their own.

    Parameters
    ----------
    config : ModelConfig
    operands : dict
        By the names and in the shapes of the graph's weight nodes; ``g_q`` and ``g_kv`` are 1.
        RoPE rows keep the checkpoint's order.
    pair_gain : [qk_rope_head_dim / 2]
        Gain that moved from the query rows to the key rows of each RoPE pair.
    """

    config: ModelConfig
    operands: dict[str, Array]
    pair_gain: Array


def pair_order(config: ModelConfig) -> NDArray[np.int64]:
    """Order of the checkpoint's RoPE rows in which pairs are adjacent."""
    rows = np.arange(config.qk_rope_head_dim)
    if config.rope_interleave:
        return rows
    return rows.reshape(2, -1).T.ravel()


def fold(layer: LayerWeights, x: NDArray[np.floating]) -> FoldedLayer:
    """Fold norm weights into the next projection and even out the RoPE key's channels.

    q_a_layernorm goes into q_b, kv_a_layernorm into both halves of kv_b. A gain per RoPE pair
    commutes with the rotation, so it may move from the query rows to the key rows; it is chosen
    such that every pair of the key reaches the same magnitude over the calibration rows, because
    all channels of a cache row share one int8 step.

    Parameters
    ----------
    layer : LayerWeights
    x : [n, hidden_size]
        Calibration rows.
    """
    config, operands = layer.config, dict(layer.operands())
    if config.q_lora_rank is not None:
        operands["W_UQ"] = operands["W_UQ"] * operands["g_q"]
        operands["g_q"] = np.ones_like(operands["g_q"])
    operands["W_UK"] = operands["W_UK"] * operands["g_kv"]
    operands["W_UV"] = operands["W_UV"] * operands["g_kv"]
    operands["g_kv"] = np.ones_like(operands["g_kv"])

    order = pair_order(config)
    key = evaluate(build_graph(config), operands, x, capture=("k_pe",))["k_pe"]
    pairs = key[:, order].reshape(len(key), -1, 2)
    magnitude = np.sqrt((pairs**2).sum(-1)).max(0)
    level = np.exp(np.log(magnitude[magnitude > 0]).mean()) if magnitude.any() else 1.0
    gain = np.where(magnitude > 0, level / np.where(magnitude > 0, magnitude, 1), 1.0)
    gain = np.clip(gain, 1 / _GAIN_LIMIT, _GAIN_LIMIT)
    by_row = np.empty(config.qk_rope_head_dim)
    by_row[order] = np.repeat(gain, 2)
    w_dkv, w_uq = operands["W_DKV"].copy(), operands["W_UQ"].copy()
    w_dkv[config.kv_lora_rank :] *= by_row[:, None]
    w_uq[:, config.qk_nope_head_dim :] /= by_row[:, None]
    return FoldedLayer(
        config=config, operands={**operands, "W_DKV": w_dkv, "W_UQ": w_uq}, pair_gain=gain
    )
