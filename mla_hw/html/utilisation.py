"""What each engine does with its cycles, and what it waits for."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mla_hw.cycles.timeline import Timeline
from mla_hw.html.facts import Facts, Step
from mla_hw.html.markup import (
    Column,
    Raw,
    Section,
    bar,
    element,
    join,
    number,
    paragraph,
    share,
    table,
)
from mla_hw.html.simulation import ENGINES
from mla_hw.html.slices import shown_spans
from mla_hw.registers import COUNTERS

__all__ = ["EngineUse", "engine_use", "utilisation_section"]


@dataclass(frozen=True, slots=True)
class EngineUse:
    """Cycles of one engine in one step; together they are all of them.

    Parameters
    ----------
    busy : int
        With an instruction under way.
    waits : Counter
        With nothing under way, by what the next instruction waits for.
    rest : int
        After its last instruction.
    """

    busy: int
    waits: Counter[str]
    rest: int


def engine_use(timeline: Timeline, engine: str) -> EngineUse:
    """Add up what an engine does in a step."""
    items = [item for item in timeline.instructions if item.engine == engine]
    busy, free, waits = 0, 0, Counter[str]()
    spans = shown_spans((item.start, item.end) for item in items)
    for item, (wait, shown) in zip(items, spans, strict=True):
        if wait[0] < wait[1]:
            waits[item.cause] += wait[1] - wait[0]
        busy += shown[1] - shown[0]
        free = shown[1]
    return EngineUse(busy, waits, max(0, timeline.total - free))


def utilisation_section(facts: Facts) -> Section:
    """Return bars and tables of the step that the timeline shows."""
    parts: list[object] = [
        paragraph(
            "Busy: an instruction is under way. Waits: none is, and the next one is held up. "
            "At the end: after the engine's last instruction. The core itself loads its program "
            "through the reader before the first instruction, which is a wait for the dispatcher "
            "here, and busy in the reader's counter."
        ),
        _legend(),
    ]
    shown, *others = facts.steps
    parts += [element("h3", shown.name.capitalize()), _engines(shown)]
    for step in others:
        parts.append(element("h3", step.name.capitalize()))
        same = all(engine_use(step.timeline, e) == engine_use(shown.timeline, e) for e in ENGINES)
        parts.append(paragraph("The same in every cycle of these.") if same else _engines(step))
    if shown.counters:
        parts += [element("h3", "The core's counters after this token"), _counters(shown)]
    parts.append(element("h3", f"The array by phase, {shown.name}"))
    parts.append(_phases(shown, facts.design.manifest["phases"]))
    return Section("utilisation", "Utilisation and stalls", join(parts))


def _legend() -> Raw:
    entries = (("busy", "busy"), ("waits", "waits"), ("rest", "at the end"))
    return element(
        "ul",
        join(
            element("li", join((element("span", class_=f"swatch {kind}"), text)))
            for kind, text in entries
        ),
        class_="legend",
    )


def _engines(step: Step) -> Raw:
    total = step.timeline.total
    bars, rows = [], []
    for engine in ENGINES:
        use = engine_use(step.timeline, engine)
        waits = sum(use.waits.values())
        parts = [
            ("busy", use.busy, "busy"),
            *((f"waits for {cause}", count, "waits") for cause, count in use.waits.most_common()),
            ("at the end", use.rest, "rest"),
        ]
        label = f"{engine}: busy {share(use.busy / total)}, waits {share(waits / total)}"
        bars.append(element("div", join((element("b", engine), bar(parts, total, label)))))
        rows.append((
            engine,
            number(use.busy),
            share(use.busy / total),
            number(waits),
            number(use.rest),
            _causes(use.waits),
        ))
    columns = (
        Column("engine", "text"),
        Column("busy"),
        Column("share"),
        Column("waits"),
        Column("at the end"),
        Column("waits for", "text"),
    )
    caption = f"of {number(total)} cycles"
    return join((
        element("div", join(bars), class_="bars"),
        table(columns, rows, caption=caption),
    ))


def _causes(counts: Mapping[str, int]) -> str:
    """List causes, the largest first."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{cause} {number(count)}" for cause, count in ordered if count)


def _counters(step: Step) -> Raw:
    counters = step.counters or {}
    total = counters.get("cycles", 0)
    # A saturation is no cycle, and stands in the section on accuracy.
    names = [name for name in counters if name in COUNTERS and "saturated" not in name]
    return table(
        (Column("counter", "code"), Column("value"), Column("share"), Column("counts", "text")),
        [
            (
                name,
                number(counters[name]),
                "" if "beats" in name or not total else share(counters[name] / total),
                COUNTERS[name],
            )
            for name in names
        ],
    )


def _phases(step: Step, names: Sequence[str]) -> Raw:
    return table(
        (
            Column("phase", "text"),
            Column("cycles"),
            Column("starts late"),
            Column("for", "text"),
            Column("waits within"),
            Column("for", "text"),
        ),
        [
            (
                phase.name,
                number(phase.cycles),
                number(step.late[phase.name].total()),
                _causes(step.late[phase.name]),
                number(step.within[phase.name].total()),
                _causes(step.within[phase.name]),
            )
            for phase in step.timeline.phases(names)
        ],
    )
