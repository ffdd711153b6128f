"""Cache sizes of the presets, and the claims about them."""

import pytest

from mla_hw.analysis.cache_size import BASELINES, CLAIMS, cache_size, claim_lines
from mla_hw.hardware import HardwareConfig
from mla_hw.presets import PRESETS

HARDWARE = HardwareConfig()
SIZES = {name: cache_size(name, preset.config, HARDWARE) for name, preset in PRESETS.items()}


@pytest.mark.parametrize(
    ("name", "mla", "mha", "gqa", "groups"),
    [
        ("deepseek-v3", 576, 128 * 320, 8 * 320, 8),
        ("deepseek-v2-lite", 576, 16 * 320, 8 * 320, 8),
        ("kimi-k2", 576, 64 * 320, 8 * 320, 8),
        ("minicpm3-4b", 288, 40 * 160, 8 * 160, 8),
        # 20 heads have no eight equal groups.
        ("glm-4.7-flash", 576, 20 * 512, 5 * 512, 5),
    ],
)
def test_elements(name, mla, mha, gqa, groups):
    size = SIZES[name]
    assert (size.mla, size.mha, size.gqa, size.groups) == (mla, mha, gqa, groups)
    assert size.ratio("mha") == mha / mla
    assert size.ratio("gqa bf16 : int8") == 2 * gqa / size.stored_bytes


def test_stored_rows_are_padded():
    config = PRESETS["deepseek-v3"].config
    assert cache_size("m", config, HARDWARE).stored_bytes == 584
    assert cache_size("m", config, HardwareConfig(port_bytes=16)).stored_bytes == 592


def test_claims():
    cases = {claim.text: set(claim.cases(SIZES.values())) for claim in CLAIMS}
    large = {name for name in PRESETS if name not in {"tiny-v3", "small-v2lite"}}
    saving = cases["70 to 80 % less"]
    assert {model for model, baseline in saving if baseline == "gqa"} >= large
    assert not {model for model, baseline in saving if baseline == "mha"} & large
    assert cases["8192 against 2856 units"] == set()
    kept = cases["up to 16 times smaller"]
    assert ("deepseek-v2-lite", "mha") in kept
    assert ("deepseek-v3", "mha") not in kept
    assert {(name, "gqa") for name in PRESETS} <= kept
    lines = claim_lines(SIZES.values())
    assert lines[1] == "“8192 against 2856 units”: none of these"
    assert "; exceeded by mha: deepseek-v2, deepseek-v3, " in lines[2]


def test_a_claim_holds_within_its_bounds():
    saving, units, times = CLAIMS
    size = SIZES["deepseek-v3"]
    for baseline in BASELINES:
        assert saving.holds(size, baseline) == (1 / 0.3 <= size.ratio(baseline) <= 5)
        assert times.holds(size, baseline) == (size.ratio(baseline) <= 16)
    same = SIZES["small-v2lite"]
    matching = type(units)(text="", least=8, most=8, elements=(same.mha, same.mla))
    assert matching.holds(same, "mha")
    assert not matching.holds(same, "mha bf16 : int8")
    assert not matching.holds(size, "mha")
