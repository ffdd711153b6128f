"""``mla-hw analyze``: against the cycle model, and its speed; called by ``benchmarks/bench.py``."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.report import caption, grouped, markdown
from mla_hw.cycles.breakdown import KINDS, summarise
from mla_hw.errors import MlaHwError

__all__ = ["CASES", "AnalysisCase", "measure", "table"]

BED_MODEL, SWEEP_MODEL = "deepseek-v2-lite", "deepseek-v3"
#: 20 contexts.
CONTEXTS = tuple(round(128 * 1.44**i) for i in range(20))
BATCHES = (1, 4, 16)
SCHEMES = ("absorb", "reuse", "recompute", "naive", "mha")
_RUNS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class AnalysisCase:
    """A comparison with the cycle model at some cached tokens, or the time of a sweep.

    Parameters
    ----------
    cached : int or None
        None is the sweep.
    """

    cached: int | None

    @property
    def name(self) -> str:
        """Name on the command line and in the results."""
        return f"analysis:{self.cached or 'sweep'}"


CASES = tuple(AnalysisCase(cached=cached) for cached in (128, 1024, 4096, None))


def measure(
    case: AnalysisCase, hardware: Mapping[str, Any], folder: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Run the command in a process of its own.

    Raises
    ------
    MlaHwError
        When it fails.
    """
    report = folder / "analysis.json"
    if case.cached is None:
        options = [
            *("--context", ",".join(map(str, CONTEXTS))),
            *("--batch", ",".join(map(str, BATCHES)), "--schemes", ",".join(SCHEMES)),
        ]
        times = [_run(SWEEP_MODEL, options, report) for _ in range(_RUNS)]
        say(f"{', '.join(f'{seconds:.2f}' for seconds in times)} s")
        estimates = len(json.loads(report.read_text(encoding="utf-8"))["estimates"])
        return {"model": SWEEP_MODEL, "estimates": estimates, "seconds": round(min(times), 2)}
    keys = folder / "hardware.yaml"
    keys.write_text(yaml.safe_dump(dict(hardware)), encoding="utf-8")
    _run(
        BED_MODEL,
        [
            *("--hardware", str(keys), "--context", str(case.cached)),
            *("--schemes", "absorb", "--predict"),
        ],
        report,
    )
    found = json.loads(report.read_text(encoding="utf-8"))
    (estimate,), (prediction,) = found["estimates"], found["predictions"]
    return {
        "model": BED_MODEL,
        "cached": case.cached,
        "cycles": round(estimate["cycles"]),
        "predicted": prediction["total"],
        "phases": {
            phase["phase"]: {
                "cycles": round(phase["cycles"]),
                "predicted": prediction["cycles"][phase["phase"]],
                "reasons": prediction["reasons"][phase["phase"]],
            }
            for phase in estimate["phases"]
        },
    }


def _run(model: str, options: list[str], report: Path) -> float:
    """Return the seconds of a run."""
    program = "import sys; from mla_hw.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "analyze", model, "--json", str(report), *options]
    start = time.perf_counter()
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if result.returncode:
        raise MlaHwError(f"analyze {model}: {result.stderr.strip()}")
    return seconds


def table(cases: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the comparison as Markdown, and the time of the sweep below it."""
    columns = ("cached tokens", "analysis", "cycle model", "difference", *KINDS)
    lines: list[tuple[str, ...]] = [columns]
    below = ""
    for case in cases.values():
        if "estimates" in case:
            below = (
                f"\n{case['estimates']} estimates of {case['model']} ({len(CONTEXTS)} contexts, "
                f"{len(SCHEMES)} schemes, {len(BATCHES)} batches) take {case['seconds']:.1f} s.\n"
            )
            continue
        sums = summarise(phase["reasons"] for phase in case["phases"].values())
        lines.append((
            str(case["cached"]),
            grouped(case["cycles"]),
            grouped(case["predicted"]),
            f"{100 * (case['cycles'] / case['predicted'] - 1):+.2f} %",
            *(grouped(count) for count in sums.values()),
        ))
    return markdown(lines) + below + caption(cases.values())
