"""LiteDRAM against the model of ``--memory dram``: ``python -m benchmarks.litedram``.

    python -m benchmarks.litedram [--board NAME] [--sim verilator|icarus] [--kib N]

Streams of reads, as the core's reader issues them, through LiteDRAM with the model of the chip, and
through ``mla_hw/cycles/sdram.py``. LiteDRAM runs the chip at the core's clock, so the model does so
as well; its figures at the clock of the board's file are beside them. Prints JSON: cycles from the
first address to the last beat, and to the first one.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from boards import Board, load_board
from boards.litedram_core import generate_litedram
from mla_hw.cycles.sdram import PARTS, Sdram, SdramTiming
from mla_hw.errors import MlaHwError
from mla_hw.hardware import BURST_BEATS
from sim.memory_bench import MemorySimulation, Phase, chip_parameters
from sim.simulators import SIMULATORS, tool_versions

BOARD = "ulx3s-85f"
KIB = 64
#: Bursts under way at once: enough for any stream, and one at a time.
OUTSTANDING = (8, 1)
SEED = 0

Bursts = Sequence[tuple[int, int]]


def streams(size: int, port_bytes: int) -> dict[str, Bursts]:
    """Return reads of `size` bytes by the order of their addresses."""
    block = BURST_BEATS * port_bytes
    addresses = list(range(0, size, block))
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


def model_timing(board: Board, clock_mhz: float) -> SdramTiming:
    """Return the model's timing for the board's chip at a clock."""
    return SdramTiming.of(
        part=board.memory.part,
        width_bits=board.memory.width_bits,
        clock_mhz=clock_mhz,
        core_mhz=board.core_mhz,
        port_bytes=board.hardware["port_bytes"],
    )


def measure(board: Board, *, simulator: str, size: int) -> dict[str, Any]:
    """Simulate and predict all streams."""
    port_bytes = board.hardware["port_bytes"]
    block = BURST_BEATS * port_bytes
    core = generate_litedram(board.memory, family=board.device.family, clock_mhz=board.core_mhz)
    columns = int(PARTS[board.memory.part]["columns"])
    chip = chip_parameters(core, clock_mhz=board.core_mhz, column_bits=(columns - 1).bit_length())
    fill = [
        (address, [(beat, (1 << port_bytes) - 1) for beat in range(BURST_BEATS)])
        for address in range(0, size, block)
    ]
    cases = [
        (name, bursts, outstanding)
        for name, bursts in streams(size, port_bytes).items()
        for outstanding in OUTSTANDING
    ]
    with tempfile.TemporaryDirectory() as folder:
        simulation = MemorySimulation(
            folder=Path(folder),
            core=core,
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
    same, own = (model_timing(board, mhz) for mhz in (board.core_mhz, board.memory.clock_mhz))
    rows = [
        _row(name, bursts, outstanding, phase, (same, own), board)
        for (name, bursts, outstanding), phase in zip(cases, result["phases"][1:], strict=True)
    ]
    return {
        "board": board.name,
        "memory": asdict(board.memory),
        "clock_mhz": board.core_mhz,
        "ready_after": result["ready"],
        "streams": rows,
        "tools": {"litedram": version("litedram"), **tool_versions(simulator)},
    }


def _row(
    name: str,
    bursts: Bursts,
    outstanding: int,
    phase: Any,
    timings: Sequence[SdramTiming],
    board: Board,
) -> dict[str, Any]:
    port_bytes = board.hardware["port_bytes"]
    start = phase["offered"][0]
    found = [cycle - start for burst in phase["beats"] for cycle in burst]
    same, own = (predict(timing, port_bytes, bursts, outstanding) for timing in timings)
    size = len(found) * port_bytes
    return {
        "stream": name,
        "bytes": size,
        "outstanding": outstanding,
        "litedram": found[-1],
        "model": same[-1],
        "model_at_board_clock": own[-1],
        "difference": round(same[-1] / found[-1] - 1, 4),
        "latency": {"litedram": found[0], "model": same[0]},
        "bytes_per_cycle": round(size / found[-1], 3),
        "share_of_peak": round(size / found[-1] / (board.memory.width_bits / 8), 4),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--board", default=BOARD)
    parser.add_argument("--sim", choices=SIMULATORS, default=SIMULATORS[0])
    parser.add_argument("--kib", type=int, default=KIB)
    options = parser.parse_args(arguments)
    try:
        board = load_board(options.board)
        result = measure(board, simulator=options.sim, size=options.kib * 1024)
    except MlaHwError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
