"""Measure simulated decode steps of real model dimensions: ``make bench``.

    python -m benchmarks.bench [--output benchmarks/results.json] [CASE ...]

Simulates each of CASES on Verilator, works out the figures of merit of each phase, and writes them
with versions and commit as JSON, and the table of the README; likewise the throughput of several
sequences (``benchmarks/rows.py``), and cycles and error of each scheme
(``benchmarks/schemes.py``). Cases that are not asked for keep their figures. A run that is not
bit-exact ends the benchmark.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import mla_hw
from benchmarks import analysis, rows, schemes
from benchmarks.report import (
    OUTPUT,
    caption,
    check_as_predicted,
    commit,
    grouped,
    largest_difference,
    markdown,
    read_results,
    say,
    write_results,
)
from mla_hw.cycles.figures import phase_figures, roofline_efficiency
from mla_hw.design import Design
from mla_hw.errors import MlaHwError
from tests.reference_cases import load_case, write_case

BOARD = "lfe5u-85f-512m"
#: Whose SDRAM is timed.
SDRAM_BOARD = "ulx3s-85f"
HARDWARE = {"rows": 8, "columns": 16, "port_bytes": 16}
SEED = 0
#: Makes the Markdown of the figures by case.
Table = Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One decode step.

    Parameters
    ----------
    model : str
        Reference case with the dimensions and weights.
    cached : int
        Tokens in the cache before the step.
    memory : str
        As for ``mla-hw simulate``.
    board : str
        Whose memory it is.
    """

    model: str
    cached: int
    memory: str = "fixed:32"
    board: str = BOARD

    @property
    def name(self) -> str:
        """Name on the command line and in the table."""
        return f"{self.model}:{self.cached}:{self.memory}"


CASES = (
    Case(model="v2lite-dims", cached=128),
    Case(model="v2lite-dims", cached=1024),
    Case(model="v2lite-dims", cached=4096),
    Case(model="v3-quarter-heads", cached=1024),
    Case(model="v2lite-dims", cached=256, memory="dram", board=SDRAM_BOARD),
)


def generate(model: str, board: str, folder: Path) -> Path:
    """Generate the core of a reference case for its longest step; return the generated folder."""
    write_case(model, folder / "checkpoint")
    np.savez(folder / "calibration.npz", x=load_case(model).x)
    mla_hw.generate(
        folder / "checkpoint",
        out=folder / "core",
        board=board,
        hardware=HARDWARE,
        calibration=folder / "calibration.npz",
        context=1 + max(case.cached for case in CASES if case.model == model),
        progress=say,
    )
    return folder / "core"


def measure(case: Case, core: Path) -> dict[str, Any]:
    """Simulate one step and return its figures.

    Raises
    ------
    MlaHwError
        When the step is not bit-exact, or with fixed latency not as predicted.
    """
    design = Design.load(core)
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((case.cached + 1, design.model.hidden_size), dtype=np.float32)
    hidden = core.parent / "hidden.npz"
    np.savez(hidden, x=x)
    # The time is that of a user: the simulation of every case is built.
    shutil.rmtree(core / "build", ignore_errors=True)
    begin = time.perf_counter()
    report = mla_hw.simulate(
        core, hidden=hidden, prefill=case.cached, memory=case.memory, progress=say
    )
    seconds = time.perf_counter() - begin
    if not report.bit_exact:
        raise MlaHwError(f"{case.name}: not bit-exact: {report.difference}")
    if case.memory.startswith("fixed"):
        check_as_predicted(case.name, report.instructions)
    cycles = {item["phase"]: item["simulated"] for item in report.phases}
    figures = phase_figures(design.model, design.core, case.cached + 1, cycles, design.scheme)
    return {
        "model": case.model,
        "cached": case.cached,
        "memory": case.memory,
        "board": case.board,
        "hash": report.hash,
        "core": design.core.to_dict(),
        "cycles": report.cycles["simulated"][0],
        "predicted": report.cycles["predicted"][0],
        "largest_difference": largest_difference(report.instructions),
        "instructions": len(report.instructions),
        "roofline_efficiency": round(roofline_efficiency(figures), 4),
        "phases": {
            item.phase: {
                "cycles": item.cycles,
                "macs": item.macs,
                "payload_bytes": item.payload_bytes,
                "array_utilisation": round(item.array_utilisation, 4),
                "port_utilisation": round(item.port_utilisation, 4),
            }
            for item in figures
        },
        "sim_cycles_per_second": round(report.sim_cycles_per_second),
        "seconds": round(seconds, 1),
        "tools": report.tools,
    }


