import math
from dataclasses import replace

import numpy as np
import pytest

from mla_hw.config import RopeConfig
from mla_hw.presets import PRESETS
from mla_hw.rope import apply_rope, attention_factor, inverse_frequencies, rope_table

# Values worked out from the models' settings, independently of this code.
V3_FREQUENCIES = {
    0: 1.0,
    9: 0.0749894209,
    10: 0.0562341325,
    11: 0.0390069266,
    16: 0.0055,
    22: 0.000177827941,
    23: 3.33380358e-05,
    31: 3.33380358e-06,
}
K2_FREQUENCIES = {
    0: 1.0,
    18: 0.00227420376,
    19: 0.00162175991,
    20: 3.61404677e-05,
    31: 8.76441291e-07,
}
LONGROPE = RopeConfig(
    rope_type="longrope",
    factor=4.0,
    original_max_position_embeddings=16,
    short_factor=(1.0, 1.5),
    long_factor=(2.0, 3.0),
)


@pytest.mark.parametrize(
    ("preset", "expected"), [("deepseek-v3", V3_FREQUENCIES), ("kimi-k2", K2_FREQUENCIES)]
)
def test_yarn_frequencies(preset, expected):
    frequencies = inverse_frequencies(PRESETS[preset].config.rope, 64, 4096)
    assert len(frequencies) == 32
    for i, value in expected.items():
        assert frequencies[i] == pytest.approx(value, rel=2e-9)


@pytest.mark.parametrize(
    ("preset", "mscale_squared", "scale"),
    [
        ("deepseek-v3", 1.8738542071, 0.1352337789),
        ("deepseek-r1", 1.8738542071, 0.1352337789),
        ("deepseek-v2", 1.5896261651, 0.1147213868),
        ("deepseek-v2-lite", 1.5896261651, 0.1147213868),
        ("kimi-k2", 1.8132604340, 0.1308608000),
        ("glm-4.7-flash", 1.0, 0.0625),
        ("minicpm3-4b", 1.0, 0.1020620726),
    ],
)
def test_softmax_scale(preset, mscale_squared, scale):
    config = PRESETS[preset].config
    assert config.rope.score_mscale == pytest.approx(mscale_squared, abs=1e-10)
    assert config.softmax_scale == pytest.approx(scale, abs=1e-10)
    assert attention_factor(config.rope) == 1.0


def test_default_frequencies():
    expected = [1e6 ** (-2 * i / 64) for i in range(32)]
    rope = PRESETS["glm-4.7-flash"].config.rope
    np.testing.assert_allclose(inverse_frequencies(rope, 64, 100), expected, rtol=1e-14)


def test_longrope_extension_depends_on_the_context():
    np.testing.assert_allclose(inverse_frequencies(LONGROPE, 4, 16), [1, 0.01 / 1.5])
    np.testing.assert_allclose(inverse_frequencies(LONGROPE, 4, 17), [1 / 2, 0.01 / 3])


def test_attention_factor():
    assert attention_factor(LONGROPE) == pytest.approx(math.sqrt(1.5))
    assert attention_factor(replace(LONGROPE, factor=1.0)) == 1.0
    assert attention_factor(replace(LONGROPE, attention_factor=1.25)) == 1.25
    yarn = RopeConfig(rope_type="yarn", factor=40.0, original_max_position_embeddings=4096)
    assert attention_factor(yarn) == pytest.approx(0.1 * math.log(40) + 1)
    both = replace(yarn, mscale=1.0, mscale_all_dim=0.5)
    expected = (0.1 * math.log(40) + 1) / (0.05 * math.log(40) + 1)
    assert attention_factor(both) == pytest.approx(expected)
    assert yarn.score_mscale == 1.0


def test_yarn_ramp_without_rounding():
    rope = PRESETS["deepseek-v3"].config.rope
    bounds = [32 * math.log(4096 / (2 * math.pi * beta)) / math.log(1e4) for beta in (32, 1)]
    base = 1e4 ** (-16 / 32)
    ramp = (16 - bounds[0]) / (bounds[1] - bounds[0])
    exact = inverse_frequencies(replace(rope, truncate=False), 64, 4096)[16]
    assert exact == pytest.approx(base / 40 * ramp + base * (1 - ramp), rel=1e-12)
    assert exact != pytest.approx(inverse_frequencies(rope, 64, 4096)[16], rel=1e-3)


def test_yarn_with_an_empty_ramp_is_a_step():
    rope = replace(PRESETS["kimi-k2"].config.rope, truncate=False)
    frequencies = inverse_frequencies(rope, 64, 4096)
    base = np.array([50000 ** (-i / 32) for i in range(32)])
    np.testing.assert_allclose(frequencies[:20], base[:20], rtol=1e-14)
    np.testing.assert_allclose(frequencies[20:], base[20:] / 32, rtol=1e-14)


def test_table():
    config = PRESETS["deepseek-v2"].config
    cos, sin = rope_table(config, [0, 5], 8)
    angles = 5 * inverse_frequencies(config.rope, 64, 8)
    np.testing.assert_array_equal(cos, [np.ones(32), np.cos(angles)])
    np.testing.assert_array_equal(sin, [np.zeros(32), np.sin(angles)])


def test_table_holds_the_attention_factor():
    config = replace(PRESETS["minicpm3-4b"].config, qk_rope_head_dim=4, rope=LONGROPE)
    cos, sin = rope_table(config, [3], 64)
    np.testing.assert_allclose(cos**2 + sin**2, [[1.5, 1.5]])


@pytest.mark.parametrize("interleaved", [True, False])
def test_rotation_is_the_complex_product(interleaved):
    rng = np.random.default_rng(0)
    x, angle = rng.standard_normal((3, 8)), rng.standard_normal((3, 4))
    pairs = x.reshape(3, 4, 2) if interleaved else np.stack([x[:, :4], x[:, 4:]], axis=-1)
    product = (pairs[..., 0] + 1j * pairs[..., 1]) * np.exp(1j * angle)
    rotated = apply_rope(x, np.cos(angle), np.sin(angle), interleaved=interleaved)
    np.testing.assert_allclose(rotated, np.hstack([product.real, product.imag]), atol=1e-14)
