import json

import pytest

from mla_hw.config import ModelConfig, RopeConfig, fp8_block
from mla_hw.errors import ConfigError
from mla_hw.presets import PRESETS
from tests.model.checkpoints import TINY

YARN = {
    "factor": 40,
    "mscale": 0.707,
    "mscale_all_dim": 0.707,
    "beta_fast": 32,
    "beta_slow": 1,
    "original_max_position_embeddings": 4096,
}
LONGROPE = {
    "short_factor": [1.0, 1.5],
    "long_factor": [2.0, 3.0],
    "original_max_position_embeddings": 16,
}


def tiny(**changes):
    return {**TINY, **changes}


def without(*names):
    return {name: value for name, value in TINY.items() if name not in names}


@pytest.mark.parametrize("config", [p.config for p in PRESETS.values()], ids=list(PRESETS))
def test_dict_round_trip(config):
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_derived_dimensions():
    config = ModelConfig.from_hf(TINY)
    assert (config.qk_head_dim, config.cache_row, config.q_input_dim) == (10, 14, 14)
    assert ModelConfig.from_hf(tiny(q_lora_rank=None)).q_input_dim == 20
    assert config.softmax_scale == 10**-0.5


@pytest.mark.parametrize(("rope_type", "values"), [("yarn", YARN), ("longrope", LONGROPE)])
def test_both_spellings_are_the_same(rope_type, values):
    new = without("rope_theta") | {
        "rope_parameters": {"rope_type": rope_type, "rope_theta": 50000.0, **values}
    }
    old = tiny(rope_theta=50000, rope_scaling={"type": rope_type, **values})
    newer_old = tiny(rope_theta=50000, rope_scaling={"rope_type": rope_type, **values})
    config = ModelConfig.from_hf(new)
    assert config.rope.rope_theta == 50000
    assert config.rope.rope_type == rope_type
    assert ModelConfig.from_hf(old) == ModelConfig.from_hf(newer_old) == config
    both = tiny(
        rope_theta=50000,
        rope_scaling={"type": rope_type, **values},
        **{"rope_parameters": new["rope_parameters"]},
    )
    assert ModelConfig.from_hf(both) == config
    both["rope_scaling"] = {**both["rope_scaling"], "original_max_position_embeddings": 8}
    with pytest.raises(ConfigError, match="contradict each other"):
        ModelConfig.from_hf(both)


def test_default_rope_in_both_spellings():
    old = ModelConfig.from_hf(tiny(rope_scaling=None))
    new = without("rope_theta") | {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}
    assert ModelConfig.from_hf(new) == old
    assert old.rope == RopeConfig()


def test_longrope_defaults():
    factors = {name: LONGROPE[name] for name in ("short_factor", "long_factor")}
    rope = ModelConfig.from_hf(tiny(rope_scaling={"type": "longrope", **LONGROPE})).rope
    assert rope.factor == 64 / 16
    rope = ModelConfig.from_hf(tiny(rope_scaling={"type": "longrope", **factors})).rope
    assert (rope.factor, rope.original_max_position_embeddings) == (1, 64)
    outer = tiny(rope_scaling={"type": "longrope", **factors}, original_max_position_embeddings=32)
    assert ModelConfig.from_hf(outer).rope.factor == 2


def test_pairing():
    assert ModelConfig.from_hf(TINY).rope_interleave
    assert not ModelConfig.from_hf(tiny(model_type="minicpm3")).rope_interleave
    assert not ModelConfig.from_hf(tiny(rope_interleave=False)).rope_interleave
    assert ModelConfig.from_hf(tiny(model_type="minicpm3", rope_interleave=True)).rope_interleave


def test_minicpm3_value_width_follows_from_the_hidden_size():
    assert ModelConfig.from_hf(without("v_head_dim") | {"model_type": "minicpm3"}).v_head_dim == 6


def test_inner_norm_eps_is_not_rms_norm_eps():
    assert ModelConfig.from_hf(tiny(rms_norm_eps=1e-5)).inner_norm_eps == 1e-6


def test_text_model_of_a_multimodal_config():
    text = tiny(model_type="kimi_k2")
    config = ModelConfig.from_hf({"model_type": "kimi_k25", "text_config": text})
    assert (config.model_type, config.hidden_size) == ("kimi_k2", 20)


