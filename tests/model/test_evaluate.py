from dataclasses import replace

import numpy as np
import pytest

from mla_hw.checkpoint import load_layer, random_layer
from mla_hw.config import ModelConfig
from mla_hw.errors import ConfigError, GraphError
from mla_hw.graph import MLA_SCHEMES, build_graph, evaluate
from mla_hw.graph.nodes import Weight
from tests.model.attention import attend
from tests.model.checkpoints import TINY
from tests.reference_cases import CASES, load_case, write_case

TOKENS = 40
YARN = {
    "type": "yarn",
    "factor": 8,
    "mscale": 1.2,
    "mscale_all_dim": 0.8,
    "beta_fast": 32,
    "beta_slow": 1,
    "original_max_position_embeddings": 4096,
}
LONGROPE = {
    "type": "longrope",
    "short_factor": [1.0, 1.5],
    "long_factor": [2.0, 3.0],
    "original_max_position_embeddings": TOKENS - 1,
    "factor": 4.0,
}
LN8 = np.log(8)
# For each type its settings and what they mean for 4 rotated channels and base 10000, worked out
# by hand: frequencies, multiplier of cos and sin, multiplier of the score. YaRN's ramp goes from
# floor(0.65) to ceil(1.41), so the second frequency is half stretched.
ROPES = {
    "default": (None, [1, 0.01], 1, 1),
    "yarn": (
        YARN,
        [1, (0.01 + 0.01 / 8) / 2],
        (0.12 * LN8 + 1) / (0.08 * LN8 + 1),
        (0.08 * LN8 + 1) ** 2,
    ),
    "longrope": (LONGROPE, [1 / 2, 0.01 / 3], np.sqrt(1 + np.log(4) / np.log(TOKENS - 1)), 1),
}


def relative(value, reference):
    return np.linalg.norm(value - reference) / np.linalg.norm(reference)


def tiny(**changes):
    return {**TINY, **changes}


def hidden(config, tokens=TOKENS):
    return np.random.default_rng(1).standard_normal((tokens, config.hidden_size))


@pytest.mark.parametrize("name", CASES)
def test_schemes_match_hugging_face(name):
    case = load_case(name)
    results = {}
    for scheme in MLA_SCHEMES:
        result = evaluate(
            build_graph(case.config, scheme), case.weights, case.x, capture=("c_kv", "k_rope")
        )
        results[scheme] = result["y"]
        assert relative(result["y"][-case.n_out :], case.y) < 1e-5
        assert relative(result["c_kv"][-case.n_out :], case.c_kv_last) < 1e-5
        assert relative(result["k_rope"][-case.n_out :], case.k_rope_last) < 1e-5
    for scheme in MLA_SCHEMES:
        assert relative(results[scheme], results["absorb"]) < 1e-12


@pytest.mark.parametrize("rope", ROPES)
@pytest.mark.parametrize("interleave", [True, False], ids=["interleaved", "half-split"])
@pytest.mark.parametrize("q_lora_rank", [14, None], ids=["compressed", "direct"])
def test_schemes_match_plain_loops(rope, interleave, q_lora_rank):
    scaling, frequencies, cos_gain, score_gain = ROPES[rope]
    raw = tiny(rope_scaling=scaling, rope_interleave=interleave, q_lora_rank=q_lora_rank)
    config = ModelConfig.from_hf(raw)
    weights, x = random_layer(config, 3), hidden(config)
    angles = np.arange(TOKENS)[:, None] * np.array(frequencies)
    expected = attend(raw, weights.tensors, x, angles, cos_gain=cos_gain, score_gain=score_gain)
    for scheme in MLA_SCHEMES:
        y = evaluate(build_graph(config, scheme), weights, x)["y"]
        assert relative(y, expected) < 1e-12


