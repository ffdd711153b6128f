"""Which of the clocks in nextpnr's report is the core's."""

import json

import pytest

from mla_hw.errors import ConfigError
from mla_hw.nextpnr_report import read_clock, read_clocks


def write(path, **clocks):
    """Leave a report with achieved and wanted MHz of each clock."""
    fmax = {name: {"achieved": got, "constraint": wanted} for name, (got, wanted) in clocks.items()}
    path.write_text(json.dumps({"fmax": fmax}), encoding="utf-8")
    return path


def test_the_clock_of_the_core_is_the_one_that_was_asked_for(tmp_path):
    # The crystal's, the core's behind the PLL, in whole picoseconds, and that of the memory chip.
    path = write(tmp_path / "seed3.json", clk=(40, 25), sync=(61.237, 60.002), chip=(300, 60.002))
    assert read_clock(path, 60) == (61.24, True)
    assert read_clocks(tmp_path, 60) == {3: 61.24}
    # Where no clock is the core's it may be any, so the slowest one, and something is wrong.
    assert read_clock(path, 80) == (40, False)


@pytest.mark.parametrize(
    ("clocks", "met"),
    [
        ({"sync": (59.5, 60)}, False),
        ({"sync": (59.99, 60)}, False),
        ({"sync": (59.99, 59.99)}, True),
        ({"sync": (61, 60), "start": (20, 25)}, False),
    ],
)
def test_timing_is_met_by_all_clocks(tmp_path, clocks, met):
    assert read_clock(write(tmp_path / "seed1.json", **clocks), 60)[1] is met


@pytest.mark.parametrize("entry", [4, {}, {"achieved": 80}, {"achieved": "80", "constraint": 80}])
def test_a_report_that_is_none(tmp_path, entry):
    path = tmp_path / "seed1.json"
    path.write_text(json.dumps({"fmax": {"clk": entry}}), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"seed1\.json: fmax\.clk\..*: synth again"):
        read_clock(path, 80)
