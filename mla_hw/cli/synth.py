"""``mla-hw synth``: resources of a generated core, and its clock after placement."""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mla_hw.cli.families import UNITS
from mla_hw.cli.output_folder import check_output, write_output
from mla_hw.cli.synth_flow import SynthFlow, Usage
from mla_hw.errors import CapacityError, ConfigError

__all__ = ["SynthReport", "Usage", "synth"]

#: nextpnr reads a seed as 64 bits.
_LAST_SEED = (1 << 64) - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class SynthReport:
    """Result of :func:`synth`.

    Parameters
    ----------
    board, device, package : str
        What was built for.
    speed_grade : int
        Speed grade of the device.
    design : str
        ``"board"``: the core with host link, memory controller and clocks; ``"core"``: the core in
        an adapter, whose counts have one flip-flop per bit of the core's ports more, and one
        look-up table per bit of its outputs.
    lut, ff, dsp, bram : Usage
        Resources as nextpnr counts them after packing. Where a flip-flop without a look-up table
        takes the place of one (iCE40, Gowin), ``lut`` has it, too.
    cells : mapping of str to int
        Cells of each type in the netlist.
    fmax_mhz : mapping of int to float
        Highest clock of the core in MHz for each seed; empty without placement.
    timing_met : mapping of int to bool
        Whether every clock of the design reaches what is asked for.
    bitstream : str or None
        Path of the bitstream of the fastest seed whose clocks are all met, or else of the fastest;
        None without placement.
    tools : mapping of str to str
        Version of each tool.
    hash : str
        Hash of the core's configuration, from its manifest.
    files : tuple of Path
        What was written: netlist, bitstream, report; not in the JSON. What else the tools have
        left lies beside the netlist.
    luts_per_unit : mapping of str to int
        Look-up tables of each unit, most first, as synthesis names its cells.
    """

    board: str
    device: str
    package: str
    speed_grade: int
    design: str
    lut: Usage
    ff: Usage
    dsp: Usage
    bram: Usage
    cells: Mapping[str, int]
    fmax_mhz: Mapping[int, float]
    timing_met: Mapping[int, bool]
    bitstream: str | None
    tools: Mapping[str, str]
    hash: str
    files: tuple[Path, ...]
    luts_per_unit: Mapping[str, int] = field(default_factory=dict)

    @property
    def fits(self) -> bool:
        """Whether the device has enough of every resource."""
        usages = (self.lut, self.ff, self.dsp, self.bram)
        return all(usage.used <= usage.available for usage in usages)

    def to_dict(self) -> dict[str, Any]:
        """Return the report in JSON's types; seeds become text."""
        data: dict[str, Any] = {
            name: getattr(self, name) for name in self.__slots__ if name != "files"
        }
        for name in UNITS:
            usage = data[name]
            data[name] = {"used": usage.used, "available": usage.available}
        data["cells"] = dict(self.cells)
        data["luts_per_unit"] = dict(self.luts_per_unit)
        for name in ("fmax_mhz", "timing_met"):
            data[name] = {str(seed): value for seed, value in data[name].items()}
        data["tools"] = dict(self.tools)
        return data


def synth(
    directory: Path | str,
    *,
    place: bool = False,
    core: bool = False,
    seeds: Sequence[int] = (1,),
    jobs: int = 1,
    baud: int | None = None,
    target_mhz: float | None = None,
    json_path: Path | str | None = None,
    progress: Callable[[str], None] | None = None,
) -> SynthReport:
    """Synthesise what works on a board, or the core alone; place and route it if asked for.

    Everything is written below ``directory/build/synth``.

    Parameters
    ----------
    directory : Path or str
        Folder that ``generate`` made: its manifest's ``board``, ``hash`` and ``ports``, and
        ``verilog/*.v`` with the top module ``accelerator``.
    place : bool
        Place and route with every seed, and pack a bitstream of the fastest.
    core : bool
        Build the core in an adapter, to see its own resources and clock, in place of the core with
        host link, memory controller and clocks. So it is for a board without pins for these.
    seeds : sequence of int
        Seeds of the placement.
    jobs : int
        Seeds that are placed at the same time.
    baud : int, optional
        Bits per second of the host link, :data:`~mla_hw.host.protocol.DEFAULT_BAUD` by default;
        the same has to be said to ``run``.
    target_mhz : float, optional
        Clock that nextpnr is asked for, with `core`; the board's by default.
    json_path : Path or str, optional
        File to write the report to.
    progress : callable, optional
        Called with one line of text at each step.

    Raises
    ------
    ConfigError
        If the folder is not a generated one, a whole board is to have another clock than its PLL
        makes, its clock does not make `baud`, a core alone is to have one, `jobs` is not positive,
        or `seeds` is empty, repeats one or has one that nextpnr does not take.
    CapacityError
        If the core is to be placed and the device is too small for it.
    ToolError
        If a tool is missing or fails; names its log file.
    """
    in_range = all(isinstance(seed, int) and 0 <= seed <= _LAST_SEED for seed in seeds)
    if not seeds or len(set(seeds)) != len(seeds) or not in_range:
        raise ConfigError(
            f"--seeds: must be different integers from 0 to {_LAST_SEED}, not {list(seeds)}"
        )
    if jobs < 1:
        raise ConfigError(f"--jobs: must be positive, not {jobs}")
    if json_path is not None:
        check_output(json_path, "--json")
    flow = SynthFlow(
        Path(directory), progress or (lambda _: None), target_mhz, core=core, baud=baud
    )
    cells = flow.synthesise()
    usage = flow.pack()
    fmax: dict[int, float] = {}
    bitstream = None
    if place:
        for name, unit in UNITS.items():
            if usage[name].used > usage[name].available:
                hint = "lower rows or columns (generate --hardware)"
                if name in ("lut", "ff"):
                    units = (f"{key} {count}" for key, count in flow.luts_per_unit.items())
                    hint += f"; look-up tables per unit: {', '.join(units)}"
                raise CapacityError(
                    usage[name].used,
                    usage[name].available,
                    unit,
                    flow.board.device.name,
                    hint,
                )
        with ThreadPoolExecutor(jobs) as pool:
            fmax = dict(zip(seeds, pool.map(flow.place, seeds), strict=True))
        # The fastest of those in which every clock is met, if there is one.
        bitstream = flow.bitstream(max(fmax, key=lambda seed: (flow.timing_met[seed], fmax[seed])))
    report = SynthReport(
        board=flow.board.name,
        device=flow.board.device.name,
        package=flow.board.package,
        speed_grade=flow.board.speed_grade,
        design="board" if flow.whole else "core",
        **usage,
        cells=cells,
        fmax_mhz=fmax,
        timing_met=flow.timing_met,
        bitstream=str(bitstream) if bitstream else None,
        tools=flow.tools,
        hash=flow.hash,
        files=tuple(
            Path(path) for path in (flow.netlist, bitstream, json_path) if path is not None
        ),
        luts_per_unit=flow.luts_per_unit,
    )
    if json_path is not None:
        write_output(json_path, json.dumps(report.to_dict(), indent=2) + "\n", "--json")
    return report