def test_pairings_agree_on_permuted_rows():
    """Half-split rows are the interleaved ones, first members of the pairs first."""
    config = ModelConfig.from_hf(TINY)
    order = [0, 2, 1, 3]
    operands = random_layer(config, 4).operands()
    permuted = {name: value.copy() for name, value in operands.items()}
    permuted["W_UQ"][:, 6:] = operands["W_UQ"][:, 6:][:, order]
    permuted["W_DKV"][10:] = operands["W_DKV"][10:][order]
    split = replace(config, rope_interleave=False)
    x, capture = hidden(config), ("k_rope", "q_rope")
    interleaved = evaluate(build_graph(config), operands, x, capture=capture)
    half_split = evaluate(build_graph(split), permuted, x, capture=capture)
    for name in ("y", *capture):
        np.testing.assert_allclose(half_split[name], interleaved[name], rtol=1e-12, atol=1e-14)
    wrong = evaluate(build_graph(split), operands, x)["y"]
    assert relative(wrong, interleaved["y"]) > 1e-3


def test_longrope_table_is_made_for_the_context():
    config = ModelConfig.from_hf(tiny(rope_scaling=LONGROPE))
    raw, (_, long_frequencies, gain, _) = tiny(), ROPES["longrope"]
    weights, x = random_layer(config, 3), hidden(config, 20)
    graph = build_graph(config)
    for context, frequencies in ((None, [1, 0.01 / 1.5]), (TOKENS, long_frequencies)):
        angles = np.arange(20)[:, None] * np.array(frequencies)
        expected = attend(raw, weights.tensors, x, angles, cos_gain=gain)
        assert relative(evaluate(graph, weights, x, context=context)["y"], expected) < 1e-12
    with pytest.raises(ConfigError, match="context must hold the 20 tokens of x, not 19"):
        evaluate(graph, weights, x, context=19)


def test_plain_multi_head_attention():
    """The same attention written with one matrix product per head and a mask."""
    config = ModelConfig.from_hf(TINY)
    rng = np.random.default_rng(0)
    shapes = {"W_Q": (3, 10, 20), "W_K": (3, 10, 20), "W_V": (3, 5, 20), "W_O": (20, 3, 5)}
    operands = {name: rng.standard_normal(shape) / 4 for name, shape in shapes.items()}
    x = hidden(config)
    angles = np.arange(TOKENS)[:, None] * np.array([1, 0.01])
    turn = np.exp(1j * angles)
    y = np.zeros_like(x)
    for head in range(3):
        query, key = x @ operands["W_Q"][head].T, x @ operands["W_K"][head].T
        rotated = [(part[:, 6::2] + 1j * part[:, 7::2]) * turn for part in (query, key)]
        scores = query[:, :6] @ key[:, :6].T + (rotated[0] @ rotated[1].conj().T).real
        weights = np.tril(np.exp(scores / np.sqrt(10)))
        weights /= weights.sum(axis=1, keepdims=True)
        y += weights @ (x @ operands["W_V"][head].T) @ operands["W_O"][:, head].T
    assert relative(evaluate(build_graph(config, "mha"), operands, x)["y"], y) < 1e-12


def test_grouped_query_attention_is_multi_head_attention_with_repeated_keys():
    config = replace(ModelConfig.from_hf(TINY), num_attention_heads=20)
    rng = np.random.default_rng(1)
    # The largest divisor of 20 up to 8.
    groups, members = 5, 4
    shapes = {"W_Q": (groups, members, 10, 20), "W_K": (groups, 10, 20), "W_V": (groups, 5, 20)}
    grouped = {name: rng.standard_normal(shape) / 4 for name, shape in shapes.items()}
    grouped["W_O"] = rng.standard_normal((20, groups, members, 5)) / 4
    repeated = {
        "W_Q": grouped["W_Q"].reshape(20, 10, 20),
        "W_K": np.repeat(grouped["W_K"], members, axis=0),
        "W_V": np.repeat(grouped["W_V"], members, axis=0),
        "W_O": grouped["W_O"].reshape(20, 20, 5),
    }
    x = hidden(config)
    expected = evaluate(build_graph(config, "mha"), repeated, x)["y"]
    assert relative(evaluate(build_graph(config, "gqa"), grouped, x)["y"], expected) < 1e-12


@pytest.mark.parametrize("q_lora_rank", [14, None])
def test_schemes_agree_without_rotation(q_lora_rank):
    config = replace(ModelConfig.from_hf(TINY), q_lora_rank=q_lora_rank)
    rng = np.random.default_rng(2)
    graphs = [build_graph(config, scheme, rope=False) for scheme in MLA_SCHEMES]
    operands = {
        node.name: rng.standard_normal([axis.size for axis in node.type.axes]) / 4
        for node in graphs[0].nodes
        if isinstance(node, Weight)
    }
    assert operands["W_UQ"].shape[1] == operands["W_UK"].shape[1] == 6
    x = hidden(config)
    first, *others = (evaluate(graph, operands, x)["y"] for graph in graphs)
    assert np.abs(first).max() > 1e-3
    for other in others:
        assert relative(other, first) < 1e-12


