"""What the benchmarks of LiteDRAM share: the model's timing, the controller, and its chip."""

from importlib.metadata import version

from boards import Board
from boards.litedram_core import generate_litedram
from mla_hw.cli.versions import tool_versions
from mla_hw.cycles.sdram import PARTS, SdramTiming
from rtl_gen.memory.litedram_core import LiteDramCore
from sim.memory_bench import CHIP_TIMES, chip_parameters
from sim.simulators import tool_versions as simulator_versions

__all__ = ["difference", "memory_side", "model_timing", "percent", "tools"]

#: Less than the data sheet's 100 µs, to save time; a run that is aborted waits until it is over.
_POWER_UP_US = 10


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
        power_up_us=_POWER_UP_US,
    )
    columns = int(PARTS[board.memory.part]["columns"])
    chip = chip_parameters(
        controller, clock_mhz=board.core_mhz, column_bits=(columns - 1).bit_length()
    )
    times = CHIP_TIMES[board.memory.part]
    return controller, chip | {"T_POWER_UP": _POWER_UP_US * 10**6, **times}


def difference(model: int, litedram: int) -> float:
    """Return by which share the model's cycles are more than LiteDRAM's."""
    return round(model / litedram - 1, 5)


def tools(simulator: str) -> dict[str, str]:
    """Return the versions of what measures."""
    versions = {"litedram": version("litedram"), **tool_versions("amaranth", "numpy")}
    return versions | simulator_versions(simulator)


def percent(share: float) -> str:
    """Return a signed share for a table."""
    return f"{100 * share:+.2f} %"
