"""Configuration of one MLA attention layer, read from Hugging Face's config.json."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mla_hw.errors import ConfigError
from mla_hw.fields import (
    check_boolean,
    check_known,
    check_number,
    check_positive_int,
    did_you_mean,
    read_json_object,
)
from mla_hw.rope_config import RopeConfig, rope_from_hf

__all__ = ["ModelConfig", "RopeConfig", "fp8_block"]

_DIMENSIONS = (
    "hidden_size",
    "num_attention_heads",
    "kv_lora_rank",
    "qk_nope_head_dim",
    "qk_rope_head_dim",
    "v_head_dim",
    "max_position_embeddings",
    "num_hidden_layers",
)
#: Models whose attention is the one that is built. The text model of Kimi-K2.5 says kimi_k2.
_KNOWN_MODELS = (
    "deepseek_v2",
    "deepseek_v3",
    "glm4_moe_lite",
    "kimi_k2",
    "minicpm3",
    "youtu",
)
_REFUSED_MODELS = {
    "deepseek_v32": "the sparse attention indexer of DeepSeek-V3.2",
    "glm_moe_dsa": "the sparse attention indexer of GLM-5",
    "kimi_linear": "Kimi-Linear's attention without RoPE",
    "longcat_flash": "LongCat's rank scaling of the queries and latents",
}
_REFUSED_FIELDS = {
    "attention_bias": "biases of the attention projections",
    "index_head_dim": "a sparse attention indexer",
    "index_n_heads": "a sparse attention indexer",
    "index_topk": "a sparse attention indexer",
    "mla_scale_kv_lora": "LongCat's rank scaling of the latents",
    "mla_scale_q_lora": "LongCat's rank scaling of the queries",
    "mla_use_nope": "Kimi-Linear's attention without RoPE",
    "qk_layernorm": "norms of the heads' queries and keys",
    "rope_type": "a RoPE type outside rope_parameters and rope_scaling",
    "sliding_window": "attention to the last tokens only",
    "use_qk_norm": "norms of the heads' queries and keys",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """Dimensions and settings of an MLA attention layer; names as in Hugging Face's config.

    Parameters
    ----------
    model_type : str
        Hugging Face's name of the architecture.
    hidden_size : int
        Width of the hidden state.
    num_attention_heads : int
        Number of heads.
    q_lora_rank : int or None
        Width of the compressed query; None projects the hidden state directly.
    kv_lora_rank : int
        Width of the cached latent.
    qk_nope_head_dim, qk_rope_head_dim : int
        Per-head width of the query without and with rotary embedding; the latter is even.
    v_head_dim : int
        Per-head width of the value.
    max_position_embeddings : int
        Largest context in tokens.
    num_hidden_layers : int
        Number of decoder layers.
    rope : RopeConfig
        Rotary position embedding.
    rope_interleave : bool
        True pairs neighbouring channels ``(0, 1), (2, 3), ...``; False pairs the two halves.
    inner_norm_eps : float
        Epsilon of the norms of compressed query and latent. Hugging Face builds them with 1e-6
        whatever ``rms_norm_eps`` says, so that field is not read.

    Raises
    ------
    ConfigError
        For a value of the wrong type or range.
    """

    model_type: str
    hidden_size: int
    num_attention_heads: int
    q_lora_rank: int | None
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int
    max_position_embeddings: int
    num_hidden_layers: int
    rope: RopeConfig
    rope_interleave: bool = True
    inner_norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        if not isinstance(self.model_type, str):
            raise ConfigError(f"model_type must be a string, not {self.model_type!r}")
        for name in _DIMENSIONS:
            check_positive_int(name, getattr(self, name))
        if self.q_lora_rank is not None:
            check_positive_int("q_lora_rank", self.q_lora_rank)
        if self.qk_rope_head_dim % 2:
            raise ConfigError(f"qk_rope_head_dim must be even, not {self.qk_rope_head_dim}")
        check_boolean("rope_interleave", self.rope_interleave)
        check_number("inner_norm_eps", self.inner_norm_eps)
        for name in ("short_factor", "long_factor"):
            factors = getattr(self.rope, name)
            if factors is not None and len(factors) != self.qk_rope_head_dim // 2:
                raise ConfigError(
                    f"rope {name} must have qk_rope_head_dim / 2 = {self.qk_rope_head_dim // 2} "
                    f"values, not {len(factors)}"
                )

    @classmethod
    def from_hf(cls, config: Mapping[str, Any]) -> "ModelConfig":
        """Read the contents of a Hugging Face config.json.

        The text model of a multi-modal configuration (``text_config``) is taken where the outer
        one has no attention dimensions. Without ``rope_interleave`` the pairing is interleaved,
        but half-split for minicpm3, whose ``v_head_dim`` also follows from the hidden size.

        Raises
        ------
        ConfigError
            For a missing or mistyped field, a model that is not MLA or not known, and for
            features of MLA variants that the core does not have; the message names the field.
        """
        inner = config.get("text_config")
        if "kv_lora_rank" not in config and inner is not None:
            if not isinstance(inner, Mapping):
                raise ConfigError(f"text_config must be an object, not {inner!r}")
            config = {"quantization_config": config.get("quantization_config"), **inner}
        _refuse_unsupported(config)
        values = {name: config[name] for name in _DIMENSIONS if name in config}
        if values.get("v_head_dim") is None and config["model_type"] == "minicpm3":
            hidden, heads = (
                check_positive_int(name, config.get(name))
                for name in ("hidden_size", "num_attention_heads")
            )
            values["v_head_dim"] = hidden // heads
        for name in (*_DIMENSIONS, "q_lora_rank"):
            if name not in values and name not in config:
                raise ConfigError(f"missing field {name}")
        interleave = config.get("rope_interleave")
        if interleave is None:
            interleave = config["model_type"] != "minicpm3"
        return cls(
            model_type=config["model_type"],
            q_lora_rank=config["q_lora_rank"],
            rope=rope_from_hf(config),
            rope_interleave=interleave,
            **values,
        )

    @classmethod
    def from_file(cls, path: str | Path) -> "ModelConfig":
        """Read a Hugging Face config.json; errors name the file (see :meth:`from_hf`)."""
        config = read_json_object(Path(path), ConfigError)
        try:
            return cls.from_hf(config)
        except ConfigError as err:
            raise ConfigError(f"{path}: {err}") from None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ModelConfig":
        """Build from what :meth:`to_dict` returned; an unknown or missing key is an error."""
        names = tuple(field.name for field in fields(cls))
        check_known(values, names, section="model")
        for name in names:
            if name not in values:
                raise ConfigError(f"missing field model.{name}")
        if not isinstance(values["rope"], Mapping):
            raise ConfigError(f"model.rope must be an object, not {values['rope']!r}")
        return cls(**{**values, "rope": RopeConfig.from_dict(values["rope"])})

    def to_dict(self) -> dict[str, object]:
        """Return the fields as plain values that JSON can hold."""
        return {**asdict(self), "rope": self.rope.to_dict()}

    @property
    def qk_head_dim(self) -> int:
        """Per-head width of query and key: the parts without and with rotary embedding."""
        return self.qk_nope_head_dim + self.qk_rope_head_dim

    @property
    def cache_row(self) -> int:
        """Elements that the cache holds per token: latent and rotated key."""
        return self.kv_lora_rank + self.qk_rope_head_dim

    @property
    def q_input_dim(self) -> int:
        """Width of the input of the query's up-projection."""
        return self.hidden_size if self.q_lora_rank is None else self.q_lora_rank

    @property
    def softmax_scale(self) -> float:
        """Factor on the scores before the softmax, including YaRN's correction."""
        return self.rope.score_mscale / math.sqrt(self.qk_head_dim)


