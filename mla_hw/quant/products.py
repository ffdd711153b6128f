"""Products that other schemes than ``absorb`` make in the core, as int8 with one constant for all.

One constant is enough, because int8 weights are relative to the largest of their row: so are the
products, and whoever takes them takes the rows' scales into weights and constants of its own.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Products", "expand_latents", "multiply_weights", "quantize_weight"]

_INT8, _INT16 = 127, 32767
_MAX_SHIFT = 31
#: Range of the products over the magnitude of the calibration rows. Less than that of 16-bit
#: tensors, because it costs resolution.
_HEADROOM = 1.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Products:
    """What the array multiplies, and what the products stand for.

    Parameters
    ----------
    operands : dict
        int8 weights that the array takes from its rows, [heads, rows, steps], and from the ring.
    units : dict
        Value of one step of a product, in that of a step of the tile, by the tensor that it is
        part of: [heads, channels].
    pre, post, factor : int
        Shifts and constant of the requantiser.
    """

    operands: dict[str, NDArray[np.int8]]
    units: dict[str, NDArray[np.float64]]
    pre: int
    post: int
    factor: int

    @property
    def constants(self) -> dict[str, int]:
        """Integers of the layer."""
        return {"product_pre": self.pre, "product_post": self.post, "product_factor": self.factor}


def quantize_weight(weight: NDArray[np.float64]) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Round to int8 symmetric per output channel (all axes but the last).

    Returns
    -------
    integers : int8, shape of ``weight``
    scale : shape without the last axis
        0 for a channel without weights.
    """
    scale = np.abs(weight).max(-1) / _INT8
    safe = np.where(scale > 0, scale, 1)
    return np.rint(weight / safe[..., None]).astype(np.int8), scale


def expand_latents(
    values: NDArray[np.float64], keys: NDArray[np.float64], latents: NDArray[np.float64]
) -> Products:
    """Quantise what makes keys and values of cached latents.

    Parameters
    ----------
    values, keys : [heads, channels, kv_lora_rank]
        W_UV and W_UK.
    latents : [n, kv_lora_rank]
        Of the calibration rows, each relative to its largest magnitude.
    """
    operands, units, largest = {}, {}, 0.0
    for name, weights in (("values", values), ("keys", keys)):
        operands[name], units[name] = quantize_weight(weights)
        sums = operands[name].astype(np.float64) @ (_INT8 * latents.T)
        largest = max(largest, float(np.abs(sums).max(initial=0)))
    return _products(operands, units, _HEADROOM * largest)


def multiply_weights(queries: NDArray[np.float64], keys: NDArray[np.float64]) -> Products:
    """Quantise the factors of W_UKQ[h]; ``units`` has those of its latent channels, ``q_lat``.

    A gain per channel of q_nope moves from one factor to the other, so that one scale is enough for
    the first.

    Parameters
    ----------
    queries : [heads, qk_nope_head_dim, inputs]
        W_UQ without the rows of RoPE.
    keys : [heads, qk_nope_head_dim, kv_lora_rank]
        W_UK.
    """
    rows, gain = quantize_weight(queries)
    columns, unit = quantize_weight((keys * gain[..., None]).transpose(0, 2, 1))
    sums = columns.astype(np.float64) @ rows.astype(np.float64)
    operands = {"W_UQ": rows.transpose(0, 2, 1), "W_UK": columns.transpose(0, 2, 1)}
    return _products(operands, {"q_lat": unit}, float(np.abs(sums).max(initial=0)))


def _products(
    operands: dict[str, NDArray[np.int8]], units: dict[str, NDArray[np.float64]], largest: float
) -> Products:
    """Choose shifts and constant such that a sum of this magnitude becomes 127."""
    largest = max(largest, 1.0)
    pre = max(0, math.ceil(math.log2(largest / _INT16)))
    ratio = _INT8 / largest * 2.0**pre
    post = min(_MAX_SHIFT, math.floor(math.log2(_INT16 / ratio)))
    factor = math.floor(ratio * 2.0**post)
    step = 2.0 ** (pre + post) / factor
    units = {name: unit * step for name, unit in units.items()}
    return Products(operands=operands, units=units, pre=pre, post=post, factor=factor)
