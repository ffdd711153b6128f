"""Simulation of a memory controller with its chip, without a core.

The top joins :class:`rtl_gen.memory.litedram.LiteDram` and ``sim/models/sdram.v``. It is built once
per folder; a run executes a job, phase after phase (:mod:`sim.memory_tests`).
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rtl_gen.memory.litedram import LiteDram
from rtl_gen.memory.litedram_core import LiteDramCore
from rtl_gen.verilog import emit_verilog, port_table
from sim.steps import build_step, test_step

__all__ = [
    "CHIP_TIMES",
    "MODELS",
    "MemorySimulation",
    "Phase",
    "broken_rules",
    "chip_parameters",
    "instances",
    "signal_range",
]

#: Where the models of memories and cells are.
MODELS = Path(__file__).resolve().parent / "models"
_TOP = "bench"
_MEMORY = "memory_side"
_BROKEN = re.compile(r"^sdram error: cycle \d+: (.*)$", re.MULTILINE)


CHIP_TIMES: Mapping[str, Mapping[str, int]] = {
    "MT48LC16M16": {},
    "EM638325": {
        **{"T_RCD": 21_000, "T_RP": 21_000, "T_RAS": 49_000, "T_RC": 70_000, "T_RFC": 70_000},
        **{"T_RRD": 14_000, "T_WR": 25_000, "T_REFI": 15_625_000},
    },
    "M12L64322A": {
        **{"T_RCD": 15_000, "T_RP": 15_000, "T_RAS": 40_000, "T_RC": 55_000, "T_RFC": 55_000},
        **{"T_RRD": 10_000, "T_WR": 15_000, "T_REFI": 15_625_000},
    },
}
"""Parameters of ``sim/models/sdram.v`` by part, in picoseconds, where they are not its default."""


def chip_parameters(core: LiteDramCore, *, clock_mhz: float, column_bits: int) -> dict[str, int]:
    """Return the geometry of the chip model for a core, and its clock."""
    pads = core.pads
    return {
        "PERIOD": round(1e6 / clock_mhz),
        "WIDTH": pads["dq"].width,
        "BANK_BITS": pads["ba"].width,
        "ROW_BITS": pads["a"].width,
        "COLUMN_BITS": column_bits,
    }


def broken_rules(log: Path) -> list[str]:
    """Return what the chip has said in a simulation's log of every rule that was broken."""
    return _BROKEN.findall(log.read_text(encoding="utf-8", errors="replace"))


def instances(memory: LiteDram, name: str, chip: Mapping[str, int]) -> list[str]:
    """Return Verilog that joins a memory side and its chip.

    The other ports of the memory side, and the chip's ``errors``, are signals of these names.

    Parameters
    ----------
    memory : LiteDram
    name : str
        Its module.
    chip : mapping of str to int
        Parameters of ``sim/models/sdram.v``.
    """
    table = port_table(memory)
    pins = ("clk", "cke", "cs_n", "ras_n", "cas_n", "we_n", "ba", "a", "dqm")
    connections = [f".{pin}(pads__{pin})" for pin in pins]
    connections += [".dq(sdram_dq)", ".errors(errors)"]
    parameters = ", ".join(f".{key}({value})" for key, value in chip.items())
    return [
        *(
            f"    wire {signal_range(int(entry['width']))}{port};"
            for port, entry in table.items()
            if port.startswith("pads__")
        ),
        f"    wire {signal_range(memory.core.pads['dq'].width)}sdram_dq;",
        f"    {name} memory ({', '.join(f'.{port}({port})' for port in [*table, 'sdram_dq'])});",
        f"    sdram #({parameters}) chip ({', '.join(connections)});",
    ]


def signal_range(width: int) -> str:
    """Return the range of a signal in Verilog, with a space behind it."""
    return f"[{width - 1}:0] " if width > 1 else ""


@dataclass(kw_only=True)
class Phase:
    """Bursts that are under way together; the next phase begins when all are answered.

    Parameters
    ----------
    reads : sequence of (int, int)
        Address and beats.
    writes : sequence of (int, sequence of (int, int))
        Address, and data and strobes of every beat.
    stall : float
        Probability that a channel pauses in a cycle.
    outstanding : int
        Read bursts that are under way at once at most.
    """

    reads: Sequence[tuple[int, int]] = ()
    writes: Sequence[tuple[int, Sequence[tuple[int, int]]]] = ()
    stall: float = 0.0
    outstanding: int = 8


@dataclass(kw_only=True)
class MemorySimulation:
    """One memory side on one simulator.

    Parameters
    ----------
    folder : Path
        Where to build and run.
    core : LiteDramCore
    data_bits : int
        Width of the bus.
    chip : mapping of str to int
        Parameters of ``sim/models/sdram.v``.
    simulator : str
        ``"verilator"`` or ``"icarus"``.
    """

    folder: Path
    core: LiteDramCore
    data_bits: int
    chip: Mapping[str, int] = field(default_factory=dict)
    simulator: str = "verilator"

    def build(self) -> None:
        """Compile the simulation.

        Raises
        ------
        ToolError
            If that fails; names the log file.
        """
        memory = LiteDram(self.core, data_bits=self.data_bits)
        texts = emit_verilog(memory, name=_MEMORY)
        texts |= {f"{self.core.name}.v": self.core.verilog, f"{_TOP}.v": self._top(memory)}
        for name, text in texts.items():
            (self.folder / name).write_text(text, encoding="utf-8")
        sources = [self.folder / name for name in texts]
        sources += [MODELS / name for name in (f"{self.core.family}_io.v", "sdram.v")]
        build_step(self.folder, self.simulator, _TOP, sources)

    def run(self, phases: Sequence[Phase], *, seed: int = 0) -> Any:
        """Run a job; return its results, see :mod:`sim.memory_tests`.

        ``broken`` has what the chip says of every rule that was broken.

        Raises
        ------
        ToolError
            If the simulation fails; names the log file.
        """
        job = {"phases": [vars(phase) for phase in phases], "seed": seed}
        (self.folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        result = self.folder / "result.json"
        result.unlink(missing_ok=True)
        test_step(self.folder, self.simulator, _TOP, "sim.memory_tests")
        broken = broken_rules(self.folder / "test.log")
        return json.loads(result.read_text(encoding="utf-8")) | {"broken": broken}

    def _top(self, memory: LiteDram) -> str:
        """Return the Verilog of the top: ports of the bus, and the chip."""
        ports = [
            f"    {entry['direction']} {signal_range(int(entry['width']))}{name}"
            for name, entry in port_table(memory).items()
            if not name.startswith("pads__")
        ]
        lines = [
            f"module {_TOP} (\n" + ",\n".join([*ports, "    output [31:0] errors"]) + "\n);",
            *instances(memory, _MEMORY, self.chip),
            "endmodule\n",
        ]
        return "\n".join(lines)
