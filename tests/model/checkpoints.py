"""Checkpoint folders for tests, written byte by byte so that they can also be wrong."""

import json
from pathlib import Path

import numpy as np

from mla_hw.checkpoint import random_layer
from mla_hw.config import ModelConfig

__all__ = ["PREFIX", "TINY", "as_bytes", "write_checkpoint", "write_layers", "write_safetensors"]

_PREFIX = "model.layers.{}.self_attn."
PREFIX = _PREFIX.format(0)

#: Hugging Face configuration in which no two dimensions are alike.
TINY = {
    "model_type": "deepseek_v3",
    "hidden_size": 20,
    "num_attention_heads": 3,
    "q_lora_rank": 14,
    "kv_lora_rank": 10,
    "qk_nope_head_dim": 6,
    "qk_rope_head_dim": 4,
    "v_head_dim": 5,
    "max_position_embeddings": 64,
    "num_hidden_layers": 2,
    "rope_theta": 10000.0,
}


def as_bytes(dtype: str, array: np.ndarray) -> bytes:
    """Encode float32 values that `dtype` represents exactly; FP8 is given as codes."""
    if dtype == "BF16":
        return (array.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    types = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "F8_E4M3": "u1"}
    return array.astype(types[dtype]).tobytes()


def write_safetensors(path: Path, tensors: dict[str, tuple[str, np.ndarray]]) -> None:
    header, body = {"__metadata__": {"format": "pt"}}, b""
    for name, (dtype, array) in tensors.items():
        data = as_bytes(dtype, array)
        offsets = [len(body), len(body) + len(data)]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": offsets}
        body += data
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


def write_checkpoint(folder: Path, config: dict, tensors: dict, *, dtype: str = "F32") -> Path:
    """Write config.json and model.safetensors; tensors are arrays or pairs of type and array."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    write_safetensors(
        folder / "model.safetensors",
        {
            PREFIX + name: value if isinstance(value, tuple) else (dtype, value)
            for name, value in tensors.items()
        },
    )
    return folder


def write_layers(folder: Path, count: int) -> Path:
    """Write a checkpoint of several random layers, whose scales and constants differ widely."""
    config = {**TINY, "num_hidden_layers": count}
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {}
    for layer in range(count):
        for name, values in random_layer(ModelConfig.from_hf(config), 0, layer).tensors.items():
            # A down-projection is normalised: its gain shows in scales and epsilon alone.
            gain = 5.0**layer if name in ("kv_a_proj_with_mqa.weight", "o_proj.weight") else 1
            tensors[_PREFIX.format(layer) + name] = ("F32", values * np.float32(gain))
    write_safetensors(folder / "model.safetensors", tensors)
    return folder
