"""Why a schedule is as it is: what bounds each phase, what the array waits for, head passes."""

from collections import Counter
from collections.abc import Callable, Sequence

from mla_hw.config import ModelConfig
from mla_hw.cycles.breakdown import LATE, WAITS, array_breakdown
from mla_hw.cycles.figures import PhaseFigures, phase_figures
from mla_hw.cycles.timeline import Timeline
from mla_hw.design import Design
from mla_hw.hardware import NOMINAL_LATENCY

__all__ = ["explain_phases", "late_starts", "stalls"]

_HEAD = "phase         cycles     array      port  bound      over  array starts late; waits within"


def explain_phases(
    config: ModelConfig, design: Design, timeline: Timeline, position: Sequence[int]
) -> str:
    """Return a table of a predicted step, for people.

    Per phase: the cycles, those that array and port would take alone, which of them is the bound,
    and what is over it. Behind it, the cycles for which an idle array did not start, by what its
    instruction waited for, and those for which it waited within instructions.

    Parameters
    ----------
    config : ModelConfig
    design : Design
    timeline : Timeline
        Prediction of a step with fixed latency.
    position : sequence of int
        Cached tokens of each query row.
    """
    names = design.manifest["phases"]
    cycles = {phase.name: phase.cycles for phase in timeline.phases(names)}
    attended = [tokens + 1 for tokens in position]
    figures = phase_figures(config, design.core, attended, cycles, design.manifest["scheme"])
    late, within = late_starts(design, timeline), stalls(design, timeline)
    lines = [
        f"# why: predicted with fixed:{NOMINAL_LATENCY} at position {position[0]}",
        _HEAD,
        *(_phase_line(item, late[item.phase], within[item.phase]) for item in figures),
    ]
    least, total = sum(item.least_cycles for item in figures), timeline.total
    lines.append(
        f"{'total':<10} {total:>9} {'':>9} {'':>9}  {'':<5}  {total - least:>8.0f}  "
        f"{100 * least / total:.1f} % of the roofline"
    )
    return "\n".join(lines) + "\n"


def _phase_line(item: PhaseFigures, late: Counter[str], within: Counter[str]) -> str:
    array, port = item.macs / item.array_size, item.payload_bytes / item.port_bytes
    bound, over = "array" if array > port else "port", item.cycles - item.least_cycles
    waits = "; ".join(
        ", ".join(f"{cause} {count}" for cause, count in counts.most_common() if count)
        for counts in (late, within)
        if counts.total()
    )
    return (
        f"{item.phase:<10} {item.cycles:>9} {array:>9.0f} {port:>9.0f}  {bound:<5}  {over:>8.0f}  "
        f"{waits}"
    ).rstrip()


def late_starts(design: Design, timeline: Timeline) -> dict[str, Counter[str]]:
    """Count the cycles for which the array was idle before it started, by phase and cause."""
    return _reasons(design, timeline, lambda name: name.startswith(LATE))


def stalls(design: Design, timeline: Timeline) -> dict[str, Counter[str]]:
    """Count the cycles for which the array waits within instructions, by phase and for what."""
    return _reasons(design, timeline, WAITS.__contains__)


def _reasons(
    design: Design, timeline: Timeline, wanted: Callable[[str], bool]
) -> dict[str, Counter[str]]:
    phases = design.manifest["phases"]
    found: dict[str, Counter[str]] = {name: Counter() for name in phases}
    for phase, counts in array_breakdown(design.program, design.core, phases, timeline).items():
        for name, count in counts.items():
            if wanted(name):
                found[phase][name.removeprefix(LATE)] += count
    return found
