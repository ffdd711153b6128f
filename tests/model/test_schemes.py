"""Programs of the other schemes: the golden model against float64, and what they read and keep."""

import functools

import numpy as np
import pytest

from mla_hw.compile_layer import compile_layer
from mla_hw.graph import MLA_SCHEMES, build_graph, evaluate
from mla_hw.hardware import HardwareConfig
from mla_hw.program.program import Program
from mla_hw.quant import fold
from mla_hw.quant.quantize import quantize_weight
from mla_hw.schedule import SCHEMES
from tests.model.test_accuracy import ARRAYS, BOUND, reference, relative_error, rounded
from tests.reference_cases import SMALL_CASES, load_case

OTHERS = tuple(scheme for scheme in SCHEMES if scheme != "absorb")
#: Schemes and cases; the one with the longest programs takes as long as all others.
PAIRS = [
    pytest.param(scheme, name, marks=[pytest.mark.slow] * slow)
    for scheme in OTHERS
    for name in SMALL_CASES
    for slow in [(scheme, name) == ("recompute", "small-v2lite")]
]


@functools.cache
def decode(name, array, scheme, tokens=None, groups=None):
    """Decode the first tokens by the golden model; return rows of y, design and machine."""
    case = load_case(name)
    half = len(case.x) // 2
    design = compile_layer(
        case.weights,
        ARRAYS[array],
        context=len(case.x),
        calibration=case.x[:half].astype(np.float64),
        pass_groups=groups,
        scheme=scheme,
    ).design
    machine = design.machine()
    rows = []
    for position, x in enumerate(design.quantize_hidden(case.x[:tokens])[0]):
        machine.write_hidden(x)
        machine.run(position)
        rows.append(machine.y())
    return np.array(rows), design, machine


def test_schemes_are_those_of_the_graph():
    assert set(SCHEMES) <= set(MLA_SCHEMES)
    assert SCHEMES[0] == "absorb"


def int8(array, step):
    """Round to steps."""
    return np.rint(array / step) * step


def attend(config, values, w_o, query, key, value):
    """Return y of all tokens: queries and keys without their RoPE part, values."""
    scores = np.einsum("thc,jhc->thj", query, key)
    scores += np.einsum("thr,jr->thj", values["q_rope"], values["k_rope"])
    scores *= config.softmax_scale
    future = np.triu(np.ones((len(scores), len(scores)), bool), 1)
    scores = np.where(future[:, None], -np.inf, scores)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    o = np.einsum("thj,jhv->thv", weights / weights.sum(-1, keepdims=True), value)
    return np.einsum("thv,dhv->td", o, w_o)


def float_decode(name, scheme, *, constants=None):
    """Return y in float64, with int8 weights and products where ``constants`` say their shifts."""
    case = load_case(name)
    config, half, nope = case.config, len(case.x) // 2, case.config.qk_nope_head_dim
    folded = fold(case.weights, case.x[:half].astype(np.float64)).operands
    operands = rounded(folded) if constants else folded
    source = "x" if config.q_lora_rank is None else "c_q"
    captured = ("c_kv", "k_rope", "q_nope", "q_rope", source)
    values = evaluate(build_graph(config), operands, case.x, capture=captured)
    c_kv, w_uk, w_uv = values["c_kv"], operands["W_UK"], operands["W_UV"]
    step = 1.0
    if constants and scheme != "reuse":
        step = 2.0 ** (constants["product_pre"] + constants["product_post"])
        step /= constants["product_factor"]
    if scheme == "naive":
        key, value = np.einsum("hck,tk->thc", w_uk, c_kv), np.einsum("hck,tk->thc", w_uv, c_kv)
        if constants:
            # Relative to the row of weights and to the token, as the operands are.
            level = np.abs(c_kv).max(1)[:, None, None] / 127
            key, value = (
                int8(product, step * level * quantize_weight(weights)[1])
                for product, weights in ((key, folded["W_UK"]), (value, folded["W_UV"]))
            )
        return attend(config, values, operands["W_O"], values["q_nope"], key, value)
    merged = np.einsum("hnk,hni->hki", folded["W_UK"], folded["W_UQ"][:, :nope])
    if constants and scheme == "reuse":
        integers, unit = quantize_weight(merged)
        merged = integers * unit[..., None]
    elif constants:
        rows, gain = quantize_weight(folded["W_UQ"][:, :nope])
        columns, unit = quantize_weight((folded["W_UK"] * gain[..., None]).transpose(0, 2, 1))
        merged = int8(columns.astype(float) @ rows, step) * unit[..., None]
    query = np.einsum("hki,ti->thk", merged, values[source])
    key = np.broadcast_to(c_kv[:, None], (len(c_kv), len(merged), c_kv.shape[1]))
    value = np.einsum("hck,tk->thc", w_uv, c_kv)
    return attend(config, values, operands["W_O"], query, key, value)