def _measure_step(case: Case, folder: Path) -> dict[str, Any]:
    """Measure a step; the core of a model and a board is generated once."""
    root = folder / f"{case.model}-{case.board}"
    if not root.exists():
        root.mkdir()
        generate(case.model, case.board, root)
    return measure(case, root / "core")


def table(steps: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the figures as Markdown."""
    columns = (
        "model",
        "cached tokens",
        "memory",
        "cycles",
        "predicted",
        "largest difference of a start or end",
        "array utilisation in attention",
        "port utilisation of the projections",
        "roofline efficiency",
        "simulated cycles/s",
        "seconds with the build",
    )
    lines: list[tuple[str, ...]] = [columns]
    for step in steps.values():
        phases = dict(step["phases"])
        attention = phases.pop("attention")
        port = [item["port_utilisation"] for item in phases.values()]
        lines.append((
            step["model"],
            str(step["cached"]),
            f"dram of {step['board']}" if step["memory"] == "dram" else step["memory"],
            grouped(step["cycles"]),
            grouped(step["predicted"]),
            str(step["largest_difference"]),
            f"{100 * attention['array_utilisation']:.1f} %",
            f"{100 * min(port):.1f} to {100 * max(port):.1f} %",
            f"{100 * step['roofline_efficiency']:.1f} %",
            grouped(step["sim_cycles_per_second"]),
            f"{step['seconds']:.0f}",
        ))
    return markdown(lines) + caption(steps.values())


# Key in the results: cases, how one is measured, how the table is made.
_TABLES: Mapping[str, tuple[Sequence[Any], Callable[[Any, Path], dict[str, Any]], Table]] = {
    "steps": (CASES, _measure_step, table),
    "rows": (rows.CASES, lambda case, _: rows.measure(case, BOARD, HARDWARE, say), rows.table),
    "schemes": (
        schemes.CASES,
        lambda case, folder: schemes.measure(
            case, BOARD, folder / f"{case.model}-{case.scheme}", say
        ),
        schemes.table,
    ),
    "analysis": (
        analysis.CASES,
        lambda case, folder: analysis.measure(case, HARDWARE, folder, say),
        analysis.table,
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    names = [case.name for cases, _, _ in _TABLES.values() for case in cases]
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"one of {', '.join(names)}")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args(arguments)
    if unknown := set(options.cases) - set(names):
        parser.error(f"CASE: must be one of {', '.join(names)}, not {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as folder:
        for key, (cases, measure_case, make_table) in _TABLES.items():
            for case in cases:
                if options.cases and case.name not in options.cases:
                    continue
                print(case.name, flush=True)
                figures = {"commit": commit(options.output), **measure_case(case, Path(folder))}
                # After every case, because the next one takes long; others may write meanwhile.
                results = read_results(options.output)
                results |= {
                    "board": BOARD,
                    "hardware": HARDWARE,
                    "scheme_hardware": schemes.HARDWARE,
                }
                known = {**results.get(key, {}), case.name: figures}
                results[key] = {c.name: known[c.name] for c in cases if c.name in known}
                text = make_table(results[key])
                write_results(options.output, results, key, text)
            print(make_table(read_results(options.output).get(key, {})))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MlaHwError as error:
        sys.exit(f"error: {error}")
