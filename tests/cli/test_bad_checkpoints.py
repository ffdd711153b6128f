"""Checkpoints that cannot be used: one line that names what is wrong, nothing written."""

import json

import numpy as np
import pytest

from mla_hw.checkpoint import random_layer
from mla_hw.config import ModelConfig
from tests.model.checkpoints import PREFIX, TINY, write_checkpoint, write_safetensors

NAME = "model.safetensors"


@pytest.fixture
def checkpoint(tmp_path):
    tensors = random_layer(ModelConfig.from_hf(TINY), 0).tensors
    return write_checkpoint(tmp_path / "checkpoint", TINY, tensors)


def change_config(folder, **changes):
    config = {**TINY, **changes}
    text = json.dumps({name: value for name, value in config.items() if value is not ...})
    (folder / "config.json").write_text(text)


def change_tensor(folder, name, change):
    tensors = dict(random_layer(ModelConfig.from_hf(TINY), 0).tensors)
    tensors[name] = change(tensors[name].copy())
    write_checkpoint(folder, TINY, tensors)


def spoil(value):
    def change(tensor):
        tensor[(1,) * tensor.ndim] = value
        return tensor

    return change


def test_no_such_checkpoint(command, tmp_path):
    assert "neither a folder nor a preset" in command.refuses(tmp_path / "absent")


def test_preset_with_a_typo(command):
    message = command.refuses("tiny-v4")
    assert "did you mean tiny-v3?" in message
    assert "deepseek-v2-lite" in message


def test_a_file_is_no_checkpoint(command, checkpoint):
    assert "is not a folder with config.json" in command.refuses(checkpoint / NAME)


def test_folder_without_config(command, checkpoint):
    (checkpoint / "config.json").unlink()
    assert command.refuses(checkpoint).endswith("config.json: no such file")


def test_folder_without_weights(command, checkpoint):
    (checkpoint / NAME).unlink()
    message = command.refuses(checkpoint)
    assert f"has neither {NAME} nor {NAME}.index.json" in message


@pytest.mark.parametrize("kept", [0, 5, 200, -1, -4000])
def test_truncated_weights(command, checkpoint, kept):
    path = checkpoint / NAME
    path.write_bytes(path.read_bytes()[:kept])
    message = command.refuses(checkpoint)
    assert message.startswith(f"{path}: truncated")


def test_weights_that_are_no_safetensors(command, checkpoint):
    (checkpoint / NAME).write_bytes(b"PK\x03\x04" * 100)
    assert "not safetensors" in command.refuses(checkpoint)


def test_missing_shard(command, checkpoint):
    (checkpoint / NAME).unlink()
    index = {"weight_map": {f"{PREFIX}q_a_proj.weight": "model-00001-of-00002.safetensors"}}
    (checkpoint / f"{NAME}.index.json").write_text(json.dumps(index))
    assert "model-00001-of-00002.safetensors: no such file" in command.refuses(checkpoint)


def test_missing_tensor(command, checkpoint):
    tensors = dict(random_layer(ModelConfig.from_hf(TINY), 0).tensors)
    del tensors["o_proj.weight"]
    write_checkpoint(checkpoint, TINY, tensors)
    assert f"{PREFIX}o_proj.weight is missing" in command.refuses(checkpoint)


def test_tensor_of_the_wrong_shape(command, checkpoint):
    change_tensor(checkpoint, "kv_b_proj.weight", lambda tensor: tensor[:-1])
    message = command.refuses(checkpoint)
    assert f"{PREFIX}kv_b_proj.weight must have shape [33, 10], not [32, 10]" in message


def test_tensor_of_the_wrong_type(command, checkpoint):
    tensors = random_layer(ModelConfig.from_hf(TINY), 0).tensors
    typed = {PREFIX + name: ("F32", tensor) for name, tensor in tensors.items()}
    typed[f"{PREFIX}o_proj.weight"] = ("F64", tensors["o_proj.weight"])
    write_safetensors(checkpoint / NAME, typed)
    assert f"{PREFIX}o_proj.weight has type F64, wanted F32" in command.refuses(checkpoint)


