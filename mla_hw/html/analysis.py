"""Sections of the page of ``mla-hw analyze``."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any

from mla_hw.analysis.cache_size import BASELINES, CLAIMS
from mla_hw.analysis.estimate import Estimate, PhaseEstimate
from mla_hw.analysis.quantity import quantity
from mla_hw.analysis.report import AnalysisReport
from mla_hw.cycles.breakdown import KINDS, summarise
from mla_hw.graph import StepShape
from mla_hw.html.markup import (
    Column,
    Raw,
    Section,
    element,
    join,
    number,
    paragraph,
    share,
    table,
)
from mla_hw.html.palette import scheme_colour
from mla_hw.html.plots import figure_plot, log_axis

__all__ = ["analysis_sections"]

_WORK = ("MAC", "other op", "weight B", "cache B", "act. B", "op/B")
_KINDS = (
    ("weight_bytes", "weights", "--weight-line"),
    ("cache_bytes", "cache", "--cache-line"),
    ("activation_bytes", "activations", "--activation-line"),
)
#: Room beside the outermost points, as a factor.
_ROOM = 1.5
_HEIGHT = 420
#: Of a scheme's points, open so that those on each other are seen.
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "star", "hexagon")


def analysis_sections(report: AnalysisReport) -> tuple[Section, ...]:
    """Return the sections in their order."""
    groups = [list(items) for _, items in groupby(report.estimates, lambda item: item.shape)]
    sections = [_summary(report, groups)]
    if len(report.contexts) > 1:
        sections.append(_over_context(report))
    sections += [
        _roofline(report, groups[0]),
        _traffic(report, groups[0]),
        _phases(report, groups[0]),
        _break_even(report),
        _cache(report),
    ]
    if report.predictions:
        sections.append(_prediction(report))
    if report.warnings:
        items = join(element("li", line) for line in report.warnings)
        sections.append(Section("warnings", "Warnings", element("ul", items, class_="doubts")))
    return tuple(sections)


def _step_name(report: AnalysisReport, shape: StepShape) -> str:
    what = "cached tokens" if report.phase == "decode" else "tokens"
    plural = "s" if shape.batch > 1 else ""
    return f"{number(report.cached(shape))} {what}, {shape.batch} sequence{plural}"


def _summary(report: AnalysisReport, groups: Sequence[Sequence[Estimate]]) -> Section:
    machine = report.machine
    counted = "as arXiv 2506.02523 counts" if report.paper else "with RoPE, norms and softmax"
    intro = paragraph(
        f"One {report.phase} step of one attention layer on {machine.name}: "
        f"{machine.macs_per_cycle:g} MAC and {machine.bytes_per_cycle:.4g} bytes per cycle at "
        f"{machine.clock_mhz:g} MHz, a balance of {machine.balance:.4g} MAC per byte; "
        f"{machine.storage.name} in memory, {machine.mac_pj:g} pJ per MAC and "
        f"{machine.pj_per_bit:g} pJ per bit; {counted}."
    )
    columns = (
        Column("scheme", "text"),
        Column("weights"),
        *map(Column, _WORK),
        Column("bound", "text"),
        *map(Column, ("cycles", "tokens/s", "µJ per token")),
    )
    tables = [
        table(
            columns,
            [
                (
                    item.work.scheme,
                    quantity(item.work.parameters),
                    *_work(item.total),
                    item.bound,
                    quantity(item.cycles),
                    quantity(item.tokens_per_second),
                    quantity(item.energy_per_token),
                )
                for item in items
            ],
            caption=_step_name(report, items[0].shape),
        )
        for items in groups
    ]
    return Section("schemes", "Schemes", join((intro, *tables)))


def _work(phase: PhaseEstimate) -> tuple[str, ...]:
    return (
        *map(quantity, (phase.macs, phase.vector_operations)),
        *map(quantity, (phase.weight_bytes, phase.cache_bytes, phase.activation_bytes)),
        quantity(phase.intensity) if phase.bytes else "–",
    )


def _over_context(report: AnalysisReport) -> Section:
    """Return cycles and energy per token over the context, a plot per batch and quantity."""
    quantities: tuple[tuple[str, str, Callable[[Estimate], float]], ...] = (
        ("cycles", "cycles per token", lambda item: item.cycles / item.shape.all_tokens),
        ("energy", "µJ per token", lambda item: item.energy_per_token),
    )
    batches = list(dict.fromkeys(item.shape.batch for item in report.estimates))
    parts: list[Raw] = []
    for batch in batches:
        sequences = f"{batch} sequence{'s' if batch > 1 else ''}"
        parts.append(element("h3", sequences))
        items = [item for item in report.estimates if item.shape.batch == batch]
        for name, title, value in quantities:
            figure = _lines(report, items, title, value)
            parts.append(figure_plot(f"{name}-{batch}-plot", figure, height=_HEIGHT))
    intro = paragraph("Per token of all sequences together; both axes are logarithmic.")
    return Section("context", "Over the context", join((intro, *parts)))


def _lines(
    report: AnalysisReport,
    items: Sequence[Estimate],
    title: str,
    value: Callable[[Estimate], float],
) -> dict[str, Any]:
    traces: list[dict[str, Any]] = []
    for scheme in dict.fromkeys(item.work.scheme for item in items):
        own = sorted(
            (item for item in items if item.work.scheme == scheme),
            key=lambda item: item.shape.context,
        )
        traces.append({
            "type": "scatter",
            "mode": "lines+markers",
            "name": scheme,
            "x": [report.cached(item.shape) for item in own],
            "y": [value(item) for item in own],
            "line": {"color": scheme_colour(scheme), "width": 2},
            "hovertemplate": f"{scheme}<br>%{{x}} tokens: %{{y:.4s}} {title}<extra></extra>",
        })
    xs, ys = ([v for trace in traces for v in trace[axis]] for axis in "xy")
    what = "cached tokens" if report.phase == "decode" else "tokens"
    return _figure(traces, (what, xs), (title, ys))


def _roofline(report: AnalysisReport, items: Sequence[Estimate]) -> Section:
    machine = report.machine
    traces: list[dict[str, Any]] = []
    symbols = {item.work.scheme: symbol for item, symbol in zip(items, _SYMBOLS, strict=False)}
    for item, phase in [(own, phase) for own in items for phase in own.phases]:
        if not phase.bytes:
            # What is fetched in another phase has no place on the axis.
            continue
        scheme = item.work.scheme
        x, y = phase.macs / phase.bytes, phase.macs / phase.cycles
        rate = f"{quantity(x)} MAC per byte, {quantity(y)} per cycle"
        traces.append({
            "type": "scatter",
            "mode": "markers",
            "name": scheme,
            "legendgroup": scheme,
            "showlegend": phase is item.phases[0],
            "x": [x],
            "y": [y],
            "marker": {
                "symbol": f"{symbols[scheme]}-open",
                "size": 12,
                "color": scheme_colour(scheme),
                "line": {"width": 2, "color": scheme_colour(scheme)},
            },
            "hovertemplate": (
                f"{scheme}, {phase.phase}<br>{rate}<br>{quantity(phase.cycles)} cycles, bound by "
                f"{phase.bound}<extra></extra>"
            ),
        })
    low = min([machine.balance, *(trace["x"][0] for trace in traces)]) / _ROOM
    high = max([machine.balance, *(trace["x"][0] for trace in traces)]) * _ROOM
    xs = [low, machine.balance, high]
    ys = [low * machine.bytes_per_cycle, machine.macs_per_cycle, machine.macs_per_cycle]
    roof = {
        "type": "scatter",
        "mode": "lines",
        "name": "roof",
        "x": xs,
        "y": ys,
        "line": {"color": "--ink-soft", "width": 2},
        "hoverinfo": "skip",
    }
    intro = paragraph(
        f"{_step_name(report, items[0].shape)}. A point is a phase. Where it lies below the roof, "
        "rows of the array are idle, because too few heads or tokens share what is streamed."
        if machine.array_rows
        else f"{_step_name(report, items[0].shape)}. A point is a phase."
    )
    figure = _figure(
        [roof, *traces],
        ("MAC per byte", xs),
        ("MAC per cycle", [*ys, *(trace["y"][0] for trace in traces)]),
    )
    return Section(
        "roofline", "Roofline", join((intro, figure_plot("roofline-plot", figure, height=_HEIGHT)))
    )


def _traffic(report: AnalysisReport, items: Sequence[Estimate]) -> Section:
    totals = [(item.work.scheme, item.total) for item in items]
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "y": [scheme for scheme, _ in totals],
            "x": [getattr(total, key) for _, total in totals],
            "marker": {"color": colour},
            "hovertemplate": f"%{{y}}: %{{x:.4s}}B of {name}<extra></extra>",
        }
        for key, name, colour in _KINDS
    ]
    most = max(total.bytes for _, total in totals)
    figure = {
        "data": traces,
        "layout": {
            "barmode": "stack",
            "xaxis": {"title": {"text": "bytes"}, "range": [0, most * 1.05], "tickformat": "~s"},
            "yaxis": {"range": [len(totals) - 0.4, -0.6], "fixedrange": True},
        },
    }
    intro = paragraph(f"{_step_name(report, items[0].shape)}. What goes through off-chip memory.")
    return Section(
        "traffic", "Bytes by kind", join((intro, figure_plot("traffic-plot", figure, height=320)))
    )


def _phases(report: AnalysisReport, items: Sequence[Estimate]) -> Section:
    columns = (
        Column("phase", "text"),
        *map(Column, _WORK),
        Column("bound", "text"),
        *map(Column, ("array cycles", "memory cycles", "cycles", "µJ per token")),
    )
    tables = [
        table(
            columns,
            [
                (
                    phase.phase,
                    *_work(phase),
                    phase.bound,
                    *map(quantity, (phase.array_cycles, phase.memory_cycles, phase.cycles)),
                    quantity(item.energy(phase)),
                )
                for phase in item.phases
            ],
            caption=item.work.scheme,
        )
        for item in items
    ]
    intro = paragraph(f"{_step_name(report, items[0].shape)}.")
    return Section("phases", "Phases", join((intro, *tables)))


def _break_even(report: AnalysisReport) -> Section:
    columns = (
        Column("by", "text"),
        Column("cost", "text"),
        Column("from"),
        Column("on", "text"),
        Column("overtakes", "text"),
        Column("closed form"),
    )
    rows = [
        (
            point.variable,
            point.cost,
            f"{point.value:.6g}",
            point.better,
            point.worse,
            "–" if point.closed_form is None else f"{point.closed_form:.6g}",
        )
        for point in report.break_evens
    ]
    intro = paragraph(
        f"One variable at a time, from {_step_name(report, report.estimates[0].shape)} on this "
        "machine; balance is MAC per byte of a machine that keeps "
        "all multipliers busy; the energy ratio is that of a byte of memory to a MAC."
    )
    body = table(columns, rows) if rows else paragraph("None in range.")
    return Section("break-even", "Break-even points", join((intro, body)))


def _cache(report: AnalysisReport) -> Section:
    size = report.cache
    columns = (Column("cache", "text"), Column("elements"), Column("bytes"), Column("over MLA"))
    rows = [
        ("MLA, bf16", number(size.mla), number(2 * size.mla), "1.00"),
        ("MLA, as the core stores it", number(size.mla), number(size.stored_bytes), ""),
        ("MHA, bf16", number(size.mha), number(2 * size.mha), f"{size.ratio('mha'):.2f}"),
        (
            f"GQA in {size.groups} groups, bf16",
            number(size.gqa),
            number(2 * size.gqa),
            f"{size.ratio('gqa'):.2f}",
        ),
    ]
    claims = table(
        (Column("what articles say", "text"), *map(Column, BASELINES)),
        [
            (
                f"“{claim.text}”",
                *("holds" if claim.holds(size, baseline) else "–" for baseline in BASELINES),
            )
            for claim in CLAIMS
        ],
        caption="Against which baseline it holds for this model",
    )
    return Section("cache", "Cache per token and layer", join((table(columns, rows), claims)))


def _prediction(report: AnalysisReport) -> Section:
    columns = (
        Column("phase", "text"),
        *map(Column, ("analysis", "cycle model", "difference", *KINDS)),
    )
    parts: list[Raw] = [
        paragraph(
            "The cycle model plays the core's program; the last four columns say what the array "
            "does in its cycles, and add up to them."
        )
    ]
    for prediction in report.predictions:
        name = f"{prediction.scheme}, {number(prediction.context)} cached tokens"
        if prediction.missing:
            parts.append(paragraph(f"{name}: no prediction: {prediction.missing}"))
            continue
        item = report.estimate_of(prediction)
        rows = [
            (
                phase.phase,
                *_against(phase.cycles, prediction.cycles[phase.phase]),
                *map(number, summarise([prediction.reasons[phase.phase]]).values()),
            )
            for phase in item.phases
        ]
        total = (
            "total",
            *_against(item.cycles, prediction.total),
            *map(number, summarise(prediction.reasons.values()).values()),
        )
        parts.append(table(columns, rows, total=total, caption=name))
    return Section("prediction", "Against the cycle model", join(parts))


def _against(analysed: float, predicted: int) -> tuple[str, str, str]:
    return number(analysed), number(predicted), share(analysed / predicted - 1, 2)


def _figure(
    traces: list[dict[str, Any]],
    x: tuple[str, Iterable[float]],
    y: tuple[str, Iterable[float]],
) -> dict[str, Any]:
    """Return a figure with logarithmic axes that show all values; each axis is title and values."""
    axes = {}
    for name, (title, values) in (("xaxis", x), ("yaxis", y)):
        known = [value for value in values if value > 0]
        axes[name] = log_axis(title, min(known) / _ROOM, max(known) * _ROOM)
    return {"data": traces, "layout": {**axes, "hovermode": "closest"}}
