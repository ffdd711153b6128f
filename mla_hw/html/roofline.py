"""Roofline of the phases: how much of what array and port allow each of them takes."""

from collections.abc import Sequence
from typing import Any

from mla_hw.cycles.figures import PhaseFigures, roofline_efficiency
from mla_hw.hardware import NOMINAL_LATENCY
from mla_hw.html.facts import Facts, Step
from mla_hw.html.markup import (
    Column,
    Raw,
    Section,
    join,
    number,
    paragraph,
    share,
    table,
)
from mla_hw.html.palette import phase_colour
from mla_hw.html.plots import figure_plot, log_axis

__all__ = ["roofline_figure", "roofline_section"]

_COLUMNS = (
    Column("phase", "text"),
    Column("cycles"),
    Column("MAC"),
    Column("payload bytes"),
    Column("MAC per byte"),
    Column("bound", "text"),
    Column("array utilisation"),
    Column("port utilisation"),
    Column("roofline efficiency"),
)
_SYMBOLS = ("circle", "circle-open", "diamond-open")
#: Room beside the outermost points, as a factor.
_ROOM = 1.8


def roofline_section(facts: Facts) -> Section:
    """Return the plot, and a table per step that it shows."""
    steps = _steps(facts)
    core = facts.design.core
    intro = paragraph(
        "A point is a phase: useful multiply-accumulates per payload byte, and per cycle. The roof "
        f"is the lesser of the array's {number(core.rows * core.columns)} MAC per cycle and what "
        f"the port's {number(core.port_bytes)} bytes per cycle bring. Work and payload are the "
        "model's own, without padding and without what is read twice; the efficiency is the share "
        f"of the cycles that the roof needs. The prediction is for a memory that answers after "
        f"{NOMINAL_LATENCY} cycles and then keeps the port busy. That of {facts.board.name} brings "
        f"at most {facts.board.bytes_per_cycle:.3g} bytes per cycle: simulate --memory dram and "
        "analyze --board count with it."
    )
    figures = [(step, step.figures(facts.design)) for step in steps]
    tables = join(_table(step.name, phases) for step, phases in figures)
    plot = figure_plot("roofline-plot", roofline_figure(figures), height=440)
    body = join((intro, plot, tables))
    return Section("roofline", "Roofline", body)


def _steps(facts: Facts) -> list[Step]:
    """Return the simulated token, its prediction where it differs, and the last position."""
    steps = [step for step in facts.steps if step is not facts.last]
    if len(steps) > 1:
        simulated, predicted = (step.figures(facts.design) for step in steps)
        if simulated == predicted:
            steps.pop()
    if all(step.positions != facts.last.positions for step in steps):
        steps.append(facts.last)
    return steps


def _table(name: str, phases: Sequence[PhaseFigures]) -> Raw:
    total = sum(item.cycles for item in phases)
    macs, payload = sum(p.macs for p in phases), sum(p.payload_bytes for p in phases)
    size, port = phases[0].array_size, phases[0].port_bytes
    return table(
        _COLUMNS,
        [
            (
                item.phase,
                number(item.cycles),
                number(item.macs),
                number(item.payload_bytes),
                number(_intensity(item), 2),
                "array" if item.macs * port > item.payload_bytes * size else "port",
                share(item.array_utilisation),
                share(item.port_utilisation),
                share(item.least_cycles / item.cycles),
            )
            for item in phases
        ],
        total=(
            "total",
            number(total),
            number(macs),
            number(payload),
            number(macs / payload if payload else None, 2),
            "",
            share(macs / (size * total)),
            share(payload / (port * total)),
            share(roofline_efficiency(phases)),
        ),
        caption=name,
    )


def _intensity(item: PhaseFigures) -> float | None:
    return item.macs / item.payload_bytes if item.payload_bytes else None


def roofline_figure(steps: Sequence[tuple[Step, Sequence[PhaseFigures]]]) -> dict[str, Any]:
    """Return the figure as Plotly takes it; colours are variables of the style sheet.

    Phases without payload have no place on the axis and are left out.

    Parameters
    ----------
    steps : sequence of (Step, sequence of PhaseFigures)
        A symbol each.
    """
    first = steps[0][1][0]
    size, port = first.array_size, first.port_bytes
    ridge = size / port
    traces: list[dict[str, Any]] = []
    reached = []
    for (step, phases), symbol in zip(steps, _SYMBOLS, strict=False):
        for item in phases:
            intensity = _intensity(item)
            if not intensity:
                continue
            reached.append((intensity, item.macs / item.cycles))
            traces.append({
                "type": "scatter",
                "mode": "markers",
                "name": item.phase,
                "legendgroup": step.name,
                "legendgrouptitle": {"text": step.name},
                "x": [intensity],
                "y": [item.macs / item.cycles],
                "marker": {
                    "symbol": symbol,
                    "size": 12,
                    "color": phase_colour(item.phase),
                    "line": {"width": 2, "color": phase_colour(item.phase)},
                },
                "hovertemplate": (
                    f"{item.phase}, {step.name}<br>%{{x:.2f}} MAC per byte, %{{y:.2f}} per cycle"
                    f"<br>{share(item.least_cycles / item.cycles)} of the roof<extra></extra>"
                ),
            })
    low = min([ridge, *(x for x, _ in reached)]) / _ROOM
    high = max([ridge, *(x for x, _ in reached)]) * _ROOM
    bottom = min([low * port, *(y for _, y in reached)]) / _ROOM
    roof = {
        "type": "scatter",
        "mode": "lines",
        "name": "roof",
        "x": [low, ridge, high],
        "y": [low * port, size, size],
        "line": {"color": "--ink-soft", "width": 2},
        "hovertemplate": "roof: %{y:.2f} MAC per cycle at %{x:.2f} per byte<extra></extra>",
    }
    top = size * _ROOM
    return {
        "data": [roof, *traces],
        "layout": {
            "xaxis": log_axis("MAC per payload byte", low, high),
            "yaxis": log_axis("MAC per cycle", bottom, top),
            "hovermode": "closest",
        },
    }