def test_tensor_of_another_attention(command, checkpoint):
    tensors = random_layer(ModelConfig.from_hf(TINY), 0).tensors
    typed = {PREFIX + name: ("F32", tensor) for name, tensor in tensors.items()}
    # A table that old checkpoints hold changes nothing.
    typed[f"{PREFIX}rotary_emb.inv_freq"] = ("F32", np.ones(2, np.float32))
    write_safetensors(checkpoint / NAME, typed)
    command.generates(checkpoint, "--no-image")
    typed[f"{PREFIX}q_norm.weight"] = ("F32", np.ones(4, np.float32))
    write_safetensors(checkpoint / NAME, typed)
    message = command.refuses(checkpoint)
    assert message.endswith(f"tensor {PREFIX}q_norm.weight: what it does is not supported")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(command, checkpoint, value):
    change_tensor(checkpoint, "q_a_proj.weight", spoil(value))
    message = command.refuses(checkpoint)
    assert message.endswith(f"tensor {PREFIX}q_a_proj.weight is {value} at [1, 1]")


def test_norm_that_is_not_finite(command, checkpoint):
    change_tensor(checkpoint, "kv_a_layernorm.weight", spoil(np.nan))
    assert "kv_a_layernorm.weight is nan at [1]" in command.refuses(checkpoint)


@pytest.mark.parametrize(
    "field",
    [
        "model_type",
        "hidden_size",
        "num_attention_heads",
        "q_lora_rank",
        "kv_lora_rank",
        "qk_nope_head_dim",
        "qk_rope_head_dim",
        "v_head_dim",
        "max_position_embeddings",
        "num_hidden_layers",
    ],
)
def test_missing_field(command, checkpoint, field):
    change_config(checkpoint, **{field: ...})
    assert command.refuses(checkpoint).endswith(f"config.json: missing field {field}")


@pytest.mark.parametrize(
    ("field", "value", "wanted"),
    [
        ("hidden_size", "20", "must be a positive integer, not '20'"),
        ("hidden_size", 20.0, "must be a positive integer, not 20.0"),
        ("num_attention_heads", 0, "must be a positive integer, not 0"),
        ("kv_lora_rank", None, "must be a positive integer, not None"),
        ("q_lora_rank", True, "must be a positive integer, not True"),
        ("v_head_dim", [5], "must be a positive integer, not [5]"),
        ("qk_rope_head_dim", 3, "must be even, not 3"),
        ("model_type", 3, "must be a string, not 3"),
        ("rope_theta", "1e4", "must be a number, not '1e4'"),
        ("rope_interleave", 1, "must be true or false, not 1"),
        ("rope_scaling", "yarn", "must be an object, not 'yarn'"),
        ("rope_scaling", {"type": "linear", "factor": 2}, "must be one of default, yarn, longrope"),
        ("attention_bias", True, "biases of the attention projections"),
        ("quantization_config", {"quant_method": "awq"}, "must be fp8"),
    ],
)
def test_field_with_a_wrong_value(command, checkpoint, field, value, wanted):
    change_config(checkpoint, **{field: value})
    message = command.refuses(checkpoint)
    assert message.startswith(f"{checkpoint / 'config.json'}: ")
    assert field in message
    assert wanted in message


def test_model_that_is_not_mla(command, checkpoint):
    dense = ("q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
    change_config(checkpoint, model_type="llama", **dict.fromkeys(dense, ...))
    message = command.refuses(checkpoint)
    assert "model_type llama is not an MLA model: it has no kv_lora_rank" in message


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"hidden_size": 20', "\xff"])
def test_config_that_is_no_json_object(command, checkpoint, text):
    (checkpoint / "config.json").write_bytes(text.encode("latin-1"))
    assert command.refuses(checkpoint).startswith(f"{checkpoint / 'config.json'}: ")


@pytest.mark.parametrize("model", ["checkpoint", "preset"])
def test_layer_out_of_range(command, checkpoint, model):
    source, last = (checkpoint, 1) if model == "checkpoint" else ("tiny-v3", 0)
    message = command.refuses(source, "--layer", last + 1)
    assert f"--layer: must be from 0 to {last}, the last one of {source}" in message
    assert message.endswith(f"not {last + 1}")


def test_layer_without_tensors(command, checkpoint):
    message = command.refuses(checkpoint, "--layer", 1)
    assert "has no tensor named model.layers.1.self_attn." in message
