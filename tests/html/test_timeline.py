"""The data of the timeline's plot: cycles of the prediction and of the simulation's report."""

from itertools import pairwise

from mla_hw.cycles.timeline import split_phases
from mla_hw.html.simulation import ENGINES
from mla_hw.html.timeline import phase_parts, timeline_data, timeline_section
from mla_hw.html.utilisation import engine_use
from tests.html.pages import plain


def lane(data, slice_):
    return data["kinds"][slice_[2]]["lane"]


def test_tracks_of_a_simulation(facts):
    data = timeline_data(facts.design, facts.steps)
    names = [track["name"] for track in data["tracks"]]
    sides = [f"{engine}, {side}" for engine in ENGINES for side in ("simulated", "predicted")]
    assert names == ["phases", *sides]
    assert data["total"] == facts.simulation.cycles["simulated"][-1]
    places = [track["place"] for track in data["tracks"]]
    assert places == sorted(set(places))


def test_tracks_of_a_prediction(bare_facts):
    data = timeline_data(bare_facts.design, bare_facts.steps)
    assert [track["name"] for track in data["tracks"]] == ["phases", *ENGINES]
    assert data["total"] == bare_facts.last.timeline.total
    section = timeline_section(bare_facts)
    assert "Predicted at the last position, 63 cached tokens" in section.body


def test_slices_are_the_cycles_of_the_engines(facts):
    data = timeline_data(facts.design, facts.steps)
    tracks = iter(data["tracks"][1:])
    for engine in ENGINES:
        for step in facts.steps:
            slices = next(tracks)["slices"]
            use = engine_use(step.timeline, engine)
            cycles = {"whole": 0, "wait": 0}
            for start, end, *_ in (s for s in slices if lane(data, s) == "whole"):
                assert 0 <= start < end <= data["total"]
                cycles["whole"] += end - start
            cycles["wait"] = sum(s[1] - s[0] for s in slices if lane(data, s) == "wait")
            assert cycles == {"whole": use.busy, "wait": sum(use.waits.values())}
            shown = [s for s in slices if lane(data, s) != "within"]
            assert all(left[1] <= right[0] for left, right in pairwise(shown))


def test_texts_and_causes(facts):
    data = timeline_data(facts.design, facts.steps)
    track = next(t for t in data["tracks"] if t["name"] == "array, simulated")
    waits = [s for s in track["slices"] if lane(data, s) == "wait"]
    first = next(i for i in facts.simulated.timeline.instructions if i.engine == "array")
    assert waits[0][:2] == [0, first.start]
    assert data["texts"][waits[0][3]] == f"waits for {first.cause}"
    assert waits[0][4] == first.cause.removeprefix("semaphore ")
    whole = next(s for s in track["slices"] if lane(data, s) == "whole")
    assert data["texts"][whole[3]].startswith(f"{first.index} MATMUL")
    assert f"after {first.cause}" in whole[4]


def test_waits_within_are_those_of_the_prediction(facts):
    data = timeline_data(facts.design, facts.steps)
    track = next(t for t in data["tracks"] if t["name"] == "array, simulated")
    within = sum(s[1] - s[0] for s in track["slices"] if lane(data, s) == "within")
    items = facts.simulated.timeline.instructions
    stalled = sum(i.stalls.weights + i.stalls.latents + i.stalls.drain for i in items)
    assert 0 < within <= stalled


def test_phases_are_those_of_the_prediction(facts):
    names = facts.design.manifest["phases"]
    for timeline in (facts.last.timeline, facts.simulated.timeline):
        parts = phase_parts(timeline, names)
        assert parts[0][1] == 0
        assert parts[-1][2] == timeline.total
        assert all(left[2] == right[1] for left, right in pairwise(parts))
        cycles = dict.fromkeys((name for name, *_ in parts), 0)
        for name, start, end in parts:
            cycles[name] += end - start
        assert cycles == {phase.name: phase.cycles for phase in timeline.phases(names)}


def test_phases_that_take_turns():
    class Timeline:
        total = 50
        instructions = ()

    class Item:
        name = "MATMUL"

        def __init__(self, index, end):
            self.index, self.end = index, end

    Timeline.instructions = [Item(0, 10), Item(1, 20), Item(0, 30), Item(0, 35), Item(1, 44)]
    parts = phase_parts(Timeline, ["uk", "uv"])
    assert parts == [("uk", 0, 10), ("uv", 10, 20), ("uk", 20, 35), ("uv", 35, 50)]
    ends = [(item.index, item.end) for item in Timeline.instructions]
    assert {p.name: p.cycles for p in split_phases(ends, ["uk", "uv"], 50)} == {"uk": 25, "uv": 25}


def test_the_page_has_the_data(page, facts):
    assert page.data["timeline-plot-data"] == timeline_data(facts.design, facts.steps)
    assert plain(page.sections["timeline"].split("prediction. ")[1].split(" executed")[0]) == len(
        facts.simulated.timeline.instructions
    )
