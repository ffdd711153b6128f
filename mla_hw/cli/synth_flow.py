"""The steps of ``mla-hw synth``: adapter, Yosys, nextpnr and ecppack in a build folder."""

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mla_hw.cli.block_ram_registers import absorb_registers
from mla_hw.cli.fpga_tools import find_tool, find_yosys, run_tool, tool_version
from mla_hw.cli.output_folder import make_folder
from mla_hw.cli.reset_registers import split_resets
from mla_hw.design import Design, read_manifest, verilog_sources
from mla_hw.errors import ConfigError, ToolError

if TYPE_CHECKING:
    from boards import Board

__all__ = ["RESOURCES", "SynthFlow", "Usage"]

# Rows of the report: name, what nextpnr calls it, what errors call it.
RESOURCES = (
    ("lut", "TRELLIS_COMB", "look-up tables"),
    ("ff", "TRELLIS_FF", "flip-flops"),
    ("dsp", "MULT18X18D", "multipliers"),
    ("bram", "DP16KD", "block RAMs"),
)
# Long steps of the tools, by the line that each starts with.
YOSYS_STEPS = {
    "Executing PROC pass": "elaborating",
    "Executing SHARE pass": "optimising",
    "Executing MEMORY_LIBMAP pass": "mapping memories",
    "Executing DFFLEGALIZE pass": "mapping registers",
    "Executing ABC": "mapping logic",
}
NEXTPNR_STEPS = {
    "Info: Packing constants": "packing",
    "Info: Running Static placer": "placing",
    "Info: Running router2": "routing",
}


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of a resource is used, and how much the device has."""

    used: int
    available: int


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

    Raises
    ------
    ConfigError
        If the folder is not a generated one; the steps raise ToolError.
    """

    def __init__(
        self, directory: Path, progress: Callable[[str], None], target_mhz: float | None = None
    ) -> None:
        # The outer packages, and with them Amaranth, are not loaded before they are needed.
        from boards import load_board
        from rtl_gen.synth_wrapper import WRAPPER_NAME, wrapper_verilog

        manifest = _read_manifest(directory)
        self.progress = progress
        try:
            self.board: Board = load_board(manifest["board"])
        except ConfigError as error:
            raise ConfigError(f"{directory / 'manifest.json'}: board: {error}") from None
        self.hash: str = manifest["hash"]
        self.tools: dict[str, str] = {}
        self.sources = verilog_sources(directory, manifest)
        self.build = directory / "build" / "synth"
        self.netlist = self.build / "netlist.json"
        # A bitstream of an earlier run must not look like one of this run.
        shutil.rmtree(self.build, ignore_errors=True)
        make_folder(self.build)
        self.top = WRAPPER_NAME
        ports = ((name, p["direction"], p["width"]) for name, p in manifest["ports"].items())
        self._write("wrapper.v", wrapper_verilog(ports))
        self._write("pins.lpf", _constraints(self.board, target_mhz or self.board.core_mhz))

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
        # Pairs of look-up tables joined by multiplexers are hard to place: 89 against 93 MHz.
        synthesis = f"synth_ecp5 -nowidelut -top {self.top}"
        script = [
            *reads,
            "read_verilog -sv wrapper.v",
            f"{synthesis} -run begin:coarse",
            "proc",
            "flatten",
            # Yosys keeps a wire of this attribute, but merges the registers that drive it.
            "setattr -set keep 1 a:keep w:* %i %ci1:+[Q] t:*dff* %i",
            f"{synthesis} -json {self.netlist.name} -run coarse:",
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
        if gone := absorb_registers(module):
            cells["TRELLIS_FF"] -= gone
            self.progress(f"yosys: {gone} registers moved into block RAMs")
        if new := split_resets(module):
            cells["TRELLIS_FF"] += new
            self.progress(f"yosys: {new} copies of registers that reset many others")
        self._write(self.netlist.name, json.dumps(netlist))
        return dict(sorted(cells.items()))

    def pack(self) -> dict[str, Usage]:
        """Let nextpnr pack the netlist and return what it counts."""
        self._nextpnr("--pack-only", "--report", "pack.json", log="pack.log")
        counted = self._read_json("pack.json", "nextpnr")["utilization"]
        return {
            name: Usage(counted[cell]["used"], counted[cell]["available"])
            for name, cell, _ in RESOURCES
        }

    def place(self, seed: int) -> float:
        """Place and route with one seed and return the clock that is reached, in MHz."""
        stem = f"seed{seed}"
        self.progress(f"nextpnr: place and route, seed {seed}")
        self._nextpnr(
            *("--seed", str(seed), "--placer", "static", "--router", "router2"),
            "--timing-allow-fail",
            *("--report", f"{stem}.json", "--textcfg", f"{stem}.config"),
            log=f"{stem}.log",
        )
        clocks = self._read_json(f"{stem}.json", "nextpnr")["fmax"].values()
        if not clocks:
            raise ToolError(f"nextpnr found no clocked path (log: {self.build / stem}.log)")
        value = round(min(float(clock["achieved"]) for clock in clocks), 2)
        self.progress(f"nextpnr: seed {seed} reaches {value:.2f} MHz")
        return value

    def bitstream(self, seed: int) -> Path:
        """Pack the bitstream of one seed and return its path."""
        tool = find_tool("ecppack")
        self.tools["ecppack"] = tool_version(tool)
        path = self.build / f"{self.board.name}.bit"
        self.progress(f"ecppack: bitstream of seed {seed}")
        command = [tool, "--compress", "--input", f"seed{seed}.config", "--bit", path.name]
        self._run(command, "ecppack", "ecppack.log")
        return path

    def _nextpnr(self, *options: str, log: str) -> None:
        tool = find_tool("nextpnr-ecp5")
        if "nextpnr" not in self.tools:
            self.tools["nextpnr"] = tool_version(tool)
        command = [
            *(tool, self.board.device.place_option, "--package", self.board.package),
            *("--speed", str(self.board.speed_grade), "--lpf", "pins.lpf"),
            *("--json", self.netlist.name, *options),
        ]
        self._run(command, "nextpnr", log, NEXTPNR_STEPS)

    def _run(
        self, command: Sequence[str], name: str, log: str, steps: Mapping[str, str] | None = None
    ) -> None:
        waiting = dict(steps or {})

        def on_line(line: str) -> None:
            for start in waiting:
                if start in line:
                    self.progress(f"{name}: {waiting.pop(start)}")
                    return

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


def _constraints(board: "Board", target_mhz: float) -> str:
    """Write pins and target clock in Lattice's preference format."""
    lines = [f'FREQUENCY PORT "clk" {target_mhz} MHZ;']
    for port, pin in board.pins.items():
        lines.append(f'LOCATE COMP "{port}" SITE "{pin}";')
        lines.append(f'IOBUF PORT "{port}" IO_TYPE={board.io_standard};')
    return "\n".join(lines) + "\n"