def fp8_block(config: Mapping[str, Any]) -> tuple[int, int]:
    """Return the block of weights, rows and columns, that shares one FP8 scale.

    Without ``quantization_config`` it is DeepSeek's 128 x 128.

    Raises
    ------
    ConfigError
        For any quantisation but FP8 e4m3 with ``weight_block_size``.
    """
    quantization = config.get("quantization_config")
    if quantization is None:
        return 128, 128
    where = "quantization_config"
    if not isinstance(quantization, Mapping):
        raise ConfigError(f"{where} must be an object, not {quantization!r}")
    for name, wanted in (("quant_method", "fp8"), ("fmt", "e4m3")):
        if (value := quantization.get(name, "e4m3" if name == "fmt" else None)) != wanted:
            raise ConfigError(f"{where}.{name} must be {wanted}, the only one read, not {value!r}")
    block = quantization.get("weight_block_size")
    if not isinstance(block, list) or len(block) != 2:
        raise ConfigError(f"{where}.weight_block_size must be two integers, not {block!r}")
    rows, columns = (check_positive_int(f"{where}.weight_block_size", size) for size in block)
    return rows, columns


def _refuse_unsupported(config: Mapping[str, Any]) -> None:
    model_type = config.get("model_type")
    if model_type is None:
        raise ConfigError("missing field model_type")
    if not isinstance(model_type, str):
        raise ConfigError(f"model_type must be a string, not {model_type!r}")
    if model_type in _REFUSED_MODELS:
        raise ConfigError(
            f"model_type {model_type} is not supported: {_REFUSED_MODELS[model_type]}"
        )
    for name, feature in _REFUSED_FIELDS.items():
        # An absent feature is written as null or false; 0 counts as absent as well.
        if config.get(name):
            raise ConfigError(f"{name} = {config[name]!r} is not supported: {feature}")
    if (partial := config.get("partial_rotary_factor")) is not None and partial != 1:
        raise ConfigError(f"partial_rotary_factor must be 1, not {partial!r}")
    if config.get("kv_lora_rank") is None and config.get("qk_nope_head_dim") is None:
        raise ConfigError(f"model_type {model_type} is not an MLA model: it has no kv_lora_rank")
    if model_type not in _KNOWN_MODELS:
        # An unknown model may compute something else from the same fields.
        raise ConfigError(
            f"model_type {model_type!r} is not known{did_you_mean(model_type, _KNOWN_MODELS)}; "
            f"known are {', '.join(_KNOWN_MODELS)}; if its attention is that of DeepSeek-V3, "
            "set model_type to deepseek_v3 in config.json"
        )
    fp8_block(config)
