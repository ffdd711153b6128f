"""The steps of ``mla-hw synth``: adapter, Yosys, nextpnr and packer in a build folder."""

import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mla_hw.cli.families import UNITS, find_family
from mla_hw.cli.fpga_tools import find_tool, find_yosys, run_tool, tool_version
from mla_hw.cli.output_folder import make_folder
from mla_hw.design import Design, read_manifest, verilog_sources
from mla_hw.errors import ConfigError, ToolError
from mla_hw.host.protocol import DEFAULT_BAUD
from mla_hw.nextpnr_report import read_clock

if TYPE_CHECKING:
    from boards import Board

__all__ = ["SynthFlow", "Usage"]

# Long steps of the tools, by the line that each starts with.
YOSYS_STEPS = {
    "Executing PROC pass": "elaborating",
    "Executing SHARE pass": "optimising",
    "Executing MEMORY_LIBMAP pass": "mapping memories",
    "Executing DFFLEGALIZE pass": "mapping registers",
    "Executing ABC": "mapping logic",
}
MAX_ROUNDS = 200
"""Rounds of the router until no net is late. The cores of docs/decisions.md took 26 to 40."""
#: The placer counts as well, but no wires.
_ROUND = re.compile(r"^Info: +iter=(\d+) wires=")
NEXTPNR_STEPS = {
    "Info: Packing constants": "packing",
    "Info: Running Static placer": "placing",
    "Info: Running main analytical placer": "placing",
    "Info: Routing..": "routing",
    "Info: Running router2": "routing",
}


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of a resource is used, and how much the device has."""

    used: int
    available: int


class _LateNetsError(Exception):
    """The router takes up late nets for ever."""


class SynthFlow:
    """One run, each step of which leaves its files in ``directory/build/synth``.

    Parameters
    ----------
    directory : Path
        Folder that ``generate`` made.
    progress : callable
        Called with one line of text at each step.
    target_mhz : float, optional
        Clock that nextpnr is asked for; the board's by default.
    core : bool
        Build the core in its adapter, in place of the board's top with host link and memory.
    baud : int, optional
        Bits per second of the host link; the default one without it.

    Attributes
    ----------
    whole : bool
        Whether it is the board's top; a board without pins for one has none.
    timing_met : dict of int to bool
        Whether every clock reaches what is asked for, for each seed that was placed.

    Raises
    ------
    ConfigError
        If the folder is not a generated one, or its board stands for any device; the steps raise
        ToolError.
    """

    def __init__(
        self,
        directory: Path,
        progress: Callable[[str], None],
        target_mhz: float | None = None,
        *,
        core: bool = False,
        baud: int | None = None,
    ) -> None:
        # The outer packages, and with them Amaranth, are not loaded before they are needed.
        from boards import load_board

        manifest = _read_manifest(directory)
        self.progress = progress
        try:
            self.board: Board = load_board(manifest["board"])
        except ConfigError as error:
            raise ConfigError(f"{directory / 'manifest.json'}: board: {error}") from None
        self.family = find_family(self.board)
        self.target_mhz = target_mhz or self.board.core_mhz
        self.cells: dict[str, int] = {}
        self.luts_per_unit: dict[str, int] = {}
        self.extra_luts = 0
        self.hash: str = manifest["hash"]
        self.tools: dict[str, str] = {}
        self.timing_met: dict[int, bool] = {}
        self.sources = list(verilog_sources(directory, manifest))
        self.build = directory / "build" / "synth"
        self.netlist = self.build / "netlist.json"
        self.whole = self.board.top is not None and not core
        if self.whole and target_mhz not in (None, self.board.core_mhz):
            raise ConfigError(
                f"target_mhz: the clock of {self.board.name} is the {self.board.core_mhz:g} MHz of "
                f"its PLL, not {target_mhz:g}; a core alone can be asked for any"
            )
        if baud is not None and not self.whole:
            raise ConfigError(f"--baud: is for a host link; the core of {self.board.name} has none")
        if not core and not self.whole:
            self.progress(f"{self.board.name} has no pins for host link and memory: the core alone")
        texts = (
            self._board(directory, baud or DEFAULT_BAUD) if self.whole else self._adapter(manifest)
        )
        # Here nothing more is refused. A bitstream of an earlier run must not look like one of
        # this run.
        shutil.rmtree(self.build, ignore_errors=True)
        make_folder(self.build)
        for name, text in texts.items():
            self._write(name, text)
        self.sources += [self.build / name for name in texts if name != self.family.constraints]

    def _adapter(self, manifest: Mapping[str, Any]) -> dict[str, str]:
        """Put the core into the adapter; return Verilog and constraints by file."""
        from boards.pins import Pin
        from rtl_gen.synth_wrapper import WRAPPER_NAME, wrapper_verilog

        self.top = WRAPPER_NAME
        ports = ((name, p["direction"], p["width"]) for name, p in manifest["ports"].items())
        pins = {
            port: Pin(site=site, standard=self.board.io_standard)
            for port, site in self.board.pins.items()
        }
        return {
            "wrapper.v": wrapper_verilog(ports, buffer_sites=self.board.device.clock_buffer_sites),
            self.family.constraints: self.family.constrain(pins, self.target_mhz),
        }

    def _divisor(self, baud: int) -> int:
        """Return the clocks per bit of the host link."""
        from rtl_gen.host.uart import uart_divisor

        try:
            return uart_divisor(round(self.board.core_mhz * 1e6), baud)
        except ConfigError as error:
            raise ConfigError(
                f"--baud, at core_mhz {self.board.core_mhz:g} of {self.board.name}: {error}"
            ) from None

    def _board(self, directory: Path, baud: int) -> dict[str, str]:
        """Put the core behind the board's pins, with host link and memory; as :meth:`_adapter`."""
        from boards.top import board_top, top_pins
        from rtl_gen.verilog import emit_verilog

        self.top = "board_top"
        self.progress(f"emit Verilog of the top of {self.board.name}")
        divisor = self._divisor(baud)
        try:
            top, controller = board_top(self.board, Design.load(directory).core, divisor=divisor)
            pins = top_pins(self.board, top)
        except ConfigError as error:
            named = str(error).startswith(self.board.name)
            raise ConfigError(str(error) if named else f"{self.board.name}: {error}") from None
        head = (
            f"// What works on {self.board.name}: core, host link and memory. Made from\n"
            "// boards/top.py and rtl_gen/system.py, which are the readable source.\n\n"
        )
        texts = {name: head + text for name, text in emit_verilog(top, name=self.top).items()}
        if controller is not None:
            texts[f"{controller.name}.v"] = controller.verilog
        # What comes behind the PLL follows from its settings.
        constraints = self.family.constrain(pins, self.board.clock_mhz)
        return {**texts, self.family.constraints: constraints}

    def _write(self, name: str, text: str) -> None:
        (self.build / name).write_text(text, encoding="utf-8")

    def _read_json(self, name: str, tool: str) -> Any:
        try:
            return json.loads((self.build / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise ToolError(f"{tool} left no valid report in {self.build / name}") from None

    def synthesise(self) -> dict[str, int]:
        """Run Yosys and return the cells of the netlist."""
        reads = [
            f'read_verilog -sv "{os.path.relpath(source, self.build)}"' for source in self.sources
        ]
        script = [
            *self.family.script(self.top, reads, self.netlist.name),
            "tee -q -o cells.json stat -json",
        ]
        self._write("synth.ys", "\n".join(script) + "\n")
        command, program = find_yosys("synth.ys")
        self.progress(f"yosys: synthesis for {self.board.device.name}")
        self._run(command, "yosys", "yosys.log", YOSYS_STEPS)
        report = self._read_json("cells.json", "yosys")
        # "Yosys 0.70 (git sha1 ...)"
        self.tools["yosys"] = f"{report['creator'].split()[1]} ({program})"
        cells: dict[str, int] = report["design"]["num_cells_by_type"]
        # Notes on the hierarchy, which cost nothing.
        cells.pop("$scopeinfo", None)
        netlist = self._read_json(self.netlist.name, "yosys")
        module = netlist["modules"][self.top]
        for text, change, run in self.family.passes:
            if count := run(module):
                self.progress(f"yosys: {text.format(count)}")
                if change:
                    cells[self.family.flip_flops[0]] += change * count
        if self.family.floorplan and (count := self.family.floorplan(module, self.board.device)):
            self.progress(f"{count} multipliers of the array get their places")
        self._write(self.netlist.name, json.dumps(netlist))
        self.cells = dict(sorted(cells.items()))
        if self.family.extra_luts:
            self.extra_luts = self.family.extra_luts(module)
        self.luts_per_unit = luts_per_unit(module, self.family.lut_cells)
        return self.cells

    def pack(self) -> dict[str, Usage]:
        """Let nextpnr pack the netlist and return what it counts."""
        self._nextpnr("--pack-only", "--report", "pack.json", log="pack.log")
        counted = self._read_json("pack.json", "nextpnr")["utilization"]
        usage = {}
        for name in UNITS:
            if cell := self.family.rows.get(name):
                # Without any, there may be no row.
                entry = counted.get(cell, {"used": 0})
                available = entry.get("available", getattr(self.board.device, name))
                extra = self.extra_luts if name == "lut" else 0
                usage[name] = Usage(entry["used"] + extra, available)
            else:
                used = sum(
                    count
                    for cell, count in self.cells.items()
                    if cell.startswith(self.family.flip_flops)
                )
                usage[name] = Usage(used, getattr(self.board.device, name))
        return usage

    def place(self, seed: int) -> float:
        """Place and route with one seed and return the core's clock that is reached, in MHz."""
        stem = f"seed{seed}"
        self.progress(f"nextpnr: place and route, seed {seed}")
        options = (
            *("--seed", str(seed), *self.family.place, "--timing-allow-fail"),
            *("--report", f"{stem}.json", self.family.routed[0], stem + self.family.routed[1]),
        )
        try:
            rip_up = self.family.rip_up
            self._nextpnr(*options, *rip_up, log=f"{stem}.log", watched=bool(rip_up))
        except _LateNetsError:
            self.progress(
                f"nextpnr: seed {seed}: nets are still late after {MAX_ROUNDS} rounds; place and "
                "route again, and leave them so"
            )
            self._nextpnr(*options, log=f"{stem}.again.log")
        try:
            value, self.timing_met[seed] = read_clock(self.build / f"{stem}.json", self.target_mhz)
        except ConfigError as error:
            raise ToolError(f"nextpnr: {error} (log: {self.build / stem}.log)") from None
        verdict = "met" if self.timing_met[seed] else "missed"
        reached = f"reaches {value:.2f} MHz for {self.target_mhz:g}"
        self.progress(f"nextpnr: seed {seed} {reached}: timing {verdict}")
        return value

    def bitstream(self, seed: int) -> Path:
        """Pack the bitstream of one seed and return its path."""
        packer = self.family.packer
        tool = find_tool(packer.tool)
        self.tools[packer.tool] = tool_version(tool, packer.package)
        path = self.build / f"{self.board.name}{self.family.bitstream}"
        self.progress(f"{packer.tool}: bitstream of seed {seed}")
        arguments = packer.command(self.board, f"seed{seed}{self.family.routed[1]}", path.name)
        self._run([tool, *arguments], packer.tool, f"{packer.tool}.log")
        return path

    def _nextpnr(self, *options: str, log: str, watched: bool = False) -> None:
        tool = find_tool(self.family.nextpnr)
        if "nextpnr" not in self.tools:
            self.tools["nextpnr"] = tool_version(tool)
        command = [tool, *self.family.part(self.board)]
        if self.family.constraints_option.endswith("="):
            command.append(self.family.constraints_option + self.family.constraints)
        else:
            command += [self.family.constraints_option, self.family.constraints]
        if self.family.target:
            command += ["--freq", str(self.target_mhz)]
        command += ["--json", self.netlist.name, *options]

        def on_line(line: str) -> None:
            match = watched and _ROUND.search(line)
            if match and int(match[1]) > MAX_ROUNDS:
                raise _LateNetsError

        self._run(command, "nextpnr", log, NEXTPNR_STEPS, on_line)

    def _run(
        self,
        command: Sequence[str],
        name: str,
        log: str,
        steps: Mapping[str, str] | None = None,
        watch: Callable[[str], None] = lambda _: None,
    ) -> None:
        waiting = dict(steps or {})

        def on_line(line: str) -> None:
            watch(line)
            step = next((waiting[start] for start in waiting if start in line), None)
            if step:
                self.progress(f"{name}: {step}")
                for start in [start for start, other in waiting.items() if other == step]:
                    del waiting[start]

        run_tool(command, log=self.build / log, name=name, on_line=on_line)


def _read_manifest(directory: Path) -> dict[str, Any]:
    """Read the manifest and check the keys that synthesis needs."""
    path = directory / "manifest.json"
    manifest = read_manifest(directory)
    kinds = {"board": str, "hash": str, "ports": dict, "verilog": list}
    for key, kind in kinds.items():
        value = manifest.get(key)
        if not isinstance(value, kind):
            raise ConfigError(f"{path}: {key}: expected {kind.__name__}, not {value!r}")
    for name, port in manifest["ports"].items():
        if not isinstance(port, dict) or not isinstance(port.get("width"), int):
            raise ConfigError(f"{path}: ports: {name}: expected direction and width, not {port!r}")
        port.setdefault("direction", None)
    if "core" in manifest:
        # That nothing of it was edited.
        Design.load(directory)
    return manifest


def luts_per_unit(module: Mapping[str, Any], luts: Mapping[str, int]) -> dict[str, int]:
    """Add up the look-up tables of each unit, most first.

    Synthesis names a cell after one of the wires that it drives, so that what is between two units
    is of either. Units are instances in the core or in a board's system (link, memory); ``core``
    is what the core has beside its units.

    Parameters
    ----------
    module : dict
        The top module of a flat netlist, in the format of Yosys' ``write_json``, with the cells
        that tell the hierarchy.
    luts : mapping of str to int
        Look-up tables of each type of cells.
    """
    cells = module["cells"]
    scopes = {name for name, cell in cells.items() if cell["type"] == "$scopeinfo"}
    found: dict[str, int] = {}
    for name, cell in cells.items():
        if count := luts.get(cell["type"]):
            unit = _unit(name, scopes)
            found[unit] = found.get(unit, 0) + count
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _unit(cell: str, scopes: Collection[str]) -> str:
    """Return the unit that a cell is of, by the names of all instances."""
    owner = ""
    for part in ("system", "core"):
        if cell.startswith(f"{owner}{part}."):
            owner += f"{part}."
    unit = cell.removeprefix(owner).partition(".")[0]
    if owner and owner + unit in scopes:
        return unit
    return "core" if owner.endswith("core.") else "adapter and top"
