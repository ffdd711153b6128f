"""Simulation of what is on a board: core, host link, memory controller and memory chip.

The host is the driver of ``mla-hw run`` at the pins of the serial line (:mod:`sim.board_tests`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.steps import build_step, test_step

__all__ = ["MODULE", "BoardSimulation"]

_MODELS = Path(__file__).resolve().parent / "models"
_TOP = "bench"
#: Module of a :class:`boards.top.BoardTop`.
MODULE = "board_top"
_CHIP_PINS = ("clk", "cke", "cs_n", "ras_n", "cas_n", "we_n", "ba", "a", "dqm")


@dataclass(kw_only=True)
class BoardSimulation:
    """One board on one simulator.

    Parameters
    ----------
    folder : Path
        Where to build and run.
    design : Path
        Folder that ``generate`` made, with its image.
    sources : sequence of Path
        Verilog of the core and of everything else on the board.
    ports : mapping of str to int
        Widths of the ports of the board's top but the bidirectional ones.
    divisor : int
        Clocks per bit of the serial line.
    chip : mapping of str to int
        Parameters of ``sim/models/sdram.v``; none where the memory is on the FPGA.
    models : sequence of str
        Files of ``sim/models`` with twins of vendor cells.
    inverted_reset : bool
        Whether the board's button is 0 when it is pressed.
    simulator : str
        ``"verilator"`` or ``"icarus"``.
    """

    folder: Path
    design: Path
    sources: Sequence[Path]
    ports: Mapping[str, int]
    divisor: int
    chip: Mapping[str, int] = field(default_factory=dict)
    models: Sequence[str] = ()
    inverted_reset: bool = False
    simulator: str = "verilator"

    def build(self) -> None:
        """Compile the simulation.

        Raises
        ------
        ToolError
            If that fails; names the log file.
        """
        top = self.folder / f"{_TOP}.v"
        top.write_text(self._top(), encoding="utf-8")
        models = [*self.models, *(["sdram.v"] if self.chip else [])]
        sources = [*self.sources, top, *(_MODELS / name for name in models)]
        build_step(self.folder, self.simulator, _TOP, sources)

    def decode(self, x: NDArray[np.int64]) -> dict[str, Any]:
        """Load the image over the serial line and decode rows of quantised hidden states.

        Parameters
        ----------
        x : [tokens, hidden_size]

        Returns
        -------
        dict
            ``y`` [tokens, hidden_size], ``counters`` of each token, ``written`` bytes of the image,
            ``errors`` that the memory chip has counted, ``traffic`` of the link.

        Raises
        ------
        ToolError
            If the simulation fails; names the log file.
        """
        job = {
            "design": str(self.design),
            "divisor": self.divisor,
            "inverted_reset": self.inverted_reset,
            "x": x.tolist(),
        }
        (self.folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        result = self.folder / "result.json"
        result.unlink(missing_ok=True)
        test_step(self.folder, self.simulator, _TOP, "sim.board_tests")
        found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return found

    def _top(self) -> str:
        """Return the Verilog of the top: clock, reset and serial line outside, the chip inside."""
        outside = ("clk", "rst", "rx", "tx", "led")
        wires, connections = [], [f".{name}({name})" for name in outside]
        for name, width in self.ports.items():
            if name not in outside:
                wires.append(f"    wire [{width - 1}:0] {name};")
                connections.append(f".{name}({name})")
        chip = "    assign errors = 0;"
        if self.chip:
            wires.append(f"    wire [{self.chip['WIDTH'] - 1}:0] sdram_dq;")
            connections.append(".sdram_dq(sdram_dq)")
            pins = [
                f".{pin}({f'pads__{pin}' if f'pads__{pin}' in self.ports else _TIED[pin]})"
                for pin in _CHIP_PINS
            ]
            parameters = ", ".join(f".{name}({value})" for name, value in self.chip.items())
            joined = ", ".join([*pins, ".dq(sdram_dq)", ".errors(errors)"])
            chip = f"    sdram #({parameters}) chip ({joined});"
        lines = [
            f"module {_TOP} (input clk, rst, rx, output tx, led, output [31:0] errors);",
            *wires,
            f"    {MODULE} board ({', '.join(connections)});",
            chip,
            "endmodule\n",
        ]
        return "\n".join(lines)


#: What a board ties pins to that it does not connect.
_TIED = {"cke": "1'b1", "cs_n": "1'b0", "dqm": "0"}
