"""The cores of the other schemes on a simulator against the golden model and the prediction."""

import pytest

import mla_hw
from mla_hw.design import Design
from mla_hw.schedule import SCHEMES
from tests.reference_cases import load_case
from tests.system.test_bit_exact import assert_predicted

OTHERS = tuple(scheme for scheme in SCHEMES if scheme != "absorb")


def check(report, scheme):
    assert report.bit_exact, report.difference
    assert report.scheme == scheme
    assert_predicted(report)


@pytest.mark.rtl
@pytest.mark.parametrize("scheme", OTHERS)
def test_last_tokens_on_verilator(cores, scheme):
    folder, hidden = cores("tiny-v3", "4x8", scheme=scheme)
    report = mla_hw.simulate(folder, hidden=hidden, prefill=50)
    check(report, scheme)
    assert report.tokens == len(load_case("tiny-v3").x) - 50
    assert report.relative_error_total is not None


@pytest.mark.rtl
@pytest.mark.slow
@pytest.mark.parametrize("scheme", OTHERS)
@pytest.mark.parametrize(
    ("case", "array"), [("tiny-v3", "8x16"), ("small-v2lite", "4x8"), ("odd-shape", "3x4")]
)
def test_all_tokens_on_verilator(cores, case, array, scheme):
    folder, hidden = cores(case, array, scheme=scheme)
    report = mla_hw.simulate(folder, hidden=hidden)
    check(report, scheme)
    assert report.tokens == len(load_case(case).x)


@pytest.mark.rtl
@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "array", "scheme", "passes"),
    [
        ("small-v2lite", "2x8", "reuse", 4),
        ("odd-shape", "2x8-passes", "recompute", 3),
        # A head is a pass.
        ("odd-shape", "2x4", "naive", 5),
    ],
)
def test_head_passes(cores, case, array, scheme, passes):
    folder, hidden = cores(case, array, scheme=scheme)
    assert len(Design.load(folder).manifest["passes"]) == passes
    check(mla_hw.simulate(folder, hidden=hidden, prefill=30), scheme)


@pytest.mark.rtl
@pytest.mark.parametrize("scheme", OTHERS)
def test_random_memory_changes_no_bit(cores, scheme):
    folder, hidden = cores("tiny-v3", "4x8", scheme=scheme)
    report = mla_hw.simulate(folder, hidden=hidden, prefill=60, memory="random:3")
    assert report.bit_exact, report.difference


@pytest.mark.rtl
@pytest.mark.parametrize("scheme", ["recompute", "naive"])
def test_prediction_at_another_latency(cores, scheme):
    folder, hidden = cores("tiny-v3", "4x8", scheme=scheme)
    check(mla_hw.simulate(folder, hidden=hidden, prefill=61, memory="fixed:200"), scheme)
