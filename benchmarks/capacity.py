"""A model that is too large for one pass: ``make bench-capacity``; takes half an hour.

    python -m benchmarks.capacity [--output benchmarks/results.json] [--no-simulation]

DeepSeek-V3 with all heads and its weights drawn from a seed, on a board with room for them. The
cycles of a decode step are predicted for several lengths of the cache, and one step with few
cached tokens is simulated: bit-exact, or the benchmark ends. Writes figures with versions and
commit as JSON, and the table of the README.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import mla_hw
from benchmarks.report import (
    OUTPUT,
    caption,
    check_as_predicted,
    commit,
    grouped,
    markdown,
    read_results,
    say,
    write_results,
)
from boards import load_board
from mla_hw.cli.hardware_file import read_hardware
from mla_hw.cli.head_passes import fitting_groups
from mla_hw.compile_layer import plan_layer
from mla_hw.cycles.predict import predict
from mla_hw.errors import MlaHwError
from mla_hw.presets import find_preset

MODEL = "deepseek-v3"
BOARD = "lfe5u-85f-512m"
HARDWARE = {"rows": 8, "columns": 16, "port_bytes": 16, "activation_bytes": 196608}
CONTEXT = 4096
PREDICTED = (15, 127, 1023, 4095)
SIMULATED = 15
SEED = 0


def measure(*, simulated: bool) -> dict[str, Any]:
    """Predict the steps of the core, and simulate one of them if asked for."""
    board = load_board(BOARD)
    config, hardware = find_preset(MODEL).config, read_hardware(board, HARDWARE)
    schedule, program, memory = plan_layer(
        config,
        hardware,
        context=CONTEXT,
        multiplier=board.device.family,
        pass_groups=fitting_groups(config, hardware, board, 1),
        memory_bytes=board.memory.size_bytes,
    )
    result: dict[str, Any] = {
        "model": MODEL,
        "board": BOARD,
        "hardware": HARDWARE,
        "core": schedule.core.to_dict(),
        "passes": len(schedule.passes),
        "weight_bytes": memory.regions["weights"].size,
        "predicted": {},
    }
    for cached in PREDICTED:
        say(f"predicting the step with {cached} cached tokens")
        total = predict(program, schedule.core, memory, cached).total
        result["predicted"][str(cached)] = total
    return {**result, **_simulate()} if simulated else result


def _simulate() -> dict[str, Any]:
    """Generate the core with its image, and simulate one step.

    Raises
    ------
    MlaHwError
        When the step is not bit-exact, or not as predicted in every start and end.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "core"
        design = mla_hw.generate(
            MODEL,
            out=folder,
            board=BOARD,
            hardware=HARDWARE,
            context=CONTEXT,
            seed=SEED,
            progress=say,
        ).design
        shape = (SIMULATED + 1, design.model.hidden_size)
        x = np.random.default_rng(SEED).standard_normal(shape, dtype=np.float32)
        np.savez(folder / "hidden.npz", x=x)
        report = mla_hw.simulate(
            folder, hidden=folder / "hidden.npz", prefill=SIMULATED, progress=say
        )
    if not report.bit_exact:
        raise MlaHwError(f"{MODEL}: not bit-exact: {report.difference}")
    check_as_predicted(MODEL, report.instructions)
    return {
        "hash": report.hash,
        "simulated": {str(SIMULATED): report.cycles["simulated"][0]},
        "sim_cycles_per_second": round(report.sim_cycles_per_second),
        "tools": report.tools,
    }


def table(figures: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    rows = [("cached tokens", "passes", "cycles, predicted", "cycles, simulated")]
    for cached, total in figures["predicted"].items():
        simulated = figures.get("simulated", {}).get(cached)
        rows.append((
            cached,
            str(figures["passes"]),
            grouped(total),
            "–" if simulated is None else f"{grouped(simulated)}, bit-exact",
        ))
    return markdown(rows) + caption([figures])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--no-simulation", action="store_true", help="predict only")
    options = parser.parse_args(arguments)
    figures = {"commit": commit(options.output), **measure(simulated=not options.no_simulation)}
    results = read_results(options.output)
    results["capacity"] = figures
    text = table(figures)
    print(text)
    write_results(options.output, results, "capacity", text)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MlaHwError as error:
        sys.exit(f"error: {error}")
