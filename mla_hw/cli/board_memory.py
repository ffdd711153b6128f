"""How the cycle model times the memory of a board."""

from typing import TYPE_CHECKING

from mla_hw.cycles.sdram import SdramTiming
from mla_hw.design import Design
from mla_hw.errors import ConfigError
from mla_hw.hardware import NOMINAL_LATENCY

if TYPE_CHECKING:
    from boards import Board

__all__ = ["ON_CHIP_LATENCY", "design_board", "memory_timing", "sdram_timing"]

ON_CHIP_LATENCY = 3
"""Cycles from an address to its first beat: two of the memory on the FPGA, one of the arbiter."""

_SDRAM = ("sdr", "ddr3")


def design_board(design: Design) -> "Board":
    """Return the board that a folder was generated for.

    Raises
    ------
    ConfigError
        If its manifest names none that is known.
    """
    # This package loads before those beside it.
    from boards import load_board

    name = design.manifest.get("board")
    if not isinstance(name, str):
        raise ConfigError(f"manifest.json: board: expected str, not {name!r}")
    try:
        return load_board(name)
    except ConfigError as error:
        raise ConfigError(f"manifest.json: board: {error}") from None


def sdram_timing(board: "Board", port_bytes: int, core_mhz: float | None = None) -> SdramTiming:
    """Return the timing of a board's SDRAM.

    Parameters
    ----------
    board : Board
    port_bytes : int
        Of the core.
    core_mhz : float, optional
        Clock of the core; the board's by default.

    Raises
    ------
    ConfigError
        If the board has none, or its timing is not known.
    """
    if board.memory.kind not in _SDRAM:
        raise ConfigError(f"--memory: dram needs a board with an SDRAM; {board.name} has none")
    return SdramTiming.of(
        part=board.memory.part,
        width_bits=board.memory.width_bits,
        clock_mhz=board.memory.clock_mhz,
        core_mhz=core_mhz or board.core_mhz,
        port_bytes=port_bytes,
    )


def memory_timing(
    board: "Board", port_bytes: int, core_mhz: float | None = None
) -> tuple[int, SdramTiming | None]:
    """Return latency and SDRAM with which steps on a board are predicted.

    Memory on the FPGA keeps pace with the port after its latency; behind a port of the user's own
    there is one of nominal latency.
    """
    if board.memory.kind in _SDRAM:
        return NOMINAL_LATENCY, sdram_timing(board, port_bytes, core_mhz)
    return (NOMINAL_LATENCY if board.memory.kind == "axi" else ON_CHIP_LATENCY), None
