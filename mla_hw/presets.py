"""Dimensions of published MLA models, and of the two small ones that the tests use.

Sources are the models' config.json files unless a preset says otherwise. A value that was not
seen in a first-hand source is listed in `assumed`.
"""

from dataclasses import dataclass, replace
from typing import Any

from mla_hw.config import ModelConfig
from mla_hw.errors import ConfigError
from mla_hw.fields import did_you_mean
from mla_hw.rope_config import RopeConfig

__all__ = ["PRESETS", "Preset", "find_preset"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """A model whose dimensions are known.

    Parameters
    ----------
    name : str
        Name on the command line.
    config : ModelConfig
        Dimensions and settings.
    assumed : tuple of str
        Fields of `config` that are not verified; fields of its RoPE settings as ``rope.<field>``.
    source : str
        Where the values come from.
    """

    name: str
    config: ModelConfig
    source: str
    assumed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for path in self.assumed:
            owner: Any = self.config.rope if path.startswith("rope.") else self.config
            assert hasattr(owner, path.removeprefix("rope.")), f"{self.name} has no field {path}"


def _yarn(mscale: float) -> RopeConfig:
    return RopeConfig(
        rope_type="yarn",
        factor=40.0,
        original_max_position_embeddings=4096,
        mscale=mscale,
        mscale_all_dim=mscale,
    )


_DEEPSEEK_V3 = ModelConfig(
    model_type="deepseek_v3",
    hidden_size=7168,
    num_attention_heads=128,
    q_lora_rank=1536,
    kv_lora_rank=512,
    qk_nope_head_dim=128,
    qk_rope_head_dim=64,
    v_head_dim=128,
    max_position_embeddings=163840,
    num_hidden_layers=61,
    rope=_yarn(1.0),
)
_DEEPSEEK_V2 = replace(
    _DEEPSEEK_V3,
    model_type="deepseek_v2",
    hidden_size=5120,
    num_hidden_layers=60,
    rope=_yarn(0.707),
)
_DEEPSEEK_V2_LITE = replace(
    _DEEPSEEK_V2,
    hidden_size=2048,
    num_attention_heads=16,
    q_lora_rank=None,
    num_hidden_layers=27,
)
_KIMI_K2 = replace(
    _DEEPSEEK_V3,
    model_type="kimi_k2",
    num_attention_heads=64,
    max_position_embeddings=131072,
    rope=replace(_yarn(1.0), rope_theta=50000.0, factor=32.0, beta_fast=1.0),
)
_MINICPM3_FACTORS = (
    1.0591234137867171,
    1.1241891283591912,
    1.2596935748670968,
    1.5380380402321725,
    2.093982484148734,
    3.1446935121267696,
    4.937952647693647,
    7.524541999994549,
    10.475458000005451,
    13.062047352306353,
    14.85530648787323,
    15.906017515851266,
    16.461961959767827,
    16.740306425132907,
    16.87581087164081,
    16.940876586213285,
)
_MINICPM3 = ModelConfig(
    model_type="minicpm3",
    hidden_size=2560,
    num_attention_heads=40,
    q_lora_rank=768,
    kv_lora_rank=256,
    qk_nope_head_dim=64,
    qk_rope_head_dim=32,
    v_head_dim=64,
    max_position_embeddings=32768,
    num_hidden_layers=62,
    rope=RopeConfig(
        rope_type="longrope",
        factor=1.0,
        original_max_position_embeddings=32768,
        short_factor=_MINICPM3_FACTORS,
        long_factor=_MINICPM3_FACTORS,
    ),
    rope_interleave=False,
)
_GLM_4_7_FLASH = ModelConfig(
    model_type="glm4_moe_lite",
    hidden_size=2048,
    num_attention_heads=20,
    q_lora_rank=768,
    kv_lora_rank=512,
    qk_nope_head_dim=192,
    qk_rope_head_dim=64,
    v_head_dim=256,
    max_position_embeddings=202752,
    num_hidden_layers=47,
    rope=RopeConfig(rope_theta=1000000.0),
)
_TINY_V3 = replace(
    _DEEPSEEK_V3,
    hidden_size=64,
    num_attention_heads=4,
    q_lora_rank=48,
    kv_lora_rank=32,
    qk_nope_head_dim=16,
    qk_rope_head_dim=8,
    v_head_dim=16,
    num_hidden_layers=1,
)
_SMALL_V2LITE = replace(
    _TINY_V3,
    hidden_size=256,
    num_attention_heads=8,
    q_lora_rank=None,
    kv_lora_rank=64,
    qk_nope_head_dim=32,
    qk_rope_head_dim=16,
    v_head_dim=32,
    rope=_yarn(0.707),
)

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            name="deepseek-v2",
            config=_DEEPSEEK_V2,
            source="deepseek-ai/DeepSeek-V2 config.json",
        ),
        Preset(
            name="deepseek-v2-lite",
            config=_DEEPSEEK_V2_LITE,
            source="deepseek-ai/DeepSeek-Coder-V2-Lite-Base config.json",
        ),
        Preset(
            name="deepseek-v3",
            config=_DEEPSEEK_V3,
            source="deepseek-ai/DeepSeek-V3 config.json",
        ),
        Preset(
            name="deepseek-r1",
            config=_DEEPSEEK_V3,
            source="config.json of derivatives of deepseek-ai/DeepSeek-R1; the same as V3",
        ),
        Preset(
            name="kimi-k2",
            config=_KIMI_K2,
            assumed=(
                "rope.rope_theta",
                "rope.factor",
                "rope.original_max_position_embeddings",
                "rope.mscale",
                "rope.mscale_all_dim",
                "rope.beta_fast",
                "rope.beta_slow",
            ),
            source="dimensions of Kimi-K2-Instruct as in ai-dynamo/aiconfigurator; RoPE as in "
            "NVIDIA-NeMo/Megatron-Bridge",
        ),
        Preset(
            name="minicpm3-4b",
            config=_MINICPM3,
            assumed=(
                "rope.rope_theta",
                "rope.original_max_position_embeddings",
                "rope.factor",
                "rope.short_factor",
            ),
            source="openbmb/MiniCPM3-4B config.json; defaults of Hugging Face transformers",
        ),
        Preset(
            name="glm-4.7-flash",
            config=_GLM_4_7_FLASH,
            source="config.json of a derivative of GLM-4.7-Flash; ai-dynamo/aiconfigurator",
        ),
        Preset(
            name="tiny-v3",
            config=_TINY_V3,
            source="shape of the reference case in examples/tiny-v3",
        ),
        Preset(
            name="small-v2lite",
            config=_SMALL_V2LITE,
            source="shape of the reference case in tests/data/small-v2lite",
        ),
    )
}


def find_preset(name: str) -> Preset:
    """Return the preset of a name.

    Raises
    ------
    ConfigError
        For an unknown name; the message lists the known ones.
    """
    if name not in PRESETS:
        raise ConfigError(
            f"unknown model {name}{did_you_mean(name, PRESETS)}; presets: {', '.join(PRESETS)}"
        )
    return PRESETS[name]
