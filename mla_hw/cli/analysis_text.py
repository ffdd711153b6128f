"""Tables of ``mla-hw analyze`` and ``mla-hw models --cache``."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from rich.table import Table

from mla_hw.analysis.breakeven import BreakEven
from mla_hw.analysis.cache_size import CacheSize, claim_lines
from mla_hw.analysis.estimate import Estimate, PhaseEstimate
from mla_hw.analysis.quantity import quantity
from mla_hw.analysis.report import AnalysisReport
from mla_hw.cli.text import console, plain_table, print_paths
from mla_hw.cycles.breakdown import KINDS, summarise

__all__ = ["cache_table", "print_analysis", "print_cache"]


def print_analysis(report: AnalysisReport) -> None:
    """Show the estimates; for one context and batch also phases and break-even points."""
    output = console()
    machine = report.machine
    output.print(
        f"{report.model}, {report.phase}, one attention layer, {machine.name}: "
        f"{machine.macs_per_cycle:g} MAC and {machine.bytes_per_cycle:.4g} bytes per cycle, "
        f"{machine.clock_mhz:g} MHz, balance {machine.balance:.4g} MAC per byte; "
        f"{machine.storage.name}, {machine.mac_pj:g} pJ per MAC, {machine.pj_per_bit:g} pJ per bit"
        + ("; counted as arXiv 2506.02523" if report.paper else ""),
        highlight=False,
        soft_wrap=True,
    )
    groups = [(key, list(items)) for key, items in groupby(report.estimates, _place)]
    for (_, batch), items in groups:
        context = report.cached(items[0].shape)
        what = "cached tokens" if report.phase == "decode" else "tokens"
        sequences = f"{batch} sequence{'s' if batch > 1 else ''}"
        output.print(_estimates_table(items, f"{context} {what}, {sequences}"))
    if len(groups) == 1:
        for item in report.estimates:
            output.print(_phases_table(item))
        output.print(_break_even_table(report))
    if any(not prediction.missing for prediction in report.predictions):
        output.print(_prediction_table(report))
    if report.predictions:
        for prediction in report.predictions:
            if prediction.missing:
                output.print(
                    f"no prediction for {prediction.scheme} at {prediction.context}: "
                    f"{prediction.missing}",
                    highlight=False,
                    soft_wrap=True,
                )
    output.print(cache_table([report.cache]))
    print_paths(output, *report.files)


def _place(item: Estimate) -> tuple[int, int]:
    return item.shape.context, item.shape.batch


def _estimates_table(items: Iterable[Estimate], title: str) -> Table:
    table = plain_table(
        "scheme",
        *("weights", "MAC", "other op", "weight B", "cache B", "act. B", "op/B"),
        *("bound", "cycles", "token/s", "µJ/token"),
        title=title,
    )
    for item in items:
        table.add_row(
            item.work.scheme,
            quantity(item.work.parameters),
            *_work(item.total),
            item.bound,
            quantity(item.cycles),
            quantity(item.tokens_per_second),
            quantity(item.energy_per_token),
        )
    return table


def _phases_table(item: Estimate) -> Table:
    table = plain_table(
        "phase",
        *("MAC", "other op", "weight B", "cache B", "act. B", "op/B", "bound"),
        *("array cycles", "memory cycles", "cycles", "µJ/token"),
        title=f"Phases of {item.work.scheme}",
    )
    for phase in item.phases:
        table.add_row(
            phase.phase,
            *_work(phase),
            phase.bound,
            quantity(phase.array_cycles),
            quantity(phase.memory_cycles),
            quantity(phase.cycles),
            quantity(item.energy(phase)),
        )
    return table


def _work(phase: PhaseEstimate) -> tuple[str, ...]:
    intensity = "–" if not phase.bytes else quantity(phase.intensity)
    return (
        quantity(phase.macs),
        quantity(phase.vector_operations),
        quantity(phase.weight_bytes),
        quantity(phase.cache_bytes),
        quantity(phase.activation_bytes),
        intensity,
    )


def _break_even_table(report: AnalysisReport) -> Table:
    """Show the last point of each pair, with those before it that it takes back."""
    table = plain_table(
        *("by", "cost", "from", "on", "overtakes", "closed form", "earlier"),
        title="Break-even points; context in "
        + ("cached tokens" if report.phase == "decode" else "tokens"),
    )
    pairs: dict[tuple[object, ...], list[BreakEven]] = {}
    for point in report.break_evens:
        key = point.variable, point.cost, frozenset((point.better, point.worse))
        pairs.setdefault(key, []).append(point)
    for points in pairs.values():
        *earlier, last = points
        closed = "–" if last.closed_form is None else f"{last.closed_form:.6g}"
        table.add_row(
            *(last.variable, last.cost, f"{last.value:.6g}", last.better, last.worse, closed),
            ", ".join(f"{point.value:.6g}" for point in earlier),
        )
    if not pairs:
        table.add_row("none in range")
    return table


def _prediction_table(report: AnalysisReport) -> Table:
    """Compare estimates with the cycle model, and say where its cycles go."""
    table = plain_table(
        "phase",
        *("analysis", "cycle model", "difference"),
        *KINDS,
        title="Analysis against the cycle model: the last four columns add up to its cycles",
    )
    for prediction in report.predictions:
        if prediction.missing:
            continue
        item = report.estimate_of(prediction)
        for phase in item.phases:
            table.add_row(
                phase.phase,
                *_against(phase.cycles, prediction.cycles[phase.phase]),
                *_reasons([prediction.reasons[phase.phase]]),
            )
        table.add_row(
            f"{prediction.scheme}, {prediction.context}",
            *_against(item.cycles, prediction.total),
            *_reasons(prediction.reasons.values()),
            end_section=True,
        )
    return table


def _against(analysed: float, predicted: int) -> tuple[str, str, str]:
    return f"{analysed:.0f}", str(predicted), f"{analysed / predicted - 1:+.1%}"


def _reasons(reasons: Iterable[Mapping[str, int]]) -> Iterator[str]:
    return map(str, summarise(reasons).values())


def cache_table(sizes: Iterable[CacheSize]) -> Table:
    """Cache of a token in a layer, against multi-head and grouped-query attention."""
    table = plain_table(
        "model",
        *("MLA", "MHA", "GQA", "groups", "MLA bf16 B", "stored B", "MHA bf16 B", "GQA bf16 B"),
        *("MHA : MLA", "GQA : MLA"),
        title="Key-value cache per token and layer, in elements and bytes",
    )
    for size in sizes:
        table.add_row(
            size.model,
            *map(str, (size.mla, size.mha, size.gqa, size.groups)),
            *map(str, (2 * size.mla, size.stored_bytes, 2 * size.mha, 2 * size.gqa)),
            f"{size.ratio('mha'):.2f}",
            f"{size.ratio('gqa'):.2f}",
        )
    return table


def print_cache(sizes: Iterable[CacheSize]) -> None:
    """Show the cache of all presets, and what holds of what is said about it."""
    sizes = list(sizes)
    output = console()
    output.print(cache_table(sizes))
    output.print("Where what articles say holds (baseline: models):")
    for line in claim_lines(sizes):
        output.print(f"  {line}", highlight=False, soft_wrap=True)
