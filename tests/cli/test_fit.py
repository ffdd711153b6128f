import json
import math
import re

import pytest

from mla_hw.cli.fit import FitRow, fit, print_fit
from mla_hw.errors import ConfigError
from tests.reference_cases import case_dir

BOARDS = ["ulx3s-85f", "icebreaker", "colorlight-i5", "generic-axi", "ulx3s-25f"]


@pytest.fixture(scope="module")
def small():
    return {row.board: row for row in fit(case_dir("tiny-v3"), boards=BOARDS)}


@pytest.fixture(scope="module")
def large():
    return {row.board: row for row in fit("deepseek-v2-lite", boards=BOARDS)}


def need(row, unit):
    (found,) = (need for need in row.needs if need.unit == unit)
    return found


def test_a_small_layer_fits_all_but_the_smallest_device(small):
    assert {name for name, row in small.items() if row.fits} == set(BOARDS) - {"icebreaker"}
    assert all(bool(row.reason) != row.fits for row in small.values())
    multipliers = need(small["ulx3s-85f"], "multipliers")
    assert (multipliers.needs, multipliers.has) == (38, 156)
    assert need(small["ulx3s-85f"], "block RAMs").needs == 18


def test_what_the_smallest_device_lacks(small):
    row = small["icebreaker"]
    # Not the block RAMs, of which smaller buffers would need less.
    assert re.search("of icebreaker: needs .* look-up tables", row.reason)
    assert need(row, "multipliers").enough
    assert not need(row, "look-up tables").enough
    assert not need(row, "block RAMs").enough


def test_memory_bounds_the_context(small, large):
    row = large["ulx3s-85f"]
    memory = need(row, "bytes of memory")
    assert memory.has == 32 * 2**20
    # 592 bytes per cached token, and 64 of the RoPE table; all else is there with the first one.
    assert row.context == pytest.approx((memory.has - memory.needs) / 704, rel=0.1)
    assert small["colorlight-i5"].context < small["ulx3s-85f"].context


def test_a_layer_that_is_larger_than_the_memory(large):
    row = large["colorlight-i5"]
    assert not row.fits
    assert row.context == 0
    assert not need(row, "bytes of memory").enough


def test_a_small_activation_buffer_does_not_hide_what_else_is_needed(large):
    row = large["icebreaker"]
    assert not need(row, "bytes of activation buffer").enough
    assert need(row, "block RAMs").needs > 0
    # With a larger one the memory ends the matter.
    assert row.reason.startswith("memory of icebreaker: needs ")


def test_what_no_setting_mends_comes_before_advice(large):
    # It has too few block RAMs as well, which a smaller tile would mend.
    row = large["colorlight-i5"]
    assert not need(row, "block RAMs").enough
    assert row.reason.startswith("memory of colorlight-i5: needs 138")
    assert "lower" not in row.reason


def test_rows_as_json_and_as_a_table(tmp_path, capsys):
    path = tmp_path / "fit.json"
    rows = fit(case_dir("tiny-v3"), boards=["generic-axi", "icebreaker"], json_path=path)
    data = json.loads(path.read_text(encoding="utf-8"))
    assert [row["board"] for row in data] == ["generic-axi", "icebreaker"]
    assert data[0]["needs"][0]["needs"] == 134
    print_fit(rows)
    text = capsys.readouterr().out
    assert "generic-axi" in text
    assert "8/8" in text
    assert str(1 << 30) not in text
    assert isinstance(rows[0], FitRow)
    assert math.isfinite(rows[0].context)


def test_rejects_model_and_board():
    with pytest.raises(ConfigError, match="deepseek"):
        fit("deepseek-v9")
    with pytest.raises(ConfigError, match=r"^--boards: unknown board 'ulx4s'"):
        fit("deepseek-v2-lite", boards=["ulx4s"])
    with pytest.raises(ConfigError, match=r"^--boards: must have no board twice, as icebreaker, "):
        fit("deepseek-v2-lite", boards=["icebreaker", "icebreaker"])