@pytest.mark.parametrize(
    "name", sorted({p.config.model_type for p in PRESETS.values()} | {"youtu"})
)
def test_known_models(name):
    assert ModelConfig.from_hf(tiny(model_type=name)).model_type == name


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (without("hidden_size"), "missing field hidden_size"),
        (without("kv_lora_rank"), "missing field kv_lora_rank"),
        (without("q_lora_rank"), "missing field q_lora_rank"),
        (without("model_type"), "missing field model_type"),
        (without("v_head_dim"), "missing field v_head_dim"),
        (tiny(hidden_size="20"), "hidden_size must be a positive integer, not '20'"),
        (tiny(v_head_dim=0), "v_head_dim must be a positive integer, not 0"),
        (tiny(q_lora_rank=1.5), "q_lora_rank must be a positive integer, not 1.5"),
        (tiny(num_hidden_layers=True), "num_hidden_layers must be a positive integer, not True"),
        (tiny(model_type=3), "model_type must be a string, not 3"),
        (tiny(rope_interleave="yes"), "rope_interleave must be true or false, not 'yes'"),
        (tiny(qk_rope_head_dim=5), "qk_rope_head_dim must be even, not 5"),
        (tiny(attention_bias=True), "attention_bias = True is not supported: biases"),
        (tiny(model_type="longcat_flash"), "longcat_flash is not supported: LongCat's rank"),
        (tiny(mla_scale_q_lora=True), "mla_scale_q_lora = True is not supported: LongCat"),
        (tiny(mla_scale_kv_lora=True), "mla_scale_kv_lora = True is not supported: LongCat"),
        (tiny(model_type="deepseek_v32"), "deepseek_v32 is not supported: the sparse"),
        (tiny(model_type="glm_moe_dsa"), "glm_moe_dsa is not supported: the sparse"),
        (tiny(index_topk=2048), "index_topk = 2048 is not supported: a sparse"),
        (tiny(index_n_heads=64), "index_n_heads = 64 is not supported: a sparse"),
        (tiny(model_type="kimi_linear"), "kimi_linear is not supported: Kimi-Linear"),
        (tiny(mla_use_nope=True), "mla_use_nope = True is not supported: Kimi-Linear"),
        ({"model_type": "llama", "hidden_size": 20}, "llama is not an MLA model"),
        (
            tiny(model_type="deepseek_v4"),
            r"^model_type 'deepseek_v4' is not known \(did you mean deepseek_v\d\?\); known are "
            "deepseek_v2, deepseek_v3, glm4_moe_lite, kimi_k2, minicpm3, youtu; if its attention "
            "is that of DeepSeek-V3, set model_type to deepseek_v3 in config.json$",
        ),
        (tiny(model_type="llama"), "model_type 'llama' is not known; known are"),
        (tiny(model_type="Deepseek_V3"), "model_type 'Deepseek_V3' is not known"),
        (tiny(model_type=""), "model_type '' is not known"),
        # What counts is the text model.
        (
            {"model_type": "kimi_k2", "text_config": tiny(model_type="kimi_k25")},
            "model_type 'kimi_k25' is not known",
        ),
        (tiny(rope_theta="x"), "rope_theta must be a number, not 'x'"),
        (tiny(rope_theta=float("nan")), "rope_theta must be finite and above 1, not nan"),
        (tiny(rope_theta=10**400), "rope_theta must be finite and above 1, not 1000"),
        (tiny(rope_theta=1.0), "rope_theta must be finite and above 1, not 1.0"),
        (tiny(rope_scaling=[1]), r"rope_scaling must be an object, not \[1\]"),
        (tiny(rope_scaling={"type": "linear"}), "rope_scaling.rope_type must be one of default"),
        (tiny(rope_scaling={"type": "dynamic"}), "longrope, not 'dynamic'"),
        (tiny(rope_parameters={"rope_type": "llama3"}), "longrope, not 'llama3'"),
        (tiny(rope_scaling={"type": "yarn", "factor": 4}), "original_max_position_embeddings, wh"),
        (
            tiny(rope_scaling={"type": "yarn", **YARN, "factor": None}),
            "missing field factor, which rope_type yarn needs",
        ),
        (tiny(rope_scaling={"type": "yarn", **YARN, "beta_fast": "a"}), "beta_fast must be a num"),
        (
            tiny(rope_scaling={"type": "yarn", **YARN, "beta_fst": 1}),
            r"unknown field rope_scaling.beta_fst \(did you mean beta_fast\?\)",
        ),
        (
            tiny(rope_scaling={"type": "longrope", **LONGROPE, "long_factor": [1.0]}),
            "long_factor must have qk_rope_head_dim / 2 = 2 values, not 1",
        ),
        (
            tiny(rope_scaling={"type": "longrope", **LONGROPE, "short_factor": [1.0, "b"]}),
            r"short_factor\[1\] must be a number, not 'b'",
        ),
        (
            tiny(rope_scaling={"type": "longrope", "short_factor": [1.0, 2.0]}),
            "missing field long_factor",
        ),
        (tiny(rope_parameters={"partial_rotary_factor": 0.5}), "partial_rotary_factor must be 1"),
        (tiny(partial_rotary_factor=0.5), "^partial_rotary_factor must be 1, not 0.5"),
        (tiny(partial_rotary_factor=[]), r"^partial_rotary_factor must be 1, not \[\]"),
        (tiny(use_qk_norm=True), "use_qk_norm = True is not supported: norms of the heads'"),
        (tiny(sliding_window=4096), "sliding_window = 4096 is not supported"),
        (tiny(rope_type="dynamic"), "rope_type = 'dynamic' is not supported: a RoPE type outside"),
        (tiny(rope_parameters=[]), r"rope_parameters must be an object, not \[\]"),
        (tiny(rope_scaling=False), "rope_scaling must be an object, not False"),
        ({"model_type": "kimi_k2", "text_config": 3}, "text_config must be an object, not 3"),
        *(
            (tiny(rope_scaling={"type": "yarn", **YARN, name: value}), f"{name} must be a number")
            for name in ("mscale", "mscale_all_dim")
            for value in ({}, "", False)
        ),
        (
            tiny(rope_scaling={"type": "yarn", **YARN, "mscale_all_dim": 1e300}),
            "mscale_all_dim is too large",
        ),
        (
            tiny(
                rope_scaling={"type": "yarn", **YARN, "original_max_position_embeddings": 10**400}
            ),
            "original_max_position_embeddings must be at most",
        ),
        (
            tiny(quantization_config={"quant_method": "awq"}),
            "quantization_config.quant_method must be fp8, the only one read, not 'awq'",
        ),
        (
            tiny(quantization_config={"quant_method": "fp8"}),
            "quantization_config.weight_block_size must be two integers, not None",
        ),
        (
            tiny(quantization_config={"quant_method": "fp8", "weight_block_size": [128, 0]}),
            "weight_block_size must be a positive integer, not 0",
        ),
        (
            tiny(quantization_config={"quant_method": "fp8", "fmt": "e5m2"}),
            "quantization_config.fmt must be e4m3, the only one read, not 'e5m2'",
        ),
    ],
)
def test_refuses(config, message):
    with pytest.raises(ConfigError, match=message) as caught:
        ModelConfig.from_hf(config)
    assert "\n" not in str(caught.value)


