"""Static scales from calibration rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mla_hw.graph import build_graph, evaluate
from mla_hw.quant.fold import FoldedLayer

__all__ = ["HEADROOM", "Calibration", "calibrate"]

#: A static scale holds this many times the largest magnitude of the calibration rows.
HEADROOM = 4.0

_CAPTURED = ("kv_latent", "k_pe", "c_kv", "k_rope", "q", "q_rope", "q_lat", "ctx", "o")


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """What the calibration rows showed.

    Parameters
    ----------
    rows : int
        How many there were.
    maxima : dict
        Largest magnitude of each tensor: x, q_down, kv_latent, k_pe, q_nope, q_rope, q_lat, ctx,
        o, y.
    channel_maxima : dict
        The same per output channel, for the tensors that a projection makes.
    latent_level, key_level : float
        Mean over the rows of the largest magnitude in a row's latents and RoPE key.
    query_lengths : (float, float)
        Largest Euclidean length of a head's q_lat and q_rope.
    latents : [rows, kv_lora_rank]
        c_kv, each row relative to its largest magnitude.
    """

    rows: int
    maxima: dict[str, float]
    channel_maxima: dict[str, NDArray[np.float64]]
    latent_level: float
    key_level: float
    query_lengths: tuple[float, float]
    latents: NDArray[np.float64]


def calibrate(
    folded: FoldedLayer, x: NDArray[np.floating], *, context: int | None = None
) -> Calibration:
    """Decode the calibration rows as one sequence in float64 and keep what scales need.

    Parameters
    ----------
    folded : FoldedLayer
    x : [n, hidden_size]
    context : int or None
        Tokens that the RoPE table is made for; None takes n.
    """
    config, nope = folded.config, folded.config.qk_nope_head_dim
    captured = _CAPTURED + (("q_down",) if config.q_lora_rank is not None else ())
    values = evaluate(build_graph(config), folded.operands, x, capture=captured, context=context)
    query = values.pop("q")
    tensors = {
        **values,
        "x": np.asarray(x, np.float64),
        "q_nope": query[..., :nope],
        "q_pe": query[..., nope:],
    }
    # A rotated pair may point anywhere, so a channel's bound is its pair's magnitude.
    channel = {name: np.abs(value).max(0) for name, value in tensors.items()}
    levels = np.abs(tensors["c_kv"]).max(1, keepdims=True)
    return Calibration(
        rows=len(x),
        maxima={name: float(value.max()) for name, value in channel.items()},
        channel_maxima=channel,
        latent_level=float(np.abs(tensors["c_kv"]).max(1).mean()),
        key_level=float(np.abs(tensors["k_rope"]).max(1).mean()),
        query_lengths=(_longest(tensors["q_lat"]), _longest(tensors["q_rope"])),
        latents=tensors["c_kv"] / np.where(levels > 0, levels, 1),
    )


def _longest(vectors: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(vectors, axis=-1).max())