@pytest.mark.parametrize(("scheme", "name"), PAIRS)
def test_error_against_float(scheme, name):
    """Not more than the contract's factor over int8 weights and products alone."""
    wanted = reference(name)[0]
    np.testing.assert_allclose(float_decode(name, scheme)[-len(wanted) :], wanted, atol=1e-9)
    y, design, machine = decode(name, "4x8", scheme)
    constants = design.manifest["layer_constants"]
    baseline = relative_error(
        float_decode(name, scheme, constants=constants)[-len(wanted) :], wanted
    )
    error = relative_error(y[-len(wanted) :] * design.scales["y"], wanted)
    assert error <= BOUND * baseline
    assert not machine.saturated
    assert design.scheme == design.manifest["scheme"] == scheme


@pytest.mark.parametrize(("scheme", "name"), PAIRS)
def test_integers_do_not_depend_on_the_array(scheme, name):
    wanted = decode(name, "4x8", scheme)[0][:6]
    for array in ARRAYS:
        np.testing.assert_array_equal(decode(name, array, scheme, 6)[0], wanted)


def test_integers_of_reuse_do_not_depend_on_head_passes():
    results = [decode("small-v2lite", "2x4", "reuse", 8, groups) for groups in (4, 2, 1)]
    for groups, (y, design, _) in zip((4, 2, 1), results, strict=True):
        assert len(design.manifest["passes"]) == 4 // groups
        np.testing.assert_array_equal(y, results[0][0])


@pytest.mark.parametrize("scheme", OTHERS)
def test_manifest_and_program_are_of_the_scheme(scheme):
    _, design, _ = decode("tiny-v3", "4x8", scheme)
    graph = build_graph(design.model, scheme)
    assert set(filter(None, design.manifest["phases"])) == set(graph.phases)
    for context in (1, 7, 100):
        counted = {
            phase: macs["fixed"] + context * macs["per_token"]
            for phase, macs in design.manifest["macs"].items()
        }
        assert counted == {phase: graph.macs(context, phase) for phase in graph.phases}
    assert Program.parse(str(design.program)) == design.program


def test_reuse_reads_the_product_and_neither_factor():
    design = decode("tiny-v3", "4x8", "reuse")[1]
    config, columns = design.model, design.core.columns
    sizes = {(tensor.projection, tensor.head): tensor.size for tensor in design.memory.tensors}
    words = -(-config.kv_lora_rank // columns)
    for head in range(config.num_attention_heads):
        assert sizes["q_lat", head] == words * columns * (2 + config.q_lora_rank)
    assert not any(name == "q_nope" for name, _ in sizes)
    assert "q_nope" not in design.scales


def test_a_layer_without_query_compression_multiplies_x():
    design = compile_layer(
        load_case("small-v2lite").weights, HardwareConfig(), context=4, scheme="reuse"
    ).design
    steps = {
        instruction["k"]
        for instruction in design.program.instructions
        if instruction.name == "MATMUL" and instruction.choice("target") == "lanes"
    }
    assert steps == {design.model.hidden_size}
