"""Attention weights of one layer, from a Hugging Face checkpoint folder or drawn at random."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mla_hw.config import ModelConfig, fp8_block
from mla_hw.errors import CheckpointError, ConfigError
from mla_hw.fields import check_count, did_you_mean, read_json_object
from mla_hw.presets import PRESETS, Preset, find_preset
from mla_hw.tensor_file import SCALE_SUFFIX, TensorFolder

__all__ = [
    "LayerWeights",
    "check_layer",
    "load_config",
    "load_layer",
    "load_model",
    "random_layer",
    "resolve_model",
    "tensor_shapes",
]

#: A table of RoPE that old checkpoints hold; it follows from the configuration.
_ROPE_TABLE = "rotary_emb.inv_freq"
_PREFIXES = ("model.layers.{}.self_attn.", "language_model.model.layers.{}.self_attn.")


def tensor_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return the attention tensors of a layer and their shapes, in checkpoint order and naming."""
    heads, hidden = config.num_attention_heads, config.hidden_size
    query = heads * config.qk_head_dim
    shapes: dict[str, tuple[int, ...]] = {}
    if config.q_lora_rank is None:
        shapes["q_proj.weight"] = (query, hidden)
    else:
        shapes["q_a_proj.weight"] = (config.q_lora_rank, hidden)
        shapes["q_a_layernorm.weight"] = (config.q_lora_rank,)
        shapes["q_b_proj.weight"] = (query, config.q_lora_rank)
    shapes["kv_a_proj_with_mqa.weight"] = (config.cache_row, hidden)
    shapes["kv_a_layernorm.weight"] = (config.kv_lora_rank,)
    shapes["kv_b_proj.weight"] = (
        heads * (config.qk_nope_head_dim + config.v_head_dim),
        config.kv_lora_rank,
    )
    shapes["o_proj.weight"] = (hidden, heads * config.v_head_dim)
    return shapes


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LayerWeights:
    """Attention weights of one layer.

    Parameters
    ----------
    config : ModelConfig
        Dimensions and settings.
    layer : int
        Index of the layer.
    tensors : Mapping
        float32 arrays by DeepSeek's tensor name without prefix (:func:`tensor_shapes`), rows are
        output channels.

    Raises
    ------
    CheckpointError
        If a tensor is missing, too many, or of another shape.
    """

    config: ModelConfig
    layer: int
    tensors: Mapping[str, NDArray[np.float32]]

    def __post_init__(self) -> None:
        shapes = tensor_shapes(self.config)
        for name, shape in shapes.items():
            if name not in self.tensors:
                raise CheckpointError(f"tensor {name} is missing")
            if self.tensors[name].shape != shape:
                raise CheckpointError(
                    f"tensor {name} must have shape {list(shape)}, "
                    f"not {list(self.tensors[name].shape)}"
                )
        for name in self.tensors:
            if name not in shapes:
                raise CheckpointError(f"tensor {name} does not belong to the layer")

    def operands(self) -> dict[str, NDArray[np.float64]]:
        """Return the weights as float64 under the names and in the shapes of the decode graph.

        ``W_DQ`` [q_lora, hidden] and ``g_q`` [q_lora] with query compression only, ``W_UQ``
        [head, nope + rope, q_lora or hidden], ``W_DKV`` [kv_lora + rope, hidden], ``g_kv``
        [kv_lora], ``W_UK`` [head, nope, kv_lora], ``W_UV`` [head, v, kv_lora], ``W_O``
        [hidden, head, v].
        """
        operands = {"W_UQ": self.w_uq, "W_DKV": self._float64("kv_a_proj_with_mqa")}
        if self.config.q_lora_rank is not None:
            operands["W_DQ"] = self._float64("q_a_proj")
            operands["g_q"] = self._float64("q_a_layernorm")
        operands["g_kv"] = self._float64("kv_a_layernorm")
        return {**operands, "W_UK": self.w_uk, "W_UV": self.w_uv, "W_O": self.w_o}

    @property
    def w_uq(self) -> NDArray[np.float64]:
        """Query projection, [head, nope + rope, q_lora_rank or hidden_size]."""
        name = "q_proj" if self.config.q_lora_rank is None else "q_b_proj"
        return self._by_head(name, self.config.qk_head_dim)

    @property
    def w_uk(self) -> NDArray[np.float64]:
        """Key up-projection, [head, nope, kv_lora_rank]."""
        return self._kv_b()[:, : self.config.qk_nope_head_dim]

    @property
    def w_uv(self) -> NDArray[np.float64]:
        """Value up-projection, [head, v, kv_lora_rank]."""
        return self._kv_b()[:, self.config.qk_nope_head_dim :]

    @property
    def w_o(self) -> NDArray[np.float64]:
        """Output projection, [hidden, head, v]."""
        heads, v_dim = self.config.num_attention_heads, self.config.v_head_dim
        return self._float64("o_proj").reshape(-1, heads, v_dim)

    def _kv_b(self) -> NDArray[np.float64]:
        return self._by_head("kv_b_proj", self.config.qk_nope_head_dim + self.config.v_head_dim)

    def _by_head(self, name: str, rows: int) -> NDArray[np.float64]:
        tensor = self._float64(name)
        return tensor.reshape(self.config.num_attention_heads, rows, tensor.shape[-1])

    def _float64(self, name: str) -> NDArray[np.float64]:
        return self.tensors[f"{name}.weight"].astype(np.float64)


