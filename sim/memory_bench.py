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

__all__ = ["MemorySimulation", "Phase", "chip_parameters"]

_MODELS = Path(__file__).resolve().parent / "models"
_TOP = "bench"
_MEMORY = "memory_side"
_BROKEN = re.compile(r"^sdram error: cycle \d+: (.*)$", re.MULTILINE)


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
        sources += [_MODELS / name for name in (f"{self.core.family}_io.v", "sdram.v")]
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
        log = (self.folder / "test.log").read_text(encoding="utf-8", errors="replace")
        broken = _BROKEN.findall(log)
        return json.loads(result.read_text(encoding="utf-8")) | {"broken": broken}

    def _top(self, memory: LiteDram) -> str:
        """Return the Verilog of the top: ports of the bus, and the chip."""
        ports, wires, connections = [], [], []
        table = port_table(memory)
        for name, entry in table.items():
            width = int(entry["width"])
            size = f"[{width - 1}:0] " if width > 1 else ""
            connections.append(f".{name}({name})")
            if name.startswith("pads__"):
                wires.append(f"    wire {size}{name};")
            else:
                ports.append(f"    {entry['direction']} {size}{name}")
        pins = ("clk", "cke", "cs_n", "ras_n", "cas_n", "we_n", "ba", "a", "dqm")
        chip = [f".{pin}(pads__{pin})" for pin in pins] + [".dq(sdram_dq)", ".errors(errors)"]
        parameters = ", ".join(f".{name}({value})" for name, value in self.chip.items())
        lines = [
            f"module {_TOP} (\n" + ",\n".join([*ports, "    output [31:0] errors"]) + "\n);",
            *wires,
            f"    wire [{self.core.pads['dq'].width - 1}:0] sdram_dq;",
            f"    {_MEMORY} memory ({', '.join([*connections, '.sdram_dq(sdram_dq)'])});",
            f"    sdram #({parameters}) chip ({', '.join(chip)});",
            "endmodule\n",
        ]
        return "\n".join(lines)
