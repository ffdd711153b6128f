"""LiteDRAM against the model of ``--memory dram``: ``python -m benchmarks.litedram``.

    python -m benchmarks.litedram [--output benchmarks/litedram.json] [--sim verilator|icarus]

Whole programs: tokens that a core decodes with the model and with LiteDRAM and the model of the
chip, both bit-exact, or the benchmark ends. Streams: reads as the core's reader issues them, from
the first address to the last beat. LiteDRAM runs the chip at the core's clock, so the model does so
as well. Takes ten minutes; writes figures with versions and commit as JSON, and the tables of
docs/boards.md.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import mla_hw
from benchmarks.report import (
    BOARDS_PAGE,
    LITEDRAM,
    caption,
    commit,
    grouped,
    markdown,
    say,
    write_marked,
)
from boards import Board, load_board
from boards.litedram_core import generate_litedram
from mla_hw.cli.hidden_rows import HiddenRows
from mla_hw.cli.simulation_run import Interruption, SimulationRun
from mla_hw.cli.versions import tool_versions
from mla_hw.cycles.sdram import PARTS, Sdram, SdramTiming
from mla_hw.design import Design, verilog_sources
from mla_hw.errors import MlaHwError
from mla_hw.hardware import BURST_BEATS
from mla_hw.registers import ErrorCode
from rtl_gen.memory.litedram_core import LiteDramCore
from sim.bench import CoreBench, Port
from sim.check import core_contents
from sim.job import MemoryMode
from sim.litedram_bench import LiteDramBench
from sim.memory_bench import CHIP_TIMES, MemorySimulation, Phase, broken_rules, chip_parameters
from sim.runner import PRIMITIVES, CoreSimulation
from sim.simulators import SIMULATORS
from sim.simulators import tool_versions as simulator_versions
from tests.reference_cases import load_case, write_case

BOARD = "ulx3s-25f"
#: Every kind of SDR SDRAM: 16 bits, and 32 bits of two makers.
STREAM_BOARDS = (BOARD, "colorlight-i5", "tangnano20k")
#: Bytes of a stream.
SIZE = 64 * 1024
#: Bursts under way at once: enough for any stream, and one at a time.
OUTSTANDING = (8, 1)
SEED = 0
#: Less than the data sheet's 100 µs, to save time; a run that is aborted waits until it is over.
POWER_UP_US = 10
_ABORT_AFTER = 5000

Bursts = Sequence[tuple[int, int]]


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
    Program(model="tiny-v3", board=BOARD, cached=60, tokens=4),
    Program(model="small-v2lite", board=BOARD, cached=92, tokens=4),
    Program(model="small-v2lite", board="colorlight-i5", cached=92, tokens=4),
    Program(model="v2lite-dims", board="ulx3s-85f", cached=128, tokens=1),
)


def model_timing(board: Board) -> SdramTiming:
    """Return the model's timing for the board's chip at the core's clock."""
    return SdramTiming.of(
        part=board.memory.part,
        width_bits=board.memory.width_bits,
        clock_mhz=board.core_mhz,
        core_mhz=board.core_mhz,
        port_bytes=board.hardware["port_bytes"],
    )


def memory_side(board: Board) -> tuple[LiteDramCore, dict[str, int]]:
    """Return the controller of a board, and the parameters of its chip's model."""
    controller = generate_litedram(
        board.memory,
        family=board.device.family,
        clock_mhz=board.core_mhz,
        power_up_us=POWER_UP_US,
    )
    columns = int(PARTS[board.memory.part]["columns"])
    chip = chip_parameters(
        controller, clock_mhz=board.core_mhz, column_bits=(columns - 1).bit_length()
    )
    times = CHIP_TIMES[board.memory.part]
    return controller, chip | {"T_POWER_UP": POWER_UP_US * 10**6, **times}


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
        "difference": _difference(sum(cycles["simulated"]), sum(cycles["litedram"])),
        "tools": _tools(simulator),
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


def _difference(model: int, litedram: int) -> float:
    return round(model / litedram - 1, 5)


def _tools(simulator: str) -> dict[str, str]:
    versions = {"litedram": version("litedram"), **tool_versions("amaranth", "numpy")}
    return versions | simulator_versions(simulator)


def streams(port_bytes: int) -> dict[str, Bursts]:
    """Return reads by the order of their addresses."""
    block = BURST_BEATS * port_bytes
    addresses = list(range(0, SIZE, block))
    shuffled = np.random.default_rng(SEED).permutation(addresses)
    return {
        "sequential": [(address, BURST_BEATS) for address in addresses],
        "shuffled bursts": [(int(address), BURST_BEATS) for address in shuffled],
        "shuffled beats": [(int(address), 1) for address in shuffled],
    }


