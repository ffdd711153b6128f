"""The products of a decode step given to SCALE-Sim and ZigZag: ``make compare``; takes minutes.

    python -m benchmarks.compare [--output benchmarks/compare.json]

Takes the matrix products of the step from the graph, and sets the cycles that the two tools give
for them beside the roofline, this project's prediction and the simulated core, whose figures are
those of ``benchmarks/results.json``. Writes all of it with versions and commit as JSON, and the
table of the README. Both tools are of the extra ``compare`` and need a NumPy older than the
project's, so that ``make compare`` sets up an environment of its own.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks import compare_scalesim, compare_zigzag
from benchmarks.compare_products import Product, products
from benchmarks.report import (
    COMPARISON,
    OUTPUT,
    README,
    caption,
    commit,
    grouped,
    markdown,
    read_results,
    say,
    write_marked,
)
from mla_hw.cli.versions import tool_versions
from mla_hw.compile_layer import instruction_phases, plan_layer
from mla_hw.cycles.figures import phase_figures
from mla_hw.cycles.predict import predict
from mla_hw.errors import MlaHwError
from mla_hw.graph import build_graph
from mla_hw.hardware import CoreConfig, HardwareConfig
from mla_hw.presets import find_preset

__all__ = ["table"]

MODEL = "deepseek-v2-lite"
CACHED = 1024
#: Simulated step with the dimensions of MODEL.
STEP = f"v2lite-dims:{CACHED}:fixed:32"
#: Key of a phase's cycles: head of the column.
COLUMNS: Mapping[str, str] = {
    "roofline": "roofline",
    "predicted": "predicted",
    "simulated": "simulated",
    "scalesim": "SCALE-Sim, never waiting",
    "scalesim_waiting": "SCALE-Sim, waiting for its buffers",
    "zigzag": "ZigZag",
}
_TOOLS = ("scalesim", "zigzag-dse", "numpy")


def measure(folder: Path) -> dict[str, Any]:
    """Predict the step, and give its products to both tools.

    Parameters
    ----------
    folder : Path
        For what the tools write.

    Raises
    ------
    MlaHwError
        When a tool is missing or fails, or the recorded step is of another core.
    """
    try:
        tools = tool_versions(*_TOOLS)
    except metadata.PackageNotFoundError as error:
        raise MlaHwError(f"{error.name} is not installed: run `make compare`") from None
    core, ours = _ours()
    config = find_preset(MODEL).config
    listed = products(build_graph(config), CACHED + 1)
    begin = time.perf_counter()
    measured = [_product(item, core, folder / item.name) for item in listed]
    theirs: dict[str, dict[str, int]] = {}
    for item in measured:
        phase = theirs.setdefault(
            item["phase"], dict.fromkeys(("scalesim", "scalesim_waiting", "zigzag"), 0)
        )
        for tool, cycles in item["cycles"].items():
            phase[tool] += item["count"] * cycles
    return {
        "model": MODEL,
        "cached": CACHED,
        "core": core.to_dict(),
        "scalesim_buffer_kb": compare_scalesim.BUFFER_KB,
        "products": measured,
        "phases": {phase: cycles | theirs[phase] for phase, cycles in ours.items()},
        "seconds": round(time.perf_counter() - begin),
        "tools": tools,
    }


def _ours() -> tuple[CoreConfig, dict[str, dict[str, int]]]:
    """Return the core, and the roofline, the prediction and the simulated cycles by phase.

    Raises
    ------
    MlaHwError
        When there is no simulated step of this core and these products.
    """
    results = read_results(OUTPUT)
    step = results.get("steps", {}).get(STEP)
    if step is None:
        raise MlaHwError(f"{OUTPUT.name} has no step {STEP}: run `make bench`")
    config = find_preset(MODEL).config
    schedule, program, memory = plan_layer(
        config,
        HardwareConfig.from_dict(results["hardware"]),
        context=CACHED + 1,
        multiplier=step["core"]["multiplier"],
    )
    simulated = {phase: item["cycles"] for phase, item in step["phases"].items()}
    figures = phase_figures(config, schedule.core, CACHED + 1, simulated)
    if schedule.core.to_dict() != step["core"] or any(
        item.macs != step["phases"][item.phase]["macs"] for item in figures
    ):
        raise MlaHwError(f"{OUTPUT.name}: {STEP} is of another core: run `make bench`")
    timeline = predict(program, schedule.core, memory, CACHED)
    phases = timeline.phases(instruction_phases(schedule, program))
    predicted = {item.name: item.cycles for item in phases}
    return schedule.core, {
        item.phase: {
            "roofline": round(item.least_cycles),
            "predicted": predicted[item.phase],
            "simulated": item.cycles,
        }
        for item in figures
    }


def _product(product: Product, core: CoreConfig, folder: Path) -> dict[str, Any]:
    """Give one product to both tools; the same cycles hold for each of its count."""
    folder.mkdir()
    scalesim = {}
    for mode in compare_scalesim.MODES:
        say(f"{product.phase}: {product.name} {product}: SCALE-Sim, mode {mode}")
        scalesim[mode] = compare_scalesim.run(product, core, mode, folder)
    say(f"{product.phase}: {product.name} {product}: ZigZag")
    zigzag = compare_zigzag.run(product, core, folder)
    return {
        "name": product.name,
        "phase": product.phase,
        "shape": str(product),
        "count": product.count,
        "cycles": {
            "scalesim": scalesim["CALC"].total,
            "scalesim_waiting": scalesim["USER"].total,
            "zigzag": zigzag.total,
        },
        "scalesim": {mode: asdict(cycles) for mode, cycles in scalesim.items()},
        "zigzag": asdict(zigzag),
    }


def table(figures: Mapping[str, Any]) -> str:
    """Return the cycles by phase as Markdown."""
    lines: list[tuple[str, ...]] = [("phase", "products M × K × N", *COLUMNS.values())]
    for phase, cycles in figures["phases"].items():
        shapes = "; ".join(item["shape"] for item in figures["products"] if item["phase"] == phase)
        lines.append((phase, shapes, *(grouped(cycles[key]) for key in COLUMNS)))
    totals = {key: sum(item[key] for item in figures["phases"].values()) for key in COLUMNS}
    lines.append(("total", "", *(grouped(totals[key]) for key in COLUMNS)))
    ratios = (f"{totals[key] / totals['simulated']:.3f}" for key in COLUMNS)
    lines.append(("over simulated", "", *ratios))
    return markdown(lines) + caption([figures])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--output", type=Path, default=COMPARISON)
    options = parser.parse_args(arguments)
    of = commit(options.output)
    with tempfile.TemporaryDirectory() as folder:
        figures = {"commit": of, **measure(Path(folder))}
    text = table(figures)
    print(text)
    options.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if options.output == COMPARISON:
        write_marked(README, "compare", text)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MlaHwError as error:
        sys.exit(f"error: {error}")
