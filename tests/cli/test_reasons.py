"""Why the schedule is as it is: the head of schedule.txt."""

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from boards import load_board
from mla_hw.cli import head_passes
from mla_hw.cli.generate import generate
from mla_hw.cli.head_passes import choose_passes
from mla_hw.cli.reasons import explain_phases, late_starts, stalls
from mla_hw.cycles.predict import predict
from mla_hw.cycles.timeline import Stalls, Timeline
from mla_hw.design import Design
from mla_hw.hardware import NOMINAL_LATENCY, HardwareConfig
from mla_hw.presets import PRESETS
from tests.cli.command import read
from tests.reference_cases import case_dir

PHASE = re.compile(r"(\w+) +(\d+) +(\d+) +(\d+)  (array|port) +(\d+)  ?(.*)")


def rows_of(text):
    """Return the rows of the table by phase."""
    return {match[1]: match for line in text.splitlines() if (match := PHASE.fullmatch(line))}


def why(folder):
    return rows_of((folder / "schedule.txt").read_text(encoding="utf-8").split("\n\n")[0])


def why_at(design, timeline, position):
    return rows_of(explain_phases(design.model, design, timeline, [position]))


def test_cycles_are_those_of_the_prediction(generated):
    rows, manifest = why(generated), read(generated)
    last = read(generated, "predicted.json")["cycles"][-1]
    assert {name: int(row[2]) for name, row in rows.items()} == last["phases"]
    core = manifest["core"]
    for name, row in rows.items():
        macs = manifest["macs"][name]
        useful = macs["fixed"] + macs["per_token"] * (last["position"] + 1)
        assert int(row[3]) == round(useful / (core["rows"] * core["columns"]))
        least = max(int(row[3]), int(row[4]))
        assert int(row[6]) == pytest.approx(int(row[2]) - least, abs=1)
        assert row[5] == ("array" if int(row[3]) > int(row[4]) else "port")
        waits = [int(count) for count in re.findall(r" (\d+)(?:,|;|$)", row[7])]
        assert sum(waits) <= int(row[2])


def test_what_the_array_waits_for(generated):
    """Without its waits, the array would start each product when the one before is issued."""
    design = Design.load(generated)
    timeline = predict(design.program, design.core, design.memory, [9], latency=NOMINAL_LATENCY)
    late = late_starts(design, timeline)
    # The first product waits for x, which comes from memory behind the program.
    assert late["q_a"]["semaphore loaded"] > NOMINAL_LATENCY
    assert late["attention"]["semaphore probabilities"] > 0
    items = timeline.instructions
    moved = [replace(item, start=item.start + 1000, end=item.end + 1000) for item in items]
    later = late_starts(design, Timeline(tuple(moved), timeline.total))
    assert later["q_a"].total() == late["q_a"].total() + 1000
    assert later["attention"] == late["attention"]


def test_what_the_array_waits_for_within_instructions(generated):
    design = Design.load(generated)
    timeline = predict(design.program, design.core, design.memory, [9], latency=NOMINAL_LATENCY)
    before = stalls(design, timeline)
    items = list(timeline.instructions)
    last = max(i for i, item in enumerate(items) if item.name == "MATMUL")
    items[last] = replace(items[last], stalls=Stalls(weights=12, latents=3456, drain=789))
    timeline = Timeline(tuple(items), timeline.total)
    within = stalls(design, timeline)
    phase = design.manifest["phases"][items[last].index]
    assert within[phase]["latents"] >= 3456
    assert {**within, phase: None} == {**before, phase: None}
    counts = ", ".join(f"{kind} {n}" for kind, n in within[phase].most_common())
    assert why_at(design, timeline, 9)[phase][7].endswith(counts)


def passes_line(folder, **options):
    generate(case_dir("tiny-v3"), out=folder, context=64, **options)
    (line,) = re.findall("# head passes: .*", (folder / "schedule.txt").read_text())
    return line


def test_fewer_head_passes_are_explained(tmp_path):
    """As few as there is room for, because the cycle model says so; what has no room for fewer."""
    hardware = {"rows": 2, "columns": 4, "activation_bytes": 4096}
    line = passes_line(tmp_path / "core", hardware=hardware)
    found = re.fullmatch(r"# head passes: 1; predicted cycles: (\d+) with 1, (\d+) with 2", line)
    assert int(found[1]) < int(found[2])
    hardware["activation_bytes"] = 1024
    line = passes_line(tmp_path / "core", hardware=hardware)
    assert re.fullmatch(
        r"# head passes: 2; predicted cycles: \d+ with 2; "
        r"not fewer: .*activation buffer.*activation_bytes.*",
        line,
    )


def test_naive_has_a_pass_per_head(tmp_path, small_array):
    line = passes_line(tmp_path / "core", hardware=small_array, scheme="naive")
    assert line.startswith("# head passes: 4; predicted cycles: ")
    assert line.endswith("; not fewer: keys and values are made head by head")


def test_passes_are_chosen_by_the_cycle_model(monkeypatch):
    """Where more passes cost less they are taken, until one more costs more."""
    board, config = load_board("ulx3s-85f"), PRESETS["tiny-v3"].config
    hardware = HardwareConfig.from_dict({**board.hardware, "rows": 1})
    asked = []

    def fake(program, core, memory, positions):
        asked.append(core.groups)
        return SimpleNamespace(total={4: 100, 2: 90, 1: 95}[core.groups])

    monkeypatch.setattr(head_passes, "predict", fake)
    found = choose_passes(config, hardware, board, context=64)
    assert (found.groups, found.passes, found.cycles) == (2, 2, {1: 100, 2: 90, 4: 95})
    assert asked == [4, 2, 1]
