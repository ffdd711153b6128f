"""Streams on LiteDRAM: reads as the core's reader issues them, from first address to last beat."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.litedram_memory import difference, memory_side, model_timing, percent, tools
from benchmarks.report import grouped, markdown
from boards import Board
from mla_hw.cycles.sdram import Sdram, SdramTiming
from mla_hw.errors import MlaHwError
from mla_hw.hardware import BURST_BEATS
from sim.memory_bench import MemorySimulation, Phase

__all__ = ["STREAM_BOARDS", "measure_streams", "stream_table"]

#: Every kind of SDR SDRAM: 16 bits, and 32 bits of two makers.
STREAM_BOARDS = ("ulx3s-25f", "colorlight-i5", "tangnano20k")
#: Bytes of a stream.
_SIZE = 64 * 1024
#: Bursts under way at once: enough for any stream, and one at a time.
_OUTSTANDING = (8, 1)
_SEED = 0

Bursts = Sequence[tuple[int, int]]


def streams(port_bytes: int) -> dict[str, Bursts]:
    """Return reads by the order of their addresses."""
    block = BURST_BEATS * port_bytes
    addresses = list(range(0, _SIZE, block))
    shuffled = np.random.default_rng(_SEED).permutation(addresses)
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
        for address in range(0, _SIZE, BURST_BEATS * port_bytes)
    ]
    cases = [
        (name, bursts, outstanding)
        for name, bursts in streams(port_bytes).items()
        for outstanding in _OUTSTANDING
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
            "difference": difference(model[-1], found[-1]),
            "share_of_peak": round(size / found[-1] / (board.memory.width_bits / 8), 4),
        })
    return {
        "board": board.name,
        "memory": asdict(board.memory),
        "clock_mhz": board.core_mhz,
        "rows": rows,
        "tools": tools(simulator),
    }


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
            percent(row["difference"]),
            f"{100 * row['share_of_peak']:.1f} %",
        )
        for result in boards.values()
        for row in result["rows"]
    ]
    return markdown([columns, *lines])