def predict(timing: SdramTiming, port_bytes: int, bursts: Bursts, outstanding: int) -> list[int]:
    """Return the cycle of every beat in the model; the first address is offered in cycle 0."""
    sdram = Sdram(timing, port_bytes)
    beats: list[list[int]] = []
    cycle = -1
    for index, (address, count) in enumerate(bursts):
        earlier = beats[index - outstanding][-1] if index >= outstanding else -1
        cycle = max(cycle, earlier) + 1
        beats.append(sdram.read(cycle, address // port_bytes, count))
    return [beat for burst in beats for beat in burst]


def measure_streams(board: Board, folder: Path, *, simulator: str) -> dict[str, Any]:
    """Simulate and predict all streams.

    Raises
    ------
    MlaHwError
        When a rule of the chip is broken.
    """
    port_bytes, timing = board.hardware["port_bytes"], model_timing(board)
    controller, chip = memory_side(board)
    fill = [
        (address, [(beat, (1 << port_bytes) - 1) for beat in range(BURST_BEATS)])
        for address in range(0, SIZE, BURST_BEATS * port_bytes)
    ]
    cases = [
        (name, bursts, outstanding)
        for name, bursts in streams(port_bytes).items()
        for outstanding in OUTSTANDING
    ]
    simulation = MemorySimulation(
        folder=folder,
        core=controller,
        data_bits=8 * port_bytes,
        chip=chip,
        simulator=simulator,
    )
    simulation.build()
    result = simulation.run([
        Phase(writes=fill),
        *(Phase(reads=bursts, outstanding=outstanding) for _, bursts, outstanding in cases),
    ])
    if result["errors"]:
        raise MlaHwError(f"The chip complains: {', '.join(result['broken'])}")
    rows = []
    for (name, bursts, outstanding), phase in zip(cases, result["phases"][1:], strict=True):
        found = [beat - phase["offered"][0] for burst in phase["beats"] for beat in burst]
        model = predict(timing, port_bytes, bursts, outstanding)
        size = len(found) * port_bytes
        rows.append({
            "stream": name,
            "bytes": size,
            "outstanding": outstanding,
            "model": model[-1],
            "litedram": found[-1],
            "difference": _difference(model[-1], found[-1]),
            "share_of_peak": round(size / found[-1] / (board.memory.width_bits / 8), 4),
        })
    return {
        "board": board.name,
        "memory": asdict(board.memory),
        "clock_mhz": board.core_mhz,
        "rows": rows,
        "tools": _tools(simulator),
    }


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
            _percent(_difference(*totals[1:])),
            *(
                _percent(max((_difference(*pair) for pair in pairs), key=abs))
                for pairs in (tokens, phases)
            ),
        ))
    return markdown(lines)


def stream_table(boards: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the cycles of streams as Markdown."""
    columns = (
        *("board", "reads", "bytes", "under way", "`--memory dram`", "LiteDRAM"),
        *("difference", "LiteDRAM's share of the peak"),
    )
    lines = [
        (
            f"{result['board']}, {result['memory']['part']}",
            row["stream"],
            grouped(row["bytes"]),
            str(row["outstanding"]),
            grouped(row["model"]),
            grouped(row["litedram"]),
            _percent(row["difference"]),
            f"{100 * row['share_of_peak']:.1f} %",
        )
        for result in boards.values()
        for row in result["rows"]
    ]
    return markdown([columns, *lines])


def tables(results: Mapping[str, Any]) -> str:
    """Return all figures as Markdown."""
    entries = (*results["programs"].values(), *results["streams"].values())
    programs, streams = program_table(results["programs"]), stream_table(results["streams"])
    return f"{programs}\n{streams}{caption(entries)}"


def _percent(share: float) -> str:
    return f"{100 * share:+.2f} %"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=LITEDRAM)
    parser.add_argument("--sim", choices=SIMULATORS, default=SIMULATORS[0])
    options = parser.parse_args(arguments)
    measured = commit(options.output)
    results: dict[str, Any] = {"programs": {}}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for program in PROGRAMS:
            print(program.name, flush=True)
            folder = root / program.name.replace(":", "-")
            folder.mkdir()
            figures = measure_program(program, folder, simulator=options.sim, progress=say)
            results["programs"][program.name] = {"commit": measured, **figures}
        results["streams"] = {}
        for board in STREAM_BOARDS:
            print(f"streams: {board}", flush=True)
            folder = root / board
            folder.mkdir()
            figures = measure_streams(load_board(board), folder, simulator=options.sim)
            results["streams"][board] = {"commit": measured, **figures}
    text = tables(results)
    print(text)
    options.output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    if options.output == LITEDRAM:
        write_marked(BOARDS_PAGE, "litedram", text)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MlaHwError as error:
        sys.exit(f"error: {error}")
