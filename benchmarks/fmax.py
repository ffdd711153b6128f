"""Measure the clock and the area of placed cores: ``make bench-fmax``; takes hours.

    python -m benchmarks.fmax [--output benchmarks/results.json] [--seeds 1 2 3] [--jobs N]
        [CORE ...]

Generates each of CORES for DeepSeek-V2-Lite, places and routes it with every seed, and writes
clocks and resources with versions and commit as JSON, and the table of the README. Cores that are
not asked for keep their figures.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mla_hw
from benchmarks.report import (
    OUTPUT,
    caption,
    commit,
    markdown,
    read_placements,
    read_results,
    say,
    write_results,
)
from mla_hw.design import Design
from mla_hw.errors import MlaHwError

MODEL = "deepseek-v2-lite"
BOARD = "lfe5u-85f-512m"
CORES: Mapping[str, Mapping[str, int]] = {
    "4x8": {"rows": 4, "columns": 8, "port_bytes": 8},
    "8x16": {"rows": 8, "columns": 16, "port_bytes": 16},
}
#: What nextpnr is asked for, a little more than the goals, 110 and 100 MHz. Its router takes up
#: late nets until there is none, which has no end where the clock is out of reach.
TARGETS_MHZ = {"4x8": 112, "8x16": 102}


def measure(name: str, seeds: Sequence[int], jobs: int, folder: Path) -> dict[str, Any]:
    """Place one core with every seed and return its figures."""
    mla_hw.generate(MODEL, out=folder, board=BOARD, hardware=CORES[name], image=False, progress=say)
    target = TARGETS_MHZ[name]
    report = mla_hw.synth(
        folder, core=True, place=True, seeds=seeds, jobs=jobs, target_mhz=target, progress=say
    )
    usages = {resource: getattr(report, resource) for resource in ("lut", "ff", "dsp", "bram")}
    return {
        "model": MODEL,
        "board": report.board,
        "device": f"{report.device}-{report.speed_grade}, {report.package}",
        "hash": report.hash,
        "core": Design.load(folder).core.to_dict(),
        "target_mhz": target,
        "fmax_mhz": {str(seed): clock for seed, clock in report.fmax_mhz.items()},
        "fmax_median_mhz": statistics.median(report.fmax_mhz.values()),
        **{
            resource: {"used": usage.used, "available": usage.available}
            for resource, usage in usages.items()
        },
        "tools": dict(report.tools),
    }


def table(cores: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the figures as Markdown."""
    rows = [("core", "device", "MHz, median", "seeds", "LUT", "FF", "multipliers", "block RAM")]
    for name, core in cores.items():
        used = [core[resource] for resource in ("lut", "ff", "dsp", "bram")]
        rows.append((
            f"{name}, {core['model']}",
            core["device"],
            f"{core['fmax_median_mhz']:.0f}",
            ", ".join(f"{seed}: {clock:.0f}" for seed, clock in core["fmax_mhz"].items()),
            *(f"{u['used']} ({100 * u['used'] / u['available']:.0f} %)" for u in used),
        ))
    return markdown(rows) + caption(cores.values())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = read_placements(parser, "core", list(CORES), arguments)
    for name in options.chosen:
        print(name, flush=True)
        measured = commit(options.output)
        with tempfile.TemporaryDirectory() as folder:
            figures = {
                "commit": measured,
                **measure(name, options.seeds, options.jobs, Path(folder)),
            }
        # After every core, because the next one takes long; others may have written meanwhile.
        results = read_results(options.output)
        known = {**results.get("clocks", {}), name: figures}
        results["clocks"] = {core: known[core] for core in CORES if core in known}
        text = table(results["clocks"])
        write_results(options.output, results, "clocks", text)
    print(text)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MlaHwError as error:
        sys.exit(f"error: {error}")
