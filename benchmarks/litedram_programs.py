"""Whole programs on LiteDRAM: tokens that a core decodes with the model and with the controller.

Both are bit-exact, or the benchmark ends.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import mla_hw
from benchmarks.litedram_memory import difference, memory_side, model_timing, percent, tools
from benchmarks.report import grouped, markdown
from boards import load_board
from mla_hw.cli.hidden_rows import HiddenRows
from mla_hw.cli.simulation_run import Interruption, SimulationRun
from mla_hw.design import Design, verilog_sources
from mla_hw.errors import MlaHwError
from mla_hw.registers import ErrorCode
from sim.bench import CoreBench, Port
from sim.check import core_contents
from sim.job import MemoryMode
from sim.litedram_bench import LiteDramBench
from sim.memory_bench import broken_rules
from sim.runner import PRIMITIVES, CoreSimulation
from sim.simulators import SIMULATORS
from tests.reference_cases import load_case, write_case

__all__ = ["PROGRAMS", "Program", "measure_program", "program_table"]

_BOARD = "ulx3s-25f"
_ABORT_AFTER = 5000


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """Tokens of a reference case, decoded by the default core of a board.

    Parameters
    ----------
    model, board : str
    cached : int
        Tokens in the cache before the first one.
    tokens : int
    """

    model: str
    board: str
    cached: int
    tokens: int

    @property
    def name(self) -> str:
        """Name in the results."""
        return f"{self.model}:{self.cached}:{self.board}"


PROGRAMS = (
    Program(model="tiny-v3", board=_BOARD, cached=60, tokens=4),
    Program(model="small-v2lite", board=_BOARD, cached=92, tokens=4),
    Program(model="small-v2lite", board="colorlight-i5", cached=92, tokens=4),
    Program(model="v2lite-dims", board="ulx3s-85f", cached=128, tokens=1),
)


def measure_program(
    program: Program,
    folder: Path,
    *,
    simulator: str = SIMULATORS[0],
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Decode the tokens with both memories; return their cycles, and those that are predicted.

    Raises
    ------
    MlaHwError
        When a token is not bit-exact, or a rule of the chip is broken.
    """
    board, given = load_board(program.board), load_case(program.model)
    checkpoint = write_case(program.model, folder / "checkpoint")
    count = program.cached + program.tokens
    np.savez(folder / "calibration.npz", x=given.x[: len(given.x) // 2])
    np.savez(folder / "hidden.npz", x=given.x[:count])
    design = mla_hw.generate(
        checkpoint,
        out=folder / "core",
        board=program.board,
        calibration=folder / "calibration.npz",
        context=count,
        progress=progress,
    ).design
    rows = HiddenRows.read(folder / "hidden.npz", design, program.cached)
    model, litedram = (
        _simulate(program, folder, design, rows, simulator, progress, with_litedram)
        for with_litedram in (False, True)
    )
    cycles = {**model.cycles(), "litedram": litedram.cycles()["simulated"]}
    return {
        **asdict(program),
        "hash": design.manifest["hash"],
        "clock_mhz": board.core_mhz,
        "cycles": cycles,
        "phases": [
            {**ours, "litedram": theirs["simulated"]}
            for ours, theirs in zip(model.phases(), litedram.phases(), strict=True)
        ],
        "difference": difference(sum(cycles["simulated"]), sum(cycles["litedram"])),
        "tools": tools(simulator),
    }


def _simulate(
    program: Program,
    folder: Path,
    design: Design,
    rows: HiddenRows,
    simulator: str,
    progress: Callable[[str], None],
    with_litedram: bool,
) -> SimulationRun:
    """Run the core with LiteDRAM, or with the model."""
    board = load_board(program.board)
    run = SimulationRun(
        design,
        rows,
        mode=MemoryMode("dram", 0, model_timing(board)),
        corrupt=(),
        # The memory is initialised meanwhile.
        interrupt=[
            Interruption(token=program.cached, code=ErrorCode.ABORT, abort_after=_ABORT_AFTER)
        ],
        progress=progress,
    )
    sources = verilog_sources(folder / "core", design.manifest)
    sources += [path for kind, path in PRIMITIVES.items() if kind == design.core.multiplier]
    keywords: dict[str, Any] = {
        "ports": {name: Port(**port) for name, port in design.manifest["ports"].items()},
        "memory_bytes": design.memory.size,
        "dumps": tuple(core_contents(run.machine)),
    }
    bench = CoreBench(**keywords)
    if with_litedram:
        controller, chip = memory_side(board)
        bench = LiteDramBench(controller=controller, chip=chip, **keywords)
        sources += bench.models
    simulation = CoreSimulation(
        folder=folder / ("litedram" if with_litedram else "model"),
        sources=sources,
        bench=bench,
        simulator=simulator,
        progress=progress,
    )
    simulation.build()
    run.simulate(simulation)
    if run.difference:
        raise MlaHwError(f"{program.name}: not bit-exact: {run.difference}")
    if broken := broken_rules(simulation.folder / "run.log"):
        raise MlaHwError(f"{program.name}: the chip complains: {', '.join(broken)}")
    return run


def program_table(programs: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the cycles of all tokens of each program as Markdown, and the largest differences."""
    columns = (
        *("model", "board", "cached", "tokens", "predicted", "`--memory dram`", "LiteDRAM"),
        *("model over LiteDRAM", "largest of a token", "largest of a phase"),
    )
    lines: list[tuple[str, ...]] = [columns]
    for program in programs.values():
        cycles = program["cycles"]
        totals = [sum(cycles[name]) for name in ("predicted", "simulated", "litedram")]
        tokens = zip(cycles["simulated"], cycles["litedram"], strict=True)
        phases = ((item["simulated"], item["litedram"]) for item in program["phases"])
        lines.append((
            program["model"],
            program["board"],
            str(program["cached"]),
            str(len(cycles["litedram"])),
            *(grouped(total) for total in totals),
            percent(difference(*totals[1:])),
            *(
                percent(max((difference(*pair) for pair in pairs), key=abs))
                for pairs in (tokens, phases)
            ),
        ))
    return markdown(lines)
