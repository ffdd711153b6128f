"""What is doubtful is said, in the page and on the command line."""

import json
import shutil
from dataclasses import replace

import pytest

from mla_hw.cli.report import report
from mla_hw.design import Design
from mla_hw.html.doubts import doubts
from tests.html.folders import simulation_of, write_json, write_packed, write_placed
from tests.html.pages import read_page

RESULT = ("results", "simulate-verilator.json")


def warnings_of(folder, tmp_path):
    made = report(folder, html=tmp_path / "page.html")
    page = read_page(made.path)
    assert all(text in page.sections["warnings"] for text in made.warnings)
    return made.warnings, page


def simulated(folder, **changes):
    data = simulation_of(Design.load(folder), **changes)
    write_json(folder.joinpath(*RESULT), data)
    return data


@pytest.mark.parametrize("key", ["hash", "weights_hash", "scheme"])
def test_stale_simulation(folder, tmp_path, key):
    # It need not even be one that this version reads.
    simulated(folder, **{key: "0" * 16, "instructions": None})
    warnings, page = warnings_of(folder, tmp_path)
    assert [text.split(":")[0] for text in warnings][1] == "No simulation"
    assert warnings[0].startswith("results/simulate-verilator.json is the simulation of another")
    assert "No figures of accuracy" in page.sections["accuracy"]
    assert "Predicted at the last position" in page.sections["timeline"]


def test_stale_beside_another_one(folder, tmp_path):
    shutil.copy(folder.joinpath(*RESULT), folder / "results" / "simulate-icarus.json")
    simulated(folder, hash="0" * 16)
    warnings, page = warnings_of(folder, tmp_path)
    assert len(warnings) == 1
    assert "simulated by" in page.sections["accuracy"]


def test_not_bit_exact(folder, tmp_path):
    difference = {"token": 1, "buffer": "y", "index": 3, "expected": 5, "got": None}
    data = simulation_of(Design.load(folder))
    data["instructions"][-1]["end"]["simulated"] = None
    simulated(folder, bit_exact=False, difference=difference, instructions=data["instructions"])
    warnings, page = warnings_of(folder, tmp_path)
    assert warnings[0] == "Not bit-exact: token 1, buffer y, index 3, expected 5."
    # The last token has not ended, so the one before is shown.
    assert "simulated, 1 cached token" in page.sections["roofline"]
    assert any(text.startswith("Predicted and simulated cycles differ") for text in warnings)


def test_no_token_has_ended(folder, tmp_path):
    data = simulation_of(Design.load(folder), tokens=1)
    data["instructions"][0]["start"]["simulated"] = None
    write_json(folder.joinpath(*RESULT), data)
    warnings, page = warnings_of(folder, tmp_path)
    assert any(text.startswith("No simulated token has ended") for text in warnings)
    assert "Predicted at the last position" in page.sections["timeline"]


def test_saturations(folder, tmp_path):
    simulated(folder, saturated={"x": 1200, "requantizer <q>": 34, "score": 0})
    warnings, page = warnings_of(folder, tmp_path)
    assert warnings == ("1\u202f234 values were clamped in the simulation (see Accuracy).",)
    rows = page.table("accuracy", "saturation of")
    assert {name: row["values clamped"] for name, row in rows.items()} == {
        "x": "1\u202f200",
        "requantizer <q>": "34",
        "all": "1\u202f234",
    }


@pytest.mark.parametrize("memory", ["fixed:32", "random:3"])
def test_predicted_and_simulated_differ(folder, tmp_path, memory):
    design = Design.load(folder)
    data = simulation_of(design, memory=memory)
    total = data["cycles"]["simulated"][-1] + 7
    data["cycles"] = {**data["cycles"], "simulated": [*data["cycles"]["simulated"][:-1], total]}
    data["instructions"][-1]["end"]["simulated"] += 7
    write_json(folder.joinpath(*RESULT), data)
    (warning,), page = warnings_of(folder, tmp_path)
    assert warning.startswith("Predicted and simulated cycles differ")
    assert ", 1 starts and ends" in warning
    assert warning.endswith("they may." if memory.startswith("random") else "ends.")
    assert [table[0][0] for table in page.tables["roofline"]].count("phase") == 3


def test_device_too_small_and_timing_missed(folder, tmp_path):
    write_packed(folder, lut=90000)
    write_placed(folder, seed1=51.5, seed2=58.25, seed3=50.0)
    warnings, _ = warnings_of(folder, tmp_path)
    assert warnings == (
        "Look-up tables over the device: 90\u202f000 counted, 83\u202f640 available.",
        "Timing is missed: the fastest seed reaches 58.25 MHz, the board's clock for the core is "
        "60 MHz.",
    )
    assert 'class="part over"' in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_estimate_over_the_device(bare_facts):
    first, *rest = bare_facts.resources
    facts = replace(bare_facts, resources=(replace(first, estimated=10**6), *rest), calibrated=True)
    assert any(text.startswith("Look-up tables over the device") for text in doubts(facts))


def test_the_command_line_says_them(bare, command, tmp_path):
    code_page = tmp_path / "page.html"
    assert "written to" in command.succeeds("report", bare, "--html", code_page)
    assert read_page(code_page).sections


def test_rows_of_independent_sequences(folder, tmp_path, facts):
    memory = replace(facts.design.memory, query_rows=2, cache_stride=64)
    core = replace(facts.design.core, query_rows=2)
    both = replace(facts, design=replace(facts.design, core=core, memory=memory))
    assert any("first query row only" in text for text in doubts(both))
    assert json.dumps(list(doubts(facts))) == "[]"
