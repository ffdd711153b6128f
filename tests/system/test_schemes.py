"""The cores of the other schemes on a simulator against the golden model and the prediction."""

import pytest

import mla_hw
from mla_hw.schedule import SCHEMES
from tests.reference_cases import load_case
from tests.system.test_bit_exact import assert_predicted

OTHERS = tuple(scheme for scheme in SCHEMES if scheme != "absorb")


@pytest.mark.rtl
@pytest.mark.parametrize("scheme", OTHERS)
@pytest.mark.parametrize(
    ("case", "array"),
    [
        ("tiny-v3", "4x8"),
        pytest.param("small-v2lite", "4x8", marks=pytest.mark.slow),
        pytest.param("odd-shape", "3x4", marks=pytest.mark.slow),
    ],
)
def test_all_tokens_on_verilator(cores, case, array, scheme):
    folder, hidden = cores(case, array, scheme=scheme)
    report = mla_hw.simulate(folder, hidden=hidden)
    assert report.bit_exact, report.difference
    assert report.scheme == scheme
    assert report.tokens == len(load_case(case).x)
    assert report.relative_error_total is not None
    assert_predicted(report)


@pytest.mark.rtl
@pytest.mark.slow
def test_head_passes_of_reuse(cores):
    folder, hidden = cores("small-v2lite", "2x8", scheme="reuse")
    report = mla_hw.simulate(folder, hidden=hidden, prefill=56)
    assert report.bit_exact, report.difference
    assert_predicted(report)


@pytest.mark.rtl
@pytest.mark.parametrize("scheme", OTHERS)
def test_random_memory_changes_no_bit(cores, scheme):
    folder, hidden = cores("tiny-v3", "4x8", scheme=scheme)
    report = mla_hw.simulate(folder, hidden=hidden, prefill=58, memory="random:3")
    assert report.bit_exact, report.difference
