"""Figures of merit against counts by hand."""

import pytest

from mla_hw.config import ModelConfig
from mla_hw.cycles.figures import phase_figures, roofline_efficiency
from mla_hw.hardware import HardwareConfig
from mla_hw.schedule import schedule_layer
from tests.reference_cases import case_dir

CACHED = 33


@pytest.fixture(scope="module")
def layer():
    config = ModelConfig.from_file(case_dir("odd-shape") / "config.json")
    core = schedule_layer(config, HardwareConfig(rows=3, columns=4, tile_tokens=16)).core
    return config, core


def figures(layer, cycles):
    return {item.phase: item for item in phase_figures(*layer, CACHED, cycles)}


def test_work_and_traffic_have_true_dimensions(layer):
    config, core = layer
    heads, latent, rope = (
        config.num_attention_heads,
        config.kv_lora_rank,
        config.qk_rope_head_dim,
    )
    phases = ("q_a", "q_b", "kv_a", "uk", "attention", "uv", "o")
    found = figures(layer, dict.fromkeys(phases, 1000))
    assert set(found) == set(phases)
    attention = found["attention"]
    assert attention.macs == CACHED * heads * (2 * latent + rope)
    assert attention.payload_bytes == CACHED * (latent + rope + 2)
    inputs = heads * config.v_head_dim
    assert found["o"].macs == inputs * config.hidden_size
    assert found["o"].payload_bytes == (inputs + 2) * config.hidden_size
    nope = config.qk_nope_head_dim
    assert found["uk"].macs == heads * latent * nope
    assert found["uk"].payload_bytes == heads * latent * (nope + 2)
    # None of it is what the core pads to.
    assert heads % core.rows
    assert (latent + rope) % core.columns


def test_utilisation_and_efficiency(layer):
    phases = ("q_a", "q_b", "kv_a", "uk", "attention", "uv", "o")
    core = layer[1]
    limits = figures(layer, dict.fromkeys(phases, 1))
    least = {name: item.least_cycles for name, item in limits.items()}
    twice = [
        item
        for name, cycles in least.items()
        for item in phase_figures(*layer, CACHED, dict.fromkeys(phases, 2 * cycles))
        if item.phase == name
    ]
    assert roofline_efficiency(twice) == pytest.approx(0.5)
    for item in twice:
        assert max(item.array_utilisation, item.port_utilisation) == pytest.approx(0.5)
    assert limits["attention"].array_utilisation == limits["attention"].macs / (
        core.rows * core.columns
    )
