"""What synthesis and placement have left in a folder."""

from pathlib import Path

from mla_hw.errors import ConfigError
from mla_hw.fields import check_count, check_number, read_json_object

__all__ = ["read_cells", "read_clocks"]


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


def read_clocks(folder: Path) -> dict[int, float]:
    """Return the clock in MHz that each seed has reached; nothing before placement.

    Parameters
    ----------
    folder : Path
        With a report ``seedN.json`` of nextpnr per seed.

    Raises
    ------
    ConfigError
        If a report has no clock.
    """
    clocks: dict[int, float] = {}
    for path in folder.glob("seed*.json"):
        seed = path.stem.removeprefix("seed")
        found = read_json_object(path, ConfigError).get("fmax")
        if not seed.isdecimal() or not isinstance(found, dict) or not found:
            raise ConfigError(f"{path}: has no clock: synth again")
        try:
            clocks[int(seed)] = min(
                check_number(
                    f"fmax.{name}", item.get("achieved") if isinstance(item, dict) else None
                )
                for name, item in found.items()
            )
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}: synth again") from None
    return dict(sorted(clocks.items()))