def load_layer(path: str | Path, layer: int = 0) -> LayerWeights:
    """Read the attention weights of one layer from a Hugging Face checkpoint folder.

    The folder holds config.json and model.safetensors, or shards with
    model.safetensors.index.json. Only the headers and the tensors of the layer are read. F8_E4M3
    tensors are multiplied by the blocks of ``<name>_scale_inv``.

    Parameters
    ----------
    path : str or Path
        The folder.
    layer : int
        Index of the decoder layer.

    Raises
    ------
    ConfigError
        For a configuration that is not supported (:meth:`ModelConfig.from_hf`).
    CheckpointError
        For missing, truncated or malformed files, for tensors that are missing, of another shape
        or type or not finite, and for biases.
    """
    folder = Path(path)
    config = _read_config(folder)
    block = fp8_block(read_json_object(folder / "config.json", ConfigError))
    check_layer(layer, config, folder)
    source = TensorFolder(folder)
    prefix = source.common_prefix(tuple(prefix.format(layer) for prefix in _PREFIXES))
    shapes = tensor_shapes(config)
    known = {*shapes, *(name + SCALE_SUFFIX for name in shapes), _ROPE_TABLE}
    for name in source.files:
        if name.startswith(prefix) and name.removeprefix(prefix) not in known:
            what = "biases are" if name.endswith(".bias") else "what it does is"
            raise CheckpointError(f"{folder}: tensor {name}: {what} not supported")
    tensors = {name: source.read(prefix + name, shape, block) for name, shape in shapes.items()}
    return LayerWeights(config=config, layer=layer, tensors=tensors)


def random_layer(config: ModelConfig, seed: int, layer: int = 0) -> LayerWeights:
    """Draw the weights of a layer: N(0, 1 / fan-in), and 1 + 0.1 N(0, 1) for the norms."""
    rng = np.random.default_rng([seed, layer])
    tensors = {}
    for name, shape in tensor_shapes(config).items():
        normal = rng.standard_normal(shape, dtype=np.float32)
        is_norm = len(shape) == 1
        tensors[name] = 1 + normal * np.float32(0.1) if is_norm else normal / _root(shape[1])
    return LayerWeights(config=config, layer=layer, tensors=tensors)


def resolve_model(name_or_path: str | Path) -> Path | Preset:
    """Return the checkpoint folder or the preset that is meant; an existing path wins.

    Raises
    ------
    ConfigError
        If there is neither; the message lists the presets.
    """
    path, name = Path(name_or_path), str(name_or_path)
    if path.exists():
        return path
    if name in PRESETS:
        return find_preset(name)
    raise ConfigError(
        f"{name}: neither a folder nor a preset{did_you_mean(name, PRESETS)}; "
        f"presets: {', '.join(PRESETS)}"
    )


def load_config(name_or_path: str | Path) -> ModelConfig:
    """Read the configuration of a checkpoint folder, or return that of a preset.

    Raises
    ------
    MlaHwError
        As :func:`resolve_model` and :func:`load_layer`.
    """
    model = resolve_model(name_or_path)
    return _read_config(model) if isinstance(model, Path) else model.config


def load_model(name_or_path: str | Path, *, layer: int = 0, seed: int = 0) -> LayerWeights:
    """Load a layer of a checkpoint folder, or draw one of a preset's shape from `seed`.

    Raises
    ------
    MlaHwError
        As :func:`resolve_model` and :func:`load_layer`.
    """
    model = resolve_model(name_or_path)
    if isinstance(model, Path):
        return load_layer(model, layer)
    check_layer(layer, model.config, model.name)
    return random_layer(model.config, check_count("--seed:", seed), layer)


def check_layer(
    layer: int, config: ModelConfig, model: str | Path, option: str = "--layer"
) -> None:
    """Refuse a number that is none of the model's layers.

    Raises
    ------
    ConfigError
        If it is no number; names the option.
    CheckpointError
        If there is no such layer; names the option, the last layer and the model.
    """
    last = config.num_hidden_layers - 1
    if check_count(f"{option}:", layer) > last:
        raise CheckpointError(
            f"{option}: must be from 0 to {last}, the last one of {model}, not {layer}"
        )


def _read_config(folder: Path) -> ModelConfig:
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: is not a folder with config.json and safetensors")
    return ModelConfig.from_file(folder / "config.json")


def _root(count: int) -> np.float32:
    return np.float32(np.sqrt(count))
