"""The whole core on a simulator against the golden model and the prediction."""

import numpy as np
import pytest

import mla_hw
from boards import load_board
from mla_hw.cli.board_memory import sdram_timing
from mla_hw.design import Design
from tests.model.test_accuracy import BOUND, reference
from tests.reference_cases import SMALL_CASES, load_case
from tests.system.conftest import ARRAYS

# By default one array of two cases; the others take minutes.
DEFAULT = {("tiny-v3", "4x8"), ("odd-shape", "2x4")}
COMBINATIONS = [
    pytest.param(
        case,
        array,
        marks=[pytest.mark.rtl] + ([] if (case, array) in DEFAULT else [pytest.mark.slow]),
    )
    for case in SMALL_CASES
    for array in ARRAYS
]


def assert_predicted(report):
    """Every start and every end, cycle by cycle."""
    wrong = [
        item
        for item in report.instructions
        for edge in ("start", "end")
        if item[edge]["simulated"] != item[edge]["predicted"]
    ]
    assert not wrong, wrong[0]
    assert report.cycles["simulated"] == report.cycles["predicted"]
    for phase in report.phases:
        assert phase["simulated"] == phase["predicted"]
    assert sum(phase["simulated"] for phase in report.phases) == sum(report.cycles["simulated"])
    # Several query rows may be several tokens of one step.
    steps = list(
        zip(sorted({item["token"] for item in report.instructions}), report.counters, strict=True)
    )
    # The reader also loads the program, which takes the same time in every step.
    loads = {
        counters["busy_reader"] - busy_cycles(report, token, "reader") for token, counters in steps
    }
    assert len(loads) == 1
    assert min(loads) > 0
    for token, counters in steps:
        for engine in ("array", "vector", "writer"):
            assert counters[f"busy_{engine}"] == busy_cycles(report, token, engine)
        for kind in ("weights", "latents", "drain"):
            waited = (i["stalls"][kind] for i in report.instructions if i["token"] == token)
            assert counters[f"stall_{kind}"] == sum(waited)


def busy_cycles(report, token, engine):
    """Cycles in which an engine has an instruction under way, of starts and ends."""
    busy = set()
    for item in report.instructions:
        if item["token"] == token and item["engine"] == engine:
            busy.update(range(item["start"]["simulated"], item["end"]["simulated"]))
    return len(busy)


@pytest.mark.parametrize(("case", "array"), COMBINATIONS)
def test_all_tokens_on_verilator(cores, case, array):
    folder, hidden = cores(case, array)
    report = mla_hw.simulate(folder, hidden=hidden)
    given = load_case(case)
    assert report.bit_exact, report.difference
    assert report.tokens == len(given.x)
    assert len(report.relative_error) == len(report.cosine) == given.n_out
    # The accuracy contract; Hugging Face's y stands for that of float64.
    assert report.relative_error_total <= BOUND * reference(case)[1]
    assert_predicted(report)


@pytest.mark.rtl
@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "array", "passes"),
    [("odd-shape", "3x4", 1), ("small-v2lite", "2x8", 4), ("odd-shape", "4x2", 1)],
)
def test_unusual_hardware(cores, case, array, passes):
    folder, hidden = cores(case, array)
    assert len(Design.load(folder).manifest["passes"]) == passes
    report = mla_hw.simulate(folder, hidden=hidden)
    assert report.bit_exact, report.difference
    assert_predicted(report)


@pytest.mark.rtl
@pytest.mark.icarus
@pytest.mark.slow
@pytest.mark.parametrize("array", ARRAYS)
def test_first_tokens_on_icarus(cores, tmp_path, array):
    folder, hidden = cores("tiny-v3", array)
    with np.load(hidden) as stored:
        np.savez(tmp_path / "hidden.npz", x=stored["x"][:8])
    report = mla_hw.simulate(folder, hidden=tmp_path / "hidden.npz", simulator="icarus")
    assert report.bit_exact, report.difference
    assert report.tokens == 8
    assert_predicted(report)


@pytest.mark.rtl
def test_random_memory_changes_no_bit(cores):
    folder, hidden = cores("tiny-v3", "4x8")
    fixed = mla_hw.simulate(folder, hidden=hidden, prefill=56)
    random = mla_hw.simulate(folder, hidden=hidden, prefill=56, memory="random:7")
    assert fixed.bit_exact, fixed.difference
    assert random.bit_exact, random.difference
    assert fixed.tokens == random.tokens == 8
    assert_predicted(fixed)
    assert sum(random.cycles["simulated"]) > sum(fixed.cycles["simulated"])
    for counter in ("stall_weights", "stall_latents"):
        waits = [sum(token[counter] for token in run.counters) for run in (fixed, random)]
        assert waits[1] > waits[0]


@pytest.mark.rtl
@pytest.mark.parametrize(
    ("case", "array"),
    [("tiny-v3", "4x8"), pytest.param("small-v2lite", "4x8", marks=pytest.mark.slow)],
)
def test_prediction_with_the_sdram_of_the_board(cores, case, array):
    folder, hidden = cores(case, array)
    prefill = len(load_case(case).x) - 6
    report = mla_hw.simulate(folder, hidden=hidden, prefill=prefill, memory="dram")
    assert report.bit_exact, report.difference
    for simulated, predicted in zip(*report.cycles.values(), strict=True):
        assert simulated == pytest.approx(predicted, rel=0.02)
    # Until the core writes for the first time nothing is unknown but the phase of the refresh: one
    # that the one side has had and the other has not.
    manifest = Design.load(folder).manifest
    memory = sdram_timing(load_board(manifest["board"]), manifest["core"]["port_bytes"])
    refresh = memory.interruption * memory.memory_ticks / memory.core_ticks
    for item in report.instructions:
        if item["engine"] == "writer":
            break
        assert abs(item["end"]["simulated"] - item["end"]["predicted"]) <= refresh, item


@pytest.mark.rtl
@pytest.mark.parametrize("latency", [1, 100])
def test_prediction_at_other_latencies(cores, latency):
    folder, hidden = cores("tiny-v3", "4x8")
    report = mla_hw.simulate(folder, hidden=hidden, prefill=60, memory=f"fixed:{latency}")
    assert report.bit_exact, report.difference
    assert_predicted(report)
