"""Several sequences that share the weight stream: what ``benchmarks/bench.py`` calls for its rows.

Cycles are predicted where the core fits the board, and simulated for the cases that say so.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import mla_hw
from benchmarks.report import caption, check_as_predicted, grouped, markdown
from boards import load_board
from mla_hw.cli.hardware_file import read_hardware
from mla_hw.cli.head_passes import fitting_groups
from mla_hw.cli.simulate import SimulationReport
from mla_hw.compile_layer import plan_layer
from mla_hw.cycles.predict import predict
from mla_hw.errors import CapacityError, MlaHwError
from tests.reference_cases import load_case, write_case

__all__ = ["CASES", "RowsCase", "measure", "table"]

MODEL = "v2lite-dims"
#: Tokens in each cache before the step; simulated is the first.
CACHED = (128, 1024)
SEED = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class RowsCase:
    """A core for several sequences.

    Parameters
    ----------
    rows : int
        Sequences.
    activation_bytes : int
        As in a hardware file.
    simulated : bool
        Whether a step is simulated, too.
    """

    rows: int
    activation_bytes: int
    simulated: bool = False

    @property
    def name(self) -> str:
        """Name on the command line and in the results."""
        return f"rows:{self.rows}:{self.activation_bytes}"


CASES = (
    RowsCase(rows=1, activation_bytes=1 << 16),
    RowsCase(rows=2, activation_bytes=1 << 16, simulated=True),
    RowsCase(rows=4, activation_bytes=1 << 16),
    RowsCase(rows=8, activation_bytes=1 << 16),
    RowsCase(rows=2, activation_bytes=1 << 18),
    RowsCase(rows=4, activation_bytes=1 << 18, simulated=True),
    RowsCase(rows=8, activation_bytes=1 << 18),
)


def measure(
    case: RowsCase, board: str, hardware: Mapping[str, int], say: Callable[[str], None]
) -> dict[str, Any]:
    """Predict, and simulate, the steps of a case; or say why there is no such core.

    Parameters
    ----------
    case : RowsCase
    board : str
    hardware : mapping
        Keys over the board's default, besides ``activation_bytes``.
    say : callable
        Gets one line per stage.

    Raises
    ------
    MlaHwError
        When a simulated step is not bit-exact, or not as predicted in every start and end.
    """
    keys = {**hardware, "activation_bytes": case.activation_bytes}
    chosen = load_board(board)
    settings = read_hardware(chosen, keys)
    config = load_case(MODEL).weights.config
    result: dict[str, Any] = {
        "model": MODEL,
        "rows": case.rows,
        "activation_bytes": case.activation_bytes,
    }
    try:
        schedule, program, memory = plan_layer(
            config,
            settings,
            context=max(CACHED) + 1,
            multiplier=chosen.device.family,
            pass_groups=fitting_groups(config, settings, chosen, case.rows),
            memory_bytes=chosen.memory.size_bytes,
            query_rows=case.rows,
        )
    except CapacityError as error:
        return {**result, "error": str(error)}
    totals = [predict(program, schedule.core, memory, cached).total for cached in CACHED]
    result["predicted"] = dict(zip(map(str, CACHED), totals, strict=True))
    result["tokens_per_million_cycles"] = {
        cached: round(case.rows * 1e6 / total, 3) for cached, total in result["predicted"].items()
    }
    if case.simulated:
        report = _simulate(case, board, keys, say)
        result["simulated"] = {str(CACHED[0]): report.cycles["simulated"][0]}
        result["tools"] = report.tools
    return result


def _simulate(
    case: RowsCase, board: str, keys: Mapping[str, int], say: Callable[[str], None]
) -> SimulationReport:
    """Simulate the first step."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_case(MODEL, root / "checkpoint")
        np.savez(root / "calibration.npz", x=load_case(MODEL).x)
        design = mla_hw.generate(
            root / "checkpoint",
            out=root / "core",
            board=board,
            hardware=keys,
            calibration=root / "calibration.npz",
            context=max(CACHED) + 1,
            rows=case.rows,
            progress=say,
        ).design
        shape = (CACHED[0] + 1, case.rows, design.model.hidden_size)
        x = np.random.default_rng(SEED).standard_normal(shape, dtype=np.float32)
        np.savez(root / "hidden.npz", x=x)
        report: SimulationReport = mla_hw.simulate(
            root / "core", hidden=root / "hidden.npz", prefill=CACHED[0], progress=say
        )
    if not report.bit_exact:
        raise MlaHwError(f"{case.name}: not bit-exact: {report.difference}")
    check_as_predicted(case.name, report.instructions)
    return report


def table(cores: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the figures as Markdown."""
    columns = ["sequences", "activation_bytes"]
    columns += [f"tokens per million cycles, {cached} cached" for cached in CACHED]
    columns += [f"cycles, {CACHED[0]} cached", "simulated"]
    rows = [columns]
    for core in cores.values():
        row = [str(core["rows"]), str(core["activation_bytes"])]
        if "error" in core:
            row += [core["error"], *[""] * (len(columns) - len(row) - 1)]
        else:
            first = str(CACHED[0])
            row += [f"{core['tokens_per_million_cycles'][str(cached)]:.2f}" for cached in CACHED]
            row.append(grouped(core["predicted"][first]))
            simulated = core.get("simulated", {}).get(first)
            row.append("–" if simulated is None else grouped(simulated))
        rows.append(row)
    return markdown(rows) + caption(cores.values())
