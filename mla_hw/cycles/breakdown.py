"""Where the cycles of a predicted step go, seen from the array: every cycle has one reason."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from mla_hw.cycles.array_engine import done_latency
from mla_hw.cycles.timeline import Timeline
from mla_hw.hardware import CoreConfig
from mla_hw.program.program import Program

__all__ = ["KINDS", "LATE", "PIPELINE", "STEPS", "WAITS", "array_breakdown", "summarise"]

#: The array steps.
STEPS = "steps"
#: From the array's last step to the end of the phase, less the same of the phase before: latencies
#: of drain and, in the last phase, of the result's way out.
PIPELINE = "pipeline"
#: Kinds of reasons: steps, waits within instructions, late starts, and the pipeline.
KINDS = (STEPS, "waits", "late starts", PIPELINE)
#: Ahead of what a late start waits for.
LATE = "late: "
#: What the array waits for within instructions.
WAITS = ("weights", "latents", "drain")


def array_breakdown(
    program: Program, core: CoreConfig, phases: Sequence[str], timeline: Timeline
) -> Mapping[str, Counter[str]]:
    """Split the cycles of each phase by what the array does in them.

    Parameters
    ----------
    program : Program
    core : CoreConfig
    phases : sequence of str
        Phase of each instruction.
    timeline : Timeline
        Prediction of one step.

    Returns
    -------
    mapping of str to Counter
        By phase: :data:`STEPS`; ``weights``, ``latents`` and ``drain``, what it waits for within
        instructions; ``late: `` and a cause, what the next instruction waits for while the array
        is idle; and :data:`PIPELINE`. They add up to the phase's cycles.
    """
    found: dict[str, Counter[str]] = {}
    issued = 0
    for item in timeline.instructions:
        if item.name != "MATMUL":
            continue
        counts = found.setdefault(phases[item.index], Counter())
        instruction = program.instructions[item.index]
        last = item.end - done_latency(core, instruction.choice("mode"), instruction["rows"])
        begin = max(item.start, issued)
        counts[f"{LATE}{item.cause}"] += begin - issued
        waits = asdict(item.stalls)
        counts.update(waits)
        counts[STEPS] += last - begin - sum(waits.values())
        issued = last
    for phase in timeline.phases(phases):
        counts = found[phase.name]
        counts[PIPELINE] = phase.cycles - counts.total()
    return found


def summarise(reasons: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Add up reasons of several phases by :data:`KINDS`."""
    sums = dict.fromkeys(KINDS, 0)
    for counts in reasons:
        for name, count in counts.items():
            kind = "late starts" if name.startswith(LATE) else name
            sums[kind if kind in sums else "waits"] += count
    return sums
