"""Reference cases: layers that Hugging Face transformers 5.23.0 ran in float64.

Small cases are stored whole. Of a large one only the expected results are stored; its weights and
hidden states are drawn again from the seed, tensor by tensor in the order in which they were drawn
when the results were computed.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from mla_hw.checkpoint import LayerWeights, load_layer, tensor_shapes
from mla_hw.config import ModelConfig

__all__ = ["CASES", "SMALL_CASES", "Case", "case_dir", "load_case", "write_case"]

_ROOT = Path(__file__).resolve().parent
SMALL_CASES = ("tiny-v3", "small-v2lite", "odd-shape")
CASES = (*SMALL_CASES, "v2lite-dims", "v3-quarter-heads")


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """One layer with its input, and the results of the last `n_out` tokens."""

    config: ModelConfig
    weights: LayerWeights
    x: np.ndarray
    y: np.ndarray
    c_kv_last: np.ndarray
    k_rope_last: np.ndarray

    @property
    def n_out(self) -> int:
        return len(self.y)


def case_dir(name: str) -> Path:
    """Return the folder that a case is stored in."""
    return _ROOT.parent / "examples" / name if name == "tiny-v3" else _ROOT / "data" / name


@lru_cache(maxsize=2)
def load_case(name: str) -> Case:
    """Load a case, or draw it; treat its arrays as read-only."""
    folder = case_dir(name)
    with np.load(folder / "expected.npz") as stored:
        expected = dict(stored)
    if (folder / "model.safetensors").exists():
        weights = load_layer(folder)
    else:
        weights, expected["x"] = _draw(folder)
    return Case(config=weights.config, weights=weights, **expected)


def write_case(name: str, folder: Path) -> Path:
    """Write a case as a checkpoint folder with expected.npz (x included); return the folder."""
    case = load_case(name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_bytes((case_dir(name) / "config.json").read_bytes())
    save_file(
        {f"model.layers.0.self_attn.{key}": w for key, w in case.weights.tensors.items()},
        folder / "model.safetensors",
    )
    results = {key: getattr(case, key) for key in ("x", "y", "c_kv_last", "k_rope_last")}
    np.savez(folder / "expected.npz", **results)
    return folder


def _draw(folder: Path) -> tuple[LayerWeights, np.ndarray]:
    config = ModelConfig.from_file(folder / "config.json")
    case = json.loads((folder / "case.json").read_text())
    rng = np.random.default_rng(case["seed"])

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32)

    query = "q_proj.weight" if config.q_lora_rank is None else "q_b_proj.weight"
    tensors = {}
    for name, shape in tensor_shapes(config).items():
        drawn = normal(*shape)
        if len(shape) == 1:
            tensors[name] = 1 + np.float32(0.1) * drawn
        else:
            # Each factor is rounded to float32 by itself, as it was for the stored results.
            scale = np.float32(1 / np.sqrt(shape[1]))
            if name == query:
                scale = np.float32(scale * case["q_gain"])
            tensors[name] = drawn * scale
    x = normal(case["tokens"], config.hidden_size)
    if case["outlier"]:
        count = max(1, config.hidden_size // 64)
        x[:, rng.choice(config.hidden_size, size=count, replace=False)] *= np.float32(
            case["outlier"]
        )
    if case["rope_spread"]:
        pairs = np.exp(np.float32(case["rope_spread"]) * normal(config.qk_rope_head_dim // 2))
        _spread(config, tensors, query, pairs.astype(np.float32))
    return LayerWeights(config=config, layer=0, tensors=tensors), x


def _spread(
    config: ModelConfig, tensors: dict[str, np.ndarray], query: str, pairs: np.ndarray
) -> None:
    """Multiply the rotated key channels by a gain per pair, divide the query's by it."""
    gain = np.repeat(pairs, 2) if config.rope_interleave else np.tile(pairs, 2)
    tensors["kv_a_proj_with_mqa.weight"][config.kv_lora_rank :] *= gain[:, None]
    by_head = tensors[query].reshape(config.num_attention_heads, config.qk_head_dim, -1)
    by_head[:, config.qk_nope_head_dim :] /= gain[:, None]
