"""The accuracy contract: the golden model against float64, relative to int8 weights alone."""

import dataclasses

import numpy as np
import pytest

from mla_hw.checkpoint import random_layer
from mla_hw.compile_layer import compile_layer
from mla_hw.graph import build_graph, evaluate
from mla_hw.hardware import HardwareConfig
from mla_hw.quant import fold
from mla_hw.quant.quantize import quantize_weight
from tests.reference_cases import CASES, SMALL_CASES, load_case

BOUND = 1.3
ARRAYS = {
    "2x4": HardwareConfig(rows=2, columns=4),
    "4x8": HardwareConfig(rows=4, columns=8),
    "8x16": HardwareConfig(rows=8, columns=16, port_bytes=16),
    "3x4": HardwareConfig(rows=3, columns=4, accumulator_lanes=1, port_bytes=4),
}


def relative_error(got, wanted):
    return np.linalg.norm(got - wanted) / np.linalg.norm(wanted)


def decode(case, hardware, calibration):
    design = compile_layer(
        case.weights, hardware, context=len(case.x), calibration=calibration
    ).design
    machine = design.machine()
    rows = []
    for position, x in enumerate(design.quantize_hidden(case.x)[0]):
        machine.write_hidden(x)
        machine.run(position)
        rows.append(machine.y())
    return np.array(rows), design, machine


def rounded(operands):
    """Round to int8 per output channel of the product as executed."""

    def back(weight):
        integers, scale = quantize_weight(weight)
        return integers * scale[..., None]

    out = dict(operands)
    for name in ("W_DQ", "W_UQ", "W_DKV", "W_UV"):
        if name in out:
            out[name] = back(out[name])
    out["W_UK"] = back(out["W_UK"].transpose(0, 2, 1)).transpose(0, 2, 1)
    w_o = out["W_O"]
    out["W_O"] = back(w_o.reshape(len(w_o), -1)).reshape(w_o.shape)
    return out


def reference(name):
    """Return y of the second half of the tokens, and the error that int8 weights alone make."""
    case = load_case(name)
    half = len(case.x) // 2
    operands = rounded(fold(case.weights, case.x[:half].astype(np.float64)).operands)
    graph = build_graph(case.config)
    wanted = evaluate(graph, case.weights, case.x)["y"][half:]
    return wanted, relative_error(evaluate(graph, operands, case.x)["y"][half:], wanted)


@pytest.mark.parametrize("name", CASES)
def test_accuracy_contract(name):
    case = load_case(name)
    wanted, baseline = reference(name)
    half = len(case.x) // 2
    y, design, machine = decode(case, ARRAYS["8x16"], case.x[:half].astype(np.float64))
    error = relative_error(y[half:] * design.scales["y"], wanted)
    assert len(wanted) >= 24
    assert error <= BOUND * baseline
    assert not machine.saturated


@pytest.mark.parametrize("kv_lora_rank", [1, 2, 4, 8, 16])
def test_accuracy_contract_of_short_latents(kv_lora_rank):
    config = dataclasses.replace(load_case("tiny-v3").config, kv_lora_rank=kv_lora_rank)
    x = np.random.default_rng(9).standard_normal((96, config.hidden_size))
    weights = random_layer(config, seed=0)
    graph = build_graph(config)
    wanted = evaluate(graph, weights, x)["y"][48:]
    weights_only = evaluate(graph, rounded(fold(weights, x[:48]).operands), x)["y"]
    case = type("Case", (), {"weights": weights, "x": x})
    y, design, machine = decode(case, ARRAYS["2x4"], x[:48])
    error = relative_error(y[48:] * design.scales["y"], wanted)
    assert error <= BOUND * relative_error(weights_only[48:], wanted)
    assert not machine.saturated


@pytest.mark.parametrize("name", SMALL_CASES)
def test_integers_do_not_depend_on_the_array(name):
    case = load_case(name)
    results = {
        array: decode(case, hardware, case.x[:16].astype(np.float64))[0]
        for array, hardware in ARRAYS.items()
    }
    for y in results.values():
        np.testing.assert_array_equal(y, results["2x4"])


def test_integers_do_not_depend_on_head_passes():
    case = load_case("small-v2lite")
    hardware = HardwareConfig(rows=2, columns=4)
    results = []
    for groups in (4, 2, 1):
        design = compile_layer(
            case.weights, hardware, context=8, calibration=case.x, pass_groups=groups
        ).design
        assert len(design.manifest["passes"]) == 4 // groups
        machine = design.machine()
        rows = []
        for position, x in enumerate(design.quantize_hidden(case.x[:8])[0]):
            machine.write_hidden(x)
            machine.run(position)
            rows.append(machine.y())
        results.append(rows)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_cache_rows_match_hugging_face():
    case = load_case("tiny-v3")
    _, design, machine = decode(case, ARRAYS["4x8"], case.x.astype(np.float64))
    core, kv = design.core, case.config.kv_lora_rank
    wanted = case.c_kv_last / case.weights.operands()["g_kv"]
    for index, row in enumerate(wanted):
        stored = machine.cache_row(len(case.x) - case.n_out + index)
        scale = stored[core.token_words * core.columns :][:2].view("<u2")[0]
        latents = stored[:kv].view(np.int8) * (scale / 127 * design.scales["c_kv"])
        # Half a step of the int8 row plus the error of the int8 weights in front of it.
        assert relative_error(latents, row) < 0.03
