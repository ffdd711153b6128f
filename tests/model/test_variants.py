"""The integers of every RoPE type, pairing and query form, against the float64 graph."""

import dataclasses

import numpy as np
import pytest

from mla_hw.checkpoint import LayerWeights, random_layer
from mla_hw.config import ModelConfig, RopeConfig
from mla_hw.graph import build_graph, evaluate
from mla_hw.hardware import HardwareConfig
from tests.model.test_accuracy import decode, relative_error
from tests.reference_cases import load_case

ROPE_DIM = 8
ROPES = {
    "default": RopeConfig(rope_type="default"),
    "yarn": RopeConfig(
        rope_type="yarn",
        factor=40.0,
        original_max_position_embeddings=4096,
        mscale=1.0,
        mscale_all_dim=1.0,
    ),
    "longrope": RopeConfig(
        rope_type="longrope",
        factor=16.0,
        original_max_position_embeddings=16,
        short_factor=(1.0, 1.1, 1.5, 3.0),
        long_factor=(1.2, 2.0, 5.0, 9.0),
        attention_factor=1.19,
    ),
}
TOKENS = 48
# int8 weights alone cost 2 to 3 % at these sizes; wrong angles or pairs cost more than 20 %.
BOUND = 0.06


def config_of(rope, interleave, q_lora_rank):
    return ModelConfig(
        model_type="deepseek_v3",
        hidden_size=48,
        num_attention_heads=3,
        q_lora_rank=q_lora_rank,
        kv_lora_rank=24,
        qk_nope_head_dim=12,
        qk_rope_head_dim=ROPE_DIM,
        v_head_dim=10,
        max_position_embeddings=256,
        num_hidden_layers=1,
        rope=rope,
        rope_interleave=interleave,
    )


@pytest.mark.parametrize("rope", ROPES)
@pytest.mark.parametrize("interleave", [True, False], ids=["interleaved", "half_split"])
@pytest.mark.parametrize("q_lora_rank", [None, 20])
def test_golden_model_follows_the_graph(rope, interleave, q_lora_rank):
    config = config_of(ROPES[rope], interleave, q_lora_rank)
    weights = random_layer(config, seed=3)
    x = np.random.default_rng(4).standard_normal((TOKENS, config.hidden_size))
    case = type("Case", (), {"weights": weights, "x": x})
    y, design, _ = decode(case, HardwareConfig(rows=2, columns=4), x)
    wanted = evaluate(build_graph(config), weights, x, context=TOKENS)["y"]
    assert relative_error(y * design.scales["y"], wanted) < BOUND

    # The bound notices: the other pairing, or angles that are turned off.
    other = dataclasses.replace(config, rope_interleave=not interleave)
    swapped = LayerWeights(config=other, layer=0, tensors=weights.tensors)
    assert relative_error(evaluate(build_graph(other), swapped, x)["y"], wanted) > 2 * BOUND


def half_split(case):
    """The same layer with its RoPE rows in half-split order."""
    config, tensors = case.config, dict(case.weights.tensors)
    order = np.concatenate([np.arange(0, config.qk_rope_head_dim, 2)] * 2)
    order[len(order) // 2 :] += 1
    name = "q_proj.weight" if config.q_lora_rank is None else "q_b_proj.weight"
    query = tensors[name].reshape(config.num_attention_heads, config.qk_head_dim, -1).copy()
    query[:, config.qk_nope_head_dim :] = query[:, config.qk_nope_head_dim + order]
    tensors[name] = query.reshape(tensors[name].shape)
    key = tensors["kv_a_proj_with_mqa.weight"].copy()
    key[config.kv_lora_rank :] = key[config.kv_lora_rank + order]
    tensors["kv_a_proj_with_mqa.weight"] = key
    changed = dataclasses.replace(config, rope_interleave=False)
    return LayerWeights(config=changed, layer=0, tensors=tensors)


@pytest.mark.parametrize("name", ["tiny-v3", "small-v2lite"])
def test_both_pairings_give_the_same_integers(name):
    case = load_case(name)
    twin = type("Case", (), {"weights": half_split(case), "x": case.x})
    hardware = HardwareConfig(rows=2, columns=4)
    y, design, machine = decode(case, hardware, case.x)
    y_twin, design_twin, machine_twin = decode(twin, hardware, case.x)
    assert design.image == design_twin.image
    np.testing.assert_array_equal(y, y_twin)
    np.testing.assert_array_equal(machine.memory, machine_twin.memory)
