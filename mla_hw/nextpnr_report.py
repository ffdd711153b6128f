"""Reports that nextpnr leaves: cells after packing, clocks after routing."""

from pathlib import Path
from typing import Any

from mla_hw.errors import ConfigError
from mla_hw.fields import check_count, check_number, read_json_object

__all__ = ["read_cells", "read_clock", "read_clocks"]

#: Relative difference of a constraint from what was asked for: nextpnr has whole picoseconds.
_ROUNDING = 0.001


def read_cells(path: Path) -> dict[str, int]:
    """Return how many of each cell nextpnr has packed; nothing if it has not.

    Parameters
    ----------
    path : Path
        Its report.

    Raises
    ------
    ConfigError
        If the report is not one.
    """
    if not path.is_file():
        return {}
    found = read_json_object(path, ConfigError).get("utilization")
    if not isinstance(found, dict) or not all(isinstance(item, dict) for item in found.values()):
        raise ConfigError(f"{path}: has no utilization: synth again")
    try:
        return {
            name: check_count(f"utilization.{name}.used", item.get("used"))
            for name, item in found.items()
        }
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}: synth again") from None


def read_clocks(folder: Path, core_mhz: float) -> dict[int, float]:
    """Return the core's clock in MHz that each seed has reached; nothing before placement.

    Parameters
    ----------
    folder : Path
        With a report ``seedN.json`` of nextpnr per seed.
    core_mhz : float
        What the core is to reach on its board.

    Raises
    ------
    ConfigError
        If a report has no clock.
    """
    clocks: dict[int, float] = {}
    for path in folder.glob("seed*.json"):
        seed = path.stem.removeprefix("seed")
        if not seed.isdecimal():
            raise ConfigError(f"{path}: is of no seed: synth again")
        clocks[int(seed)] = read_clock(path, core_mhz)[0]
    return dict(sorted(clocks.items()))


def read_clock(path: Path, core_mhz: float) -> tuple[float, bool]:
    """Return the core's clock in MHz, and whether every clock is what was asked for.

    There may be clocks for pins and start-up beside it, slower and faster ones.

    Parameters
    ----------
    path : Path
        Report of one placement.
    core_mhz : float
        What was asked for; without such a clock the slowest one is taken, and not as it should be.

    Raises
    ------
    ConfigError
        If the report has no clock.
    """
    found = read_json_object(path, ConfigError).get("fmax")
    if not isinstance(found, dict) or not found:
        raise ConfigError(f"{path}: has no clock: synth again")
    try:
        clocks = [_clock(name, item) for name, item in found.items()]
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}: synth again") from None
    wanted = [
        achieved
        for achieved, constraint in clocks
        if abs(constraint - core_mhz) <= _ROUNDING * core_mhz
    ]
    met = bool(wanted) and all(achieved >= constraint for achieved, constraint in clocks)
    return round(min(wanted or [achieved for achieved, _ in clocks]), 2), met


def _clock(name: str, item: Any) -> tuple[float, float]:
    values = item if isinstance(item, dict) else {}
    achieved, constraint = (
        check_number(f"fmax.{name}.{key}", values.get(key)) for key in ("achieved", "constraint")
    )
    return achieved, constraint
