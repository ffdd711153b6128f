"""Schedule as a timeline: what every engine does and waits for, as the page's script draws it."""

from collections.abc import Iterator, Sequence
from html import escape
from textwrap import wrap
from typing import Any

from mla_hw.cycles.timeline import TimedInstruction, Timeline
from mla_hw.design import Design
from mla_hw.html.facts import Facts, Step
from mla_hw.html.markup import Raw, Section, data, element, join, number, paragraph
from mla_hw.html.palette import WAIT, WITHIN, phase_colour
from mla_hw.html.simulation import ENGINES
from mla_hw.html.slices import shown_spans

__all__ = ["phase_parts", "timeline_data", "timeline_section"]

#: Characters of a line of what is shown under the pointer.
_LINE = 72
#: Distance of tracks: of the sides of an engine, and of engines.
_SIDE, _ENGINE = 1.0, 0.4
_ROW_PIXELS = 30


def timeline_section(facts: Facts) -> Section:
    """Return the plot, with a note on what it shows."""
    shown = timeline_data(facts.design, facts.steps)
    height = 110 + _ROW_PIXELS * len(shown["tracks"])
    counts = max(len(step.timeline.instructions) for step in facts.steps)
    note = paragraph(
        f"{_what(facts)} {number(counts)} executed instructions. An engine has several under way "
        "and ends them in order, so one is shown from the end of the one before if that is later "
        "than its start. Thin bars are waits with nothing under way, for what the next instruction "
        "needs: it was not dispatched yet, it keeps the order, or a semaphore. The line below an "
        "instruction of the array is as long as its waits within it, for weights, latents or the "
        "drain; at which of its cycles they fall is not recorded."
    )
    hint = paragraph(
        "Drag to zoom, drag with Shift to move along, double-click for all. What is narrower than "
        "a pixel is drawn together, as thick as it fills its time. A click on a legend entry hides "
        "it.",
        kind="hint",
    )
    plot = element(
        "div", class_="plot", id="timeline-plot", style=f"height:{height}px", data_kind="timeline"
    )
    body = join((note, hint, plot, data("timeline-plot-data", shown), _no_script()))
    return Section("timeline", "Timeline", body)


def _what(facts: Facts) -> str:
    if facts.simulated is None:
        return (
            f"Predicted at the last position, {number(facts.last.positions[0])} cached tokens: no "
            "simulation of this folder has ended a token."
        )
    tokens = number(facts.simulated.positions[0])
    return f"The last simulated token, with {tokens} cached ones, beside its prediction."


def _no_script() -> Raw:
    return element("noscript", paragraph("The plot needs JavaScript."))


def timeline_data(design: Design, steps: Sequence[Step]) -> dict[str, Any]:
    """Return tracks of slices.

    Returns
    -------
    dict
        ``total``: cycles. ``kinds``: ``name``, ``colour`` and ``lane`` (``phase``, ``whole``,
        ``wait`` or ``within``) of each kind of slice. ``tracks``: ``name``, ``place`` and
        ``slices``, each a list of first cycle, cycle behind, kind, text and more text. ``texts``:
        the texts of the slices, by index.
    """
    names: list[str] = design.manifest["phases"]
    collector = _Collector(design)
    tracks: list[dict[str, Any]] = []
    for step in steps[:1]:
        slices = [
            [start, end, collector.kind(phase, "phase"), collector.text(f"phase {phase}"), ""]
            for phase, start, end in phase_parts(step.timeline, names)
        ]
        tracks.append({"name": "phases", "place": 0.0, "slices": slices})
    place = 0.0
    for engine in ENGINES:
        place += _ENGINE
        for step in steps:
            place += _SIDE
            label = f"{engine}, {step.side}" if len(steps) > 1 else engine
            own = list(collector.slices(step.timeline, engine))
            tracks.append({"name": label, "place": round(place, 2), "slices": own})
    return {
        "total": max(step.timeline.total for step in steps),
        "kinds": collector.kinds,
        "tracks": tracks,
        "texts": collector.texts,
    }


def phase_parts(timeline: Timeline, names: Sequence[str]) -> list[tuple[str, int, int]]:
    """Return name, first cycle and cycle behind of each part of a phase, in order.

    The boundaries are those of :func:`mla_hw.cycles.timeline.split_phases`.
    """
    parts: list[tuple[str, int, int]] = []
    for item in timeline.instructions:
        if item.name == "MATMUL":
            phase = names[item.index]
            begin = parts[-1][2] if parts else 0
            if parts and parts[-1][0] == phase:
                begin = parts.pop()[1]
            parts.append((phase, begin, item.end))
    if parts:
        name, begin, _ = parts[-1]
        parts[-1] = name, begin, timeline.total
    return parts


class _Collector:
    """Gives kinds and texts their numbers in order of appearance."""

    def __init__(self, design: Design) -> None:
        program = design.program
        self.names: list[str] = design.manifest["phases"]
        self.instructions = [
            "<br>".join(wrap(escape(f"{index} {item.text(program.semaphores)}"), _LINE))
            for index, item in enumerate(program.instructions)
        ]
        self.kinds: list[dict[str, str]] = []
        self.texts: list[str] = []
        self._kinds: dict[tuple[str, str], int] = {}
        self._texts: dict[str, int] = {}

    def kind(self, name: str, lane: str) -> int:
        key = name, lane
        if key not in self._kinds:
            self._kinds[key] = len(self.kinds)
            colour = {"wait": WAIT, "within": WITHIN}.get(lane, phase_colour(name))
            self.kinds.append({"name": name or "of no phase", "colour": colour, "lane": lane})
        return self._kinds[key]

    def text(self, text: str) -> int:
        if text not in self._texts:
            self._texts[text] = len(self.texts)
            self.texts.append(text)
        return self._texts[text]

    def slices(self, timeline: Timeline, engine: str) -> Iterator[list[int | str]]:
        items = [item for item in timeline.instructions if item.engine == engine]
        spans = shown_spans((item.start, item.end) for item in items)
        for item, (wait, shown) in zip(items, spans, strict=True):
            if wait[0] < wait[1]:
                kind = self.kind("waits", "wait")
                cause = item.cause.removeprefix("semaphore ")
                yield [*wait, kind, self.text(f"waits for {escape(item.cause)}"), escape(cause)]
            if shown[0] < shown[1]:
                kind = self.kind(self.names[item.index], "whole")
                text = self.text(self.instructions[item.index])
                yield [*shown, kind, text, _details(item)]
                if stalled := _stalled(item):
                    end = min(shown[0] + sum(count for _, count in stalled), shown[1])
                    listed = ", ".join(f"{count} for {name}" for name, count in stalled)
                    kind = self.kind("waits within", "within")
                    yield [shown[0], end, kind, text, f"waits within: {listed}"]


def _stalled(item: TimedInstruction) -> list[tuple[str, int]]:
    stalls = item.stalls
    named = (("weights", stalls.weights), ("latents", stalls.latents), ("drain", stalls.drain))
    return [(name, count) for name, count in named if count]


def _details(item: TimedInstruction) -> str:
    parts = [f"started in cycle {number(item.start)} after {escape(item.cause)}"]
    if item.iteration:
        parts.insert(0, f"iteration {', '.join(map(str, item.iteration))}")
    if stalled := _stalled(item):
        parts.append("waits within: " + ", ".join(f"{count} for {name}" for name, count in stalled))
    return "<br>".join(parts)
