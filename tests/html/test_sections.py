"""Numbers of the sections are those of the folder."""

import json

import pytest

from mla_hw.cli.reasons import late_starts, stalls
from mla_hw.html.simulation import ENGINES
from mla_hw.html.utilisation import engine_use
from mla_hw.registers import COUNTERS
from rtl_gen.resources import count_multipliers, map_memories
from tests.html.pages import plain, read_page

SECTIONS = {
    "summary": "Summary",
    "graph": "Graph",
    "timeline": "Timeline",
    "roofline": "Roofline",
    "utilisation": "Utilisation and stalls",
    "resources": "Resources",
    "memory": "Memory map",
    "accuracy": "Accuracy",
    "warnings": "Warnings",
}


def test_sections_in_their_order(page):
    assert list(page.headings.items()) == list(SECTIONS.items())
    links = [a["href"] for tag, a in page.elements if tag == "a" and "href" in a]
    assert links[: len(SECTIONS)] == [f"#{name}" for name in SECTIONS]


def test_summary(page, complete, facts):
    manifest = json.loads((complete / "manifest.json").read_text())
    predicted = json.loads((complete / "predicted.json").read_text())["cycles"][-1]
    text = page.sections["summary"].replace("\u202f", "")
    for value in (
        predicted["total"],
        f"{predicted['position']} cached tokens",
        manifest["hash"],
        manifest["weights_hash"],
        "deepseek_v3, layer 0",
        "absorb",
        "ulx3s-85f, LFE5U-85F",
        "2×4, 8 MAC per cycle",
        f"{manifest['core']['port_bytes']} bytes per cycle",
        "64 tokens",
        *(f"{name} {version}" for name, version in manifest["tools"].items()),
    ):
        assert str(value) in text
    (row,) = page.tables["summary"][0][1:]
    assert [plain(cell) for cell in row] == [64, 4, 48, 32, 16, 8, 16]


def test_engines_add_up(page, facts):
    for step in (*facts.steps, facts.last):
        for engine in ENGINES:
            use = engine_use(step.timeline, engine)
            assert use.busy + sum(use.waits.values()) + use.rest == step.timeline.total
    table = page.table("utilisation", "engine")
    for engine in ENGINES:
        use, row = engine_use(facts.simulated.timeline, engine), table[engine]
        assert [plain(row[name]) for name in ("busy", "waits", "at the end")] == [
            use.busy,
            sum(use.waits.values()),
            use.rest,
        ]
        assert all(cause in row["waits for"] for cause in use.waits)
    assert "The same in every cycle" in page.sections["utilisation"]


def test_counters_are_those_of_the_report(page, complete):
    report = json.loads((complete / "results" / "simulate-verilator.json").read_text())
    rows = page.table("utilisation", "counter")
    shown = [name for name in COUNTERS if "saturated" not in name]
    assert list(rows) == shown
    for name in shown:
        assert plain(rows[name]["value"]) == report["counters"][-1][name]
        assert rows[name]["counts"] == COUNTERS[name]


def test_what_the_array_waits_for(page, facts):
    rows = page.table("utilisation", "phase")
    late = late_starts(facts.design, facts.simulated.timeline)
    within = stalls(facts.design, facts.simulated.timeline)
    assert rows.keys() == {name for name in late if name}
    for name, row in rows.items():
        assert plain(row["starts late"]) == late[name].total()
        assert plain(row["waits within"]) == within[name].total()


def test_resources(page, facts):
    core = facts.design.core
    rows = page.table("resources", "resource")
    assert plain(rows["multipliers"]["estimated"]) == count_multipliers(core)
    counted = {"look-up tables": 12345, "flip-flops": 6789, "multipliers": 14, "block RAMs": 9}
    assert {name: plain(row["counted"]) for name, row in rows.items()} == counted
    assert plain(rows["look-up tables"]["available"]) == 83640
    assert rows["flip-flops"]["estimated"] == "–"
    clocks = page.table("resources", "seed")
    assert {seed: plain(row["MHz reached"]) for seed, row in clocks.items()} == {
        "1": 91.25,
        "2": 95.5,
        "3": 88.0,
        "median": 91.25,
    }


def test_block_rams_are_counted(page, facts):
    from mla_hw.devices import find_device

    blocks = map_memories(facts.design.core, find_device("LFE5U-85F")).blocks
    assert plain(page.table("resources", "resource")["block RAMs"]["estimated"]) == blocks


def test_memory(page, complete):
    manifest = json.loads((complete / "manifest.json").read_text())
    rows = page.table("memory", "region")
    total = rows.pop("all, aligned to bursts")
    assert plain(total["bytes"]) == manifest["memory_bytes"]
    for (name, row), (wanted, region) in zip(
        rows.items(), manifest["regions"].items(), strict=True
    ):
        assert name == wanted
        assert int(row["offset"], 16) == region["offset"]
        assert plain(row["bytes"]) == region["size"]
    per_token = manifest["regions"]["cache"]["size"] // manifest["context"]
    assert f"{per_token} bytes per token" in page.sections["memory"]
    projections = page.table("memory", "projection")
    used = sum(tensor["size"] for tensor in manifest["tensors"])
    assert plain(projections["all"]["bytes"]) == used


def test_accuracy(page, complete):
    manifest = json.loads((complete / "manifest.json").read_text())
    rows = page.table("accuracy", "tensor")
    assert rows.keys() == manifest["scales"].keys()
    for name, row in rows.items():
        assert plain(row["one step"]) == pytest.approx(manifest["scales"][name], rel=1e-3)
    errors = page.table("accuracy", "per row")
    assert plain(errors["relative error"]["largest"]) == 0.03
    assert plain(errors["cosine"]["least"]) == 0.9995
    assert "2.100e−2" in page.sections["accuracy"]
    assert "20 rows of --calibration" in page.sections["accuracy"]


def test_nothing_is_doubtful_of_a_complete_folder(page):
    assert "Nothing is doubtful." in page.sections["warnings"]


def test_without_simulation_and_synthesis(bare, tmp_path):
    from mla_hw.cli.report import report

    made = report(bare, html=tmp_path / "page.html")
    page = read_page(made.path)
    assert list(page.headings) == list(SECTIONS)
    assert "No figures of accuracy: mla-hw simulate" in page.sections["accuracy"]
    assert "mla-hw synth counts them" in page.sections["resources"]
    assert "mla-hw synth --place says" in page.sections["resources"]
    assert [text.split(":")[0] for text in made.warnings] == ["No calibration", "No simulation"]
    assert all(text in page.sections["warnings"] for text in made.warnings)
    assert "not simulated" in page.sections["summary"]
