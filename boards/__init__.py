"""Boards as data: one YAML file per board in ``boards/data``, named like the board."""

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from mla_hw.devices import Device, find_device
from mla_hw.errors import ConfigError
from mla_hw.yaml_lines import load_yaml_mapping, place_of, reject_unknown_keys

__all__ = ["ADAPTER_PINS", "Board", "ExternalMemory", "list_boards", "load_board"]

ADAPTER_PINS = ("clk", "rst", "scan_in", "scan_out")
"""Ports of the adapter that the core is synthesised in, each of which needs a pin."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExternalMemory:
    """The memory that holds program, weights and cache.

    Parameters
    ----------
    kind : str
        Type of memory: ``"sdr"``.
    part : str
        Name of the chip as LiteDRAM spells it.
    size_mib : int
        Size in MiB.
    width_bits : int
        Data pins.
    clock_mhz : float
        Clock of the memory bus in MHz.
    """

    kind: str
    part: str
    size_mib: int
    width_bits: int
    clock_mhz: float

    @property
    def size_bytes(self) -> int:
        """Size in bytes."""
        return self.size_mib * 2**20

    @property
    def peak_bytes_per_second(self) -> float:
        """Transfer rate of the data pins, one word per clock cycle, in bytes per second."""
        return self.width_bits / 8 * self.clock_mhz * 1e6


@dataclass(frozen=True, kw_only=True, slots=True)
class Board:
    """A board that the core can be built for.

    Parameters
    ----------
    name : str
        Name on the command line, for example ``"ulx3s-85f"``.
    description : str
        One line for people.
    device : Device
        The FPGA.
    package : str
        Package as nextpnr spells it.
    speed_grade : int
        Speed grade of the FPGA.
    clock_mhz : float
        Clock that the board supplies, in MHz.
    core_mhz : float
        Clock that the core is to reach, in MHz; the target of placement.
    io_standard : str
        Electrical standard of the adapter's pins.
    pins : mapping of str to str
        Package pin of each of :data:`ADAPTER_PINS`.
    memory : ExternalMemory
        Memory chip.
    hardware : mapping of str to object
        Default hardware configuration, in the keys of ``HardwareConfig``.
    """

    name: str
    description: str
    device: Device
    package: str
    speed_grade: int
    clock_mhz: float
    core_mhz: float
    io_standard: str
    pins: Mapping[str, str]
    memory: ExternalMemory
    hardware: Mapping[str, Any]

    @classmethod
    def from_dict(
        cls,
        name: str,
        data: Mapping[str, Any],
        *,
        path: Path | str | None = None,
        lines: Mapping[str, int] | None = None,
    ) -> "Board":
        """Check a description and make a board of it.

        Parameters
        ----------
        name : str
            Name of the board.
        data : mapping
            Contents of the file; every key is needed, the device is its name.
        path : Path or str, optional
            File that errors name; the board's name by default.
        lines : mapping of str to int, optional
            Line numbers from :func:`mla_hw.yaml_lines.load_yaml_mapping`.

        Raises
        ------
        ConfigError
            If a key is unknown, missing or of the wrong type, or the device is unknown. Keys and
            values of `hardware` are checked where the hardware configuration is made.
        """
        reader = _Reader(path or name, lines or {})
        values = reader.fields(cls, data, given={"name"})
        values["pins"] = reader.mapping(values["pins"], dict.fromkeys(ADAPTER_PINS, str), "pins.")
        values["memory"] = ExternalMemory(
            **reader.fields(ExternalMemory, values["memory"], "memory.")
        )
        try:
            values["device"] = find_device(values["device"])
        except ConfigError as error:
            raise ConfigError(f"{reader.place('device')}: {error}") from None
        return cls(name=name, **values)

    def to_dict(self) -> dict[str, Any]:
        """Return the description that :meth:`from_dict` makes this board of."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)[1:]} | {
            "device": self.device.name,
            "pins": dict(self.pins),
            "memory": dataclasses.asdict(self.memory),
            "hardware": dict(self.hardware),
        }


# What a field's value is in the file, by the field's type; all others are mappings.
KINDS: Mapping[Any, tuple[str, tuple[type, ...]]] = {
    str: ("a text", (str,)),
    Device: ("a device name", (str,)),
    int: ("a whole positive number", (int,)),
    float: ("a positive number", (int, float)),
}


class _Reader:
    """Checks mappings of one file against their fields."""

    def __init__(self, path: Path | str, lines: Mapping[str, int]) -> None:
        self.path = path
        self.lines = lines

    def place(self, key: str) -> str:
        return place_of(self.path, self.lines, key)

    def fields(
        self, cls: type, data: Any, prefix: str = "", given: frozenset[str] | set[str] = frozenset()
    ) -> dict[str, Any]:
        """Check `data` against the fields of a dataclass."""
        kinds = {
            field.name: field.type for field in dataclasses.fields(cls) if field.name not in given
        }
        return self.mapping(data, kinds, prefix)

    def mapping(self, data: Any, kinds: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
        """Check keys and types of a mapping; numbers must be positive."""
        reject_unknown_keys(data, kinds, path=self.path, lines=self.lines, prefix=prefix)
        for key, kind in kinds.items():
            if key not in data:
                raise ConfigError(f"{self.place(prefix[:-1])}: key {prefix + key!r} is missing")
            self.check(prefix + key, data[key], kind)
        return dict(data)

    def check(self, key: str, value: Any, kind: Any) -> None:
        wanted, types = KINDS.get(kind, ("a mapping", (Mapping,)))
        # YAML's true and false are integers to Python.
        good = isinstance(value, types) and not isinstance(value, bool)
        if good and kind in (int, float):
            good = value > 0
        if not good:
            raise ConfigError(f"{self.place(key)}: {key!r} must be {wanted}, not {value!r}")


def _files() -> dict[str, Path]:
    folder = Path(str(resources.files(__name__))) / "data"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def list_boards() -> list[str]:
    """Return the names of all boards, in alphabetical order."""
    return list(_files())


def load_board(name: str) -> Board:
    """Read a board's file.

    Raises
    ------
    ConfigError
        If there is no such board (the message lists all of them), or its file is not right.
    """
    files = _files()
    if name not in files:
        close = difflib.get_close_matches(name, files, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ConfigError(f"unknown board {name!r}: {hint}known are {', '.join(files)}")
    data, lines = load_yaml_mapping(files[name])
    return Board.from_dict(name, data, path=files[name].name, lines=lines)
