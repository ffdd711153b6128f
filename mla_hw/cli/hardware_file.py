"""Keys of ``--hardware`` over a board's default."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mla_hw.errors import ConfigError
from mla_hw.hardware import HardwareConfig
from mla_hw.yaml_lines import load_yaml_mapping, place_of, reject_unknown_keys

if TYPE_CHECKING:
    from boards import Board

__all__ = ["read_hardware"]


def read_hardware(board: "Board", path: str | Path | Mapping[str, Any] | None) -> HardwareConfig:
    """Lay a hardware file, or its keys, over a board's default.

    Raises
    ------
    ConfigError
        Names option, file, line and key.
    """
    values: dict[str, Any] = dict(board.hardware)
    if path is None:
        return HardwareConfig.from_dict(values)
    try:
        if isinstance(path, Mapping):
            given, path = dict(path), "keys"
            lines: dict[str, int] = {}
        else:
            given, lines = load_yaml_mapping(Path(path))
        known = HardwareConfig().to_dict()
        reject_unknown_keys(given, known, path=Path(path), lines=lines)
    except ConfigError as error:
        raise ConfigError(f"--hardware {error}") from None
    if "accumulator_lanes" not in given:
        values.pop("accumulator_lanes", None)
    try:
        return HardwareConfig.from_dict({**values, **given})
    except ConfigError as error:
        # A message begins with the field that must change; the file may hold only the other one.
        named = (key for key in (str(error).split()[0], *given) if key in given)
        culprit = next((key for key in named if key in str(error)), "")
        raise ConfigError(f"--hardware {place_of(path, lines, culprit)}: {error}") from None
