"""Cores for several query rows on the simulator: bit-exact, as predicted, and as rows alone."""

import numpy as np
import pytest

import mla_hw
from mla_hw.cycles.figures import phase_figures, roofline_efficiency
from mla_hw.design import Design
from mla_hw.errors import ConfigError
from tests.reference_cases import load_case
from tests.system.test_bit_exact import assert_predicted

SLOW = pytest.mark.slow
#: Case, array, query rows, tokens in each cache.
SEQUENCES = [
    ("odd-shape", "2x4", 2, (18, 0)),
    pytest.param("tiny-v3", "4x8", 4, (17, 3, 0, 40), marks=SLOW),
    pytest.param("odd-shape", "3x4", 2, (15, 16), marks=SLOW),
    # Two rows of y take turns within a word; fewer lanes than rows of the array.
    pytest.param("odd-shape", "4x2", 3, (0, 9, 30), marks=SLOW),
    pytest.param("small-v2lite", "8x16", 8, (5, 6, 7, 8, 0, 1, 2, 3), marks=SLOW),
]
SAME = [
    ("tiny-v3", "4x8", 3),
    pytest.param("small-v2lite", "2x8-rows", 2, marks=SLOW),
    pytest.param("odd-shape", "8x16", 5, marks=SLOW),
]


def one_by_one(design, tokens):
    """Return y of tokens [n, hidden_size] by the golden model of a core for one token."""
    machine, out = design.machine(), []
    for position, row in enumerate(design.quantize_hidden(tokens)[0]):
        machine.write_hidden(row)
        machine.run(position)
        out.append(machine.y())
    return np.array(out)


def hidden(tmp_path, case, *shape):
    x = np.random.default_rng(2).standard_normal((*shape, load_case(case).config.hidden_size))
    np.savez(tmp_path / "hidden.npz", x=x)
    return x, tmp_path / "hidden.npz"


@pytest.mark.rtl
@pytest.mark.parametrize(("case", "array", "rows", "prefill"), SEQUENCES)
def test_sequences_that_share_the_weights(cores, tmp_path, case, array, rows, prefill):
    folder, _ = cores(case, array, rows=rows)
    alone = Design.load(cores(case, array)[0])
    steps = 3
    x, path = hidden(tmp_path, case, max(prefill) + steps, rows)
    output = tmp_path / "y.npz"
    report = mla_hw.simulate(folder, hidden=path, prefill=prefill, output=output)
    assert report.bit_exact, report.difference
    assert report.tokens == steps
    assert_predicted(report)
    with np.load(output) as stored:
        y = stored["y_int"]
    for row, first in enumerate(prefill):
        expected = one_by_one(alone, x[: first + steps, row])
        assert np.array_equal(y[:, row], expected[first:])


@pytest.mark.rtl
@pytest.mark.parametrize(("case", "array", "rows"), SAME)
def test_consecutive_tokens_of_one_sequence(cores, tmp_path, case, array, rows):
    """With --same-sequence y is, bit for bit, that of the same tokens one by one."""
    folder, _ = cores(case, array, rows=rows, same_sequence=True)
    alone = Design.load(cores(case, array)[0])
    prefill, steps = 17, 4
    x, path = hidden(tmp_path, case, prefill + steps, rows)
    output = tmp_path / "y.npz"
    report = mla_hw.simulate(folder, hidden=path, prefill=prefill, output=output)
    assert report.bit_exact, report.difference
    assert report.tokens == steps
    assert_predicted(report)
    expected = one_by_one(alone, x.reshape(-1, x.shape[-1]))
    with np.load(output) as stored:
        y = stored["y_int"]
    assert np.array_equal(y.reshape(-1, y.shape[-1]), expected[prefill * rows :])
    # Figures of merit count the weights once and the tokens of all rows.
    design = Design.load(folder)
    cycles = {item["phase"]: item["simulated"] for item in report.phases}
    assert cycles.keys() == set(design.manifest["phases"]) - {""}
    cached = [position + 1 for position in design.memory.positions(prefill)]
    figures = phase_figures(design.model, design.core, cached, cycles)
    assert 0 < roofline_efficiency(figures) < 1


@pytest.mark.rtl
def test_random_memory_and_accuracy(cores, tmp_path):
    """Gaps change no bit; y of the reference is compared token by token and row by row."""
    folder, _ = cores("odd-shape", "2x4", rows=2)
    given = load_case("odd-shape")
    x = np.stack([given.x, given.x], axis=1)
    y = np.stack([given.y, given.y], axis=1)
    np.savez(tmp_path / "hidden.npz", x=x, y=y)
    prefill = len(x) - 2
    report = mla_hw.simulate(
        folder, hidden=tmp_path / "hidden.npz", prefill=prefill, memory="random:3"
    )
    assert report.bit_exact, report.difference
    assert len(report.relative_error) == 4
    assert report.relative_error[0::2] == report.relative_error[1::2]
    assert report.relative_error_total < 0.1


@pytest.mark.rtl
def test_wrong_input(cores, tmp_path):
    folder, single = cores("odd-shape", "2x4", rows=2)
    width = load_case("odd-shape").config.hidden_size
    with pytest.raises(ConfigError, match=rf"x must have the shape \[n, 2, {width}\], not \["):
        mla_hw.simulate(folder, hidden=single)
    with pytest.raises(ConfigError, match="--prefill: must be one or 2 for this core, not 3 num"):
        mla_hw.simulate(folder, prefill=(0, 1, 2))
    with pytest.raises(ConfigError, match=r"--prefill: must be from 0 to 3, .*, not 4"):
        mla_hw.simulate(folder, prefill=(0, 4))
    np.savez(tmp_path / "long.npz", x=np.zeros((129, 2, width)))
    with pytest.raises(ConfigError, match="129 tokens are more than the context of 128"):
        mla_hw.simulate(folder, hidden=tmp_path / "long.npz")