def test_false_features_are_accepted():
    config = tiny(attention_bias=False, mla_use_nope=False, index_topk=None)
    assert ModelConfig.from_hf(config) == ModelConfig.from_hf(TINY)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("{", "is not valid JSON"),
        ("[1]", "must hold a JSON object, not list"),
        (b"\xff\xfe\x00", "is not valid JSON"),
        (json.dumps(without("hidden_size")), "missing field hidden_size"),
    ],
)
def test_file_errors_name_the_file(tmp_path, text, message):
    path = tmp_path / "config.json"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=f"config.json: .*{message}"):
        ModelConfig.from_file(path)


def test_from_dict_refuses_unknown_and_missing_keys():
    values = ModelConfig.from_hf(TINY).to_dict()
    with pytest.raises(ConfigError, match=r"unknown field model.v_dim .did you mean v_head_dim"):
        ModelConfig.from_dict({**values, "v_dim": 3})
    with pytest.raises(ConfigError, match=r"unknown field rope\.theta"):
        ModelConfig.from_dict({**values, "rope": {"theta": 3}})
    del values["v_head_dim"]
    with pytest.raises(ConfigError, match=r"missing field model\.v_head_dim"):
        ModelConfig.from_dict(values)


def test_fp8_block():
    assert fp8_block(TINY) == (128, 128)
    quantization = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [64, 32]}
    assert fp8_block({"quantization_config": quantization}) == (64, 32)