def test_captured_values():
    case = load_case("tiny-v3")
    names = ("q_nope", "q_lat", "ctx", "o", "probabilities", "W_UK", "c_kv", "c_kv_cache", "scores")
    result = evaluate(build_graph(case.config), case.weights, case.x, capture=names)
    assert set(result) == {"y", *names}
    shapes = {name: value.shape for name, value in result.items()}
    assert shapes["q_lat"] == shapes["ctx"] == (64, 4, 32)
    assert shapes["o"] == shapes["q_nope"] == (64, 4, 16)
    assert shapes["W_UK"] == (4, 16, 32)
    probabilities = result["probabilities"]
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-12)
    assert not probabilities[np.broadcast_to(~np.tri(64, dtype=bool)[:, None], (64, 4, 64))].any()
    np.testing.assert_array_equal(result["c_kv"], result["c_kv_cache"])
    ctx = np.einsum("thj,jc->thc", probabilities, result["c_kv"])
    np.testing.assert_allclose(result["ctx"], ctx, rtol=1e-10, atol=1e-12)


def test_a_token_does_not_see_later_ones():
    case = load_case("odd-shape")
    graph = build_graph(case.config)
    whole = evaluate(graph, case.weights, case.x)["y"]
    first = evaluate(graph, case.weights, case.x[:20])["y"]
    assert relative(first, whole[:20]) < 1e-13


@pytest.mark.parametrize("scheme", MLA_SCHEMES)
def test_chunks_of_queries(scheme, monkeypatch):
    case = load_case("odd-shape")
    graph = build_graph(case.config, scheme)
    names = ("o", "q_rope", "k_rope", "scores")
    whole = evaluate(graph, case.weights, case.x, capture=names)
    largest = 5 * 61  # scores of one token; the projections are narrower
    monkeypatch.setattr("mla_hw.graph.evaluation._CHUNK_BYTES", 8 * largest * 7)
    parts = evaluate(graph, case.weights, case.x, capture=names)
    for name, value in whole.items():
        np.testing.assert_allclose(parts[name], value, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((3, 63)), r"x must have shape \[tokens, hidden_size = 64\], not \[3, 63\]"),
        (np.zeros(64), r"x must have shape \[tokens, hidden_size = 64\], not \[64\]"),
        (np.zeros((0, 64)), r"not \[0, 64\]"),
        (np.zeros((3, 64), int), "x must be floating point, not int64"),
        (np.full((3, 64), np.nan), r"x is nan at \[0, 0\]"),
    ],
)
def test_refuses_hidden_states(x, message):
    case = load_case("tiny-v3")
    with pytest.raises(ConfigError, match=message):
        evaluate(build_graph(case.config), case.weights, x)


def test_refuses_weights_and_captures():
    case = load_case("tiny-v3")
    graph, operands = build_graph(case.config), case.weights.operands()
    with pytest.raises(GraphError, match="no node is named z"):
        evaluate(graph, operands, case.x, capture=["z"])
    with pytest.raises(ConfigError, match=r"W_O must have shape \[64, 4, 16\], not \[64, 64\]"):
        evaluate(graph, operands | {"W_O": np.zeros((64, 64))}, case.x)
    del operands["W_UK"]
    with pytest.raises(ConfigError, match="weight W_UK is missing"):
        evaluate(graph, operands, case.x)


def test_written_case_is_the_loaded_one(tmp_path):
    case = load_case("v2lite-dims")
    folder = write_case("v2lite-dims", tmp_path / "case")
    loaded = load_layer(folder)
    assert loaded.config == case.config
    for name, tensor in case.weights.tensors.items():
        np.testing.assert_array_equal(loaded.tensors[name], tensor)
    with np.load(folder / "expected.npz") as expected:
        np.testing.assert_array_equal(expected["x"], case.x)
        np.testing.assert_array_equal(expected["y"], case.y)
