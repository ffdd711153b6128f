"""Boards as data: one YAML file per board in ``boards/data``, named like the board."""

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from boards.memory import (
    BUS_CLOCKS,
    MEMORY_KINDS,
    MEMORY_PINS,
    ON_CHIP_KINDS,
    OPTIONAL_PINS,
    ExternalMemory,
)
from boards.reader import Reader
from mla_hw.cycles.sdram import part_bytes
from mla_hw.devices import Device, find_device
from mla_hw.errors import ConfigError
from mla_hw.hardware import HardwareConfig
from mla_hw.program.instructions import MEMORY_ADDRESS_BITS
from mla_hw.yaml_lines import load_yaml_mapping

__all__ = [
    "ADAPTER_PINS",
    "INVERTED",
    "Board",
    "ExternalMemory",
    "TopPins",
    "list_boards",
    "load_board",
]

ADAPTER_PINS = ("clk", "rst", "scan_in", "scan_out")
"""Ports of the adapter that the core is synthesised in, each of which needs a pin."""

UART_PINS = ("rx", "tx")
LEVELS = ("high", "low")
INVERTIBLE = ("rst", "led")
"""Ports of a top that a board may have active low."""
INVERTED = 180
"""Phase of a memory chip's clock that the register at its pin makes of the core's clock alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TopPins:
    """Pins of a design that works on the board, beside clock and reset.

    Parameters
    ----------
    uart : mapping of str to str
        Pins ``rx`` (into the FPGA) and ``tx`` of the serial line.
    led : str
        Pin of a light.
    memory : mapping of str to tuple of str
        Pins of the memory chip, the lowest bit first: those of
        :data:`boards.memory.MEMORY_PINS`, and of :data:`~boards.memory.OPTIONAL_PINS` what is not
        tied. Empty for memory on the FPGA.
    memory_io : str
        Electrical standard of the memory's pins; that of the adapter's by default.
    options : mapping of str to mapping of str to str
        More settings of pins' buffers, in the family's names: of all pins of the ``memory``, of
        some by their names, of those that are ``tied``.
    clock_phase : float
        Degrees that the clock of an SDR SDRAM is behind the core's. Other than 180 it is a second
        output of an ECP5's PLL.
    active_low : tuple of str
        Which of :data:`INVERTIBLE` are 0 when the button is pressed or the light is on.
    tied : mapping of str to tuple of str
        Pins that have to be driven ``high`` or ``low``.
    """

    uart: Mapping[str, str]
    led: str
    memory: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    memory_io: str = ""
    options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    clock_phase: float = INVERTED
    active_low: tuple[str, ...] = ()
    tied: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


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
    clock_mhz : float
        Clock that the board supplies, in MHz.
    core_mhz : float
        Clock that the core is to reach, in MHz; the target of placement.
    memory : ExternalMemory
        Memory chip.
    hardware : mapping of str to object
        Default hardware configuration, in the keys of ``HardwareConfig``.
    package : str
        Package as nextpnr spells it.
    speed_grade : int
        Speed grade of the FPGA; 0 where there are none.
    io_standard : str
        Electrical standard of the adapter's pins.
    pins : mapping of str to str
        Package pin of each of :data:`ADAPTER_PINS`. A board that stands for any device has none.
    top : TopPins or None
        Pins of a design that works on the board.
    """

    name: str
    description: str
    device: Device
    clock_mhz: float
    core_mhz: float
    memory: ExternalMemory
    hardware: Mapping[str, Any]
    package: str = ""
    speed_grade: int = 0
    io_standard: str = ""
    pins: Mapping[str, str] = field(default_factory=dict)
    top: TopPins | None = None

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
            Contents of the file; the device is its name.
        path : Path or str, optional
            File that errors name; the board's name by default.
        lines : mapping of str to int, optional
            Line numbers from :func:`mla_hw.yaml_lines.load_yaml_mapping`.

        Raises
        ------
        ConfigError
            If a key is unknown, missing or of the wrong type, the device is unknown, or a pin is
            used twice, or there is no such hardware configuration.
        """
        reader = Reader(path or name, lines or {})
        values = reader.fields(cls, data, given={"name"})
        try:
            values["device"] = find_device(values["device"])
        except ConfigError as error:
            raise reader.error("device", str(error)) from None
        try:
            HardwareConfig.from_dict(values["hardware"])
        except ConfigError as error:
            raise reader.error("hardware", f"hardware: {error}") from None
        values["memory"] = memory = _memory(reader, values)
        if values["device"].family == "portable":
            if "top" in data:
                raise reader.error("top", f"'top' needs a device with pins, not {data['device']}")
        else:
            for key in ("package", "io_standard", "pins"):
                if key not in data:
                    raise reader.error("device", f"key {key!r} is missing")
            values["pins"] = reader.mapping(
                values["pins"], dict.fromkeys(ADAPTER_PINS, str), "pins."
            )
            reader.distinct((f"pins.{port}", pin) for port, pin in values["pins"].items())
        if "top" in data:
            values["top"] = _top_pins(reader, values["top"], memory, values["pins"])
            _check_family(reader, values)
        return cls(name=name, **values)

    def to_dict(self) -> dict[str, Any]:
        """Return the description that :meth:`from_dict` makes this board of."""
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)[1:]} | {
            "device": self.device.name,
            "pins": dict(self.pins),
            "memory": dataclasses.asdict(self.memory),
            "hardware": dict(self.hardware),
            "top": dataclasses.asdict(self.top) if self.top else None,
        }
        # What is not given has no value that a file could have.
        return {key: value for key, value in values.items() if value or key == "hardware"}


#: Degrees.
_TURN = 360
#: What the core can address, in MiB.
_LARGEST_MIB = (1 << MEMORY_ADDRESS_BITS) >> 20


def _memory(reader: Reader, values: Mapping[str, Any]) -> ExternalMemory:
    """Check the memory against device, clock and port."""
    memory = ExternalMemory(**reader.fields(ExternalMemory, values["memory"], "memory."))
    if memory.kind not in MEMORY_KINDS:
        kinds = ", ".join(MEMORY_KINDS)
        raise reader.error(
            "memory.kind", f"'memory.kind' must be one of {kinds}, not {memory.kind!r}"
        )
    if memory.size_mib > _LARGEST_MIB:
        raise reader.error(
            "memory.size_mib",
            f"'memory.size_mib' must be at most {_LARGEST_MIB}, not {memory.size_mib:g}",
        )
    if memory.kind in ON_CHIP_KINDS:
        device = values["device"]
        room = device.on_chip.get(memory.kind, 0)
        if not 0 < memory.size_bytes <= room:
            raise reader.error(
                "memory.size_mib",
                f"{device.name} has {room} bytes of {memory.kind}, not {memory.size_bytes}",
            )
        if memory.size_bytes.bit_count() != 1:
            raise reader.error(
                "memory.size_mib",
                f"'memory.size_mib' must be that of a power of two bytes, not {memory.size_mib:g}",
            )
        port_bits = 8 * HardwareConfig.from_dict(values["hardware"]).port_bytes
        if memory.width_bits != port_bits:
            raise reader.error(
                "memory.width_bits",
                f"'memory.width_bits' must be the {port_bits} of the port (hardware.port_bytes), "
                f"not {memory.width_bits}",
            )
    if "top" in values and memory.kind in BUS_CLOCKS:
        bus_mhz = BUS_CLOCKS[memory.kind] * values["core_mhz"]
        if memory.clock_mhz != bus_mhz:
            raise reader.error(
                "memory.clock_mhz",
                f"'memory.clock_mhz' must be {bus_mhz:g}, what core_mhz makes of it, not "
                f"{memory.clock_mhz:g}",
            )
        size = part_bytes(memory.part, memory.width_bits)
        if size not in (None, memory.size_bytes):
            raise reader.error(
                "memory.size_mib",
                f"'memory.size_mib' must be {size / 2**20:g}, what {memory.part} has with "
                f"{memory.width_bits} bits, not {memory.size_mib:g}",
            )
    return memory


def _top_pins(
    reader: Reader, data: Any, memory: ExternalMemory, adapter: Mapping[str, str]
) -> TopPins:
    values = reader.fields(TopPins, data, "top.")
    values["active_low"] = reader.choices(
        "top.active_low", values.get("active_low", ()), INVERTIBLE
    )
    phase = values.get("clock_phase", 0)
    if phase >= _TURN:
        raise reader.error(
            "top.clock_phase", f"'top.clock_phase' must be less than {_TURN}, not {phase:g}"
        )
    values["uart"] = reader.mapping(values["uart"], dict.fromkeys(UART_PINS, str), "top.uart.")
    needed = MEMORY_PINS.get(memory.kind, ())
    # Their values are texts or lists, which the next step tells apart.
    known = (*needed, *OPTIONAL_PINS.get(memory.kind, ()))
    listed = values.get("memory", {})
    pins = {}
    for key in reader.names(listed, known, needed, "top.memory."):
        pins[key] = reader.pins(f"top.memory.{key}", listed[key])
    if needed and len(pins["dq"]) != memory.width_bits:
        raise reader.error(
            "top.memory.dq",
            f"'top.memory.dq' must be memory.width_bits = {memory.width_bits} pins, not "
            f"{len(pins['dq'])}",
        )
    values["memory"] = pins
    options = values.get("options", {})
    for key in reader.names(options, ("memory", "tied", *known), (), "top.options."):
        reader.texts(f"top.options.{key}", options[key])
    tied = values.get("tied", {})
    values["tied"] = {
        key: reader.pins(f"top.tied.{key}", tied[key])
        for key in reader.names(tied, LEVELS, (), "top.tied.")
    }
    used = [(f"pins.{port}", adapter[port]) for port in ("clk", "rst")]
    used += [(f"top.uart.{port}", pin) for port, pin in values["uart"].items()]
    used.append(("top.led", values["led"]))
    for group, found in (("memory", pins), ("tied", values["tied"])):
        used += [(f"top.{group}.{key}", pin) for key, listed in found.items() for pin in listed]
    reader.distinct(used)
    return TopPins(**values)


def _check_family(reader: Reader, values: Mapping[str, Any]) -> None:
    """Refuse what the top of this family cannot be given."""
    top, family = values["top"], values["device"].family
    has_pll = family == "ecp5" and values["core_mhz"] != values["clock_mhz"]
    if top.clock_phase != INVERTED and not (has_pll and values["memory"].kind == "sdr"):
        raise reader.error(
            "top.clock_phase",
            f"'top.clock_phase' other than {INVERTED} needs an SDR SDRAM and the PLL of an ECP5",
        )
    if top.options and family == "ice40":
        raise reader.error("top.options", "'top.options': pins of an iCE40 have none")


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
