import pytest

from mla_hw.config import ModelConfig
from mla_hw.errors import ConfigError
from mla_hw.graph import build_graph
from mla_hw.presets import PRESETS, find_preset
from tests.reference_cases import case_dir

NAMES = [
    "deepseek-v2",
    "deepseek-v2-lite",
    "deepseek-v3",
    "deepseek-r1",
    "kimi-k2",
    "minicpm3-4b",
    "glm-4.7-flash",
    "tiny-v3",
    "small-v2lite",
]


def test_names():
    assert list(PRESETS) == NAMES


@pytest.mark.parametrize(
    ("name", "parameters", "cache_row", "macs_per_token"),
    [
        ("deepseek-v2", 149.23e6, 576, 139264),
        ("deepseek-v2-lite", 13.76e6, 576, 17408),
        ("deepseek-v3", 187.11e6, 576, 139264),
        ("kimi-k2", 101.12e6, 576, 69632),
        ("minicpm3-4b", 13.52e6, 288, 21760),
        ("glm-4.7-flash", 21.76e6, 576, 21760),
    ],
)
def test_published_totals(name, parameters, cache_row, macs_per_token):
    config = find_preset(name).config
    graph = build_graph(config)
    assert graph.weight_elements() == pytest.approx(parameters, abs=0.005e6)
    assert config.cache_row == cache_row
    assert graph.macs(101) - graph.macs(100) == macs_per_token


@pytest.mark.parametrize("name", ["tiny-v3", "small-v2lite"])
def test_small_presets_are_the_reference_cases(name):
    assert PRESETS[name].config == ModelConfig.from_file(case_dir(name) / "config.json")


def test_assumed_fields():
    assert {name for name, preset in PRESETS.items() if preset.assumed} == {
        "kimi-k2",
        "minicpm3-4b",
    }
    assert "rope.rope_theta" in PRESETS["kimi-k2"].assumed
    assert "rope.original_max_position_embeddings" in PRESETS["minicpm3-4b"].assumed


def test_unknown_preset():
    with pytest.raises(ConfigError, match=r"deepseek-v4 .did you mean .*presets: deepseek-v2, "):
        find_preset("deepseek-v4")
