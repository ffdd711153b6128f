"""Use of the output registers of ECP5's block RAM, which Yosys leaves out.

A block RAM of speed grade 6 gives its data 5.7 ns after the clock edge, with its output register
a good 4 ns earlier (nextpnr's timing of DP16KD). Where nothing but flip-flops without enable and
reset takes a port's data, the output register can do what they do (Lattice TN1264, "ECP5 and
ECP5-5G Memory Usage Guide").
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

__all__ = ["absorb_registers"]

#: The widest port of which each half of the outputs belongs to the port of its name.
_WIDEST = 18


def absorb_registers(module: Mapping[str, Any]) -> int:
    """Move flip-flops into the block RAMs whose data they take.

    Parameters
    ----------
    module : dict
        The top module of a flat netlist, in the format of Yosys' ``write_json``. It is changed: the
        flip-flops are gone, and their outputs are those of the block RAM.

    Returns
    -------
    int
        How many flip-flops are gone.
    """
    cells: dict[str, Any] = module["cells"]
    readers: dict[Any, list[tuple[str | None, str]]] = defaultdict(list)
    for name, cell in cells.items():
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] != "output":
                for bit in bits:
                    readers[bit].append((name, port))
    for name, port in module["ports"].items():
        if port["direction"] != "input":
            for bit in port["bits"]:
                readers[bit].append((None, name))

    gone = 0
    for ram in [cell for cell in cells.values() if cell["type"] == "DP16KD"]:
        if any(int(ram["parameters"][f"DATA_WIDTH_{port}"], 2) > _WIDEST for port in "AB"):
            continue
        for port in "AB":
            data = {
                output: bits[0]
                for output, bits in ram["connections"].items()
                if output.startswith(f"DO{port}") and readers[bits[0]]
            }
            clock = ram["connections"][f"CLK{port}"]
            registers = {
                output: _register(cells, readers[bit], clock) for output, bit in data.items()
            }
            if not registers or not all(registers.values()):
                continue
            ram["parameters"][f"REGMODE_{port}"] = "OUTREG"
            for output, register in registers.items():
                assert register is not None
                ram["connections"][output] = cells.pop(register)["connections"]["Q"]
                gone += 1
    return gone


def _register(
    cells: Mapping[str, Any], readers: list[tuple[str | None, str]], clock: list[Any]
) -> str | None:
    """Return the name of the flip-flop that is all that takes a bit in every cycle, if any."""
    if len(readers) != 1:
        return None
    name, port = readers[0]
    if name is None or cells[name]["type"] != "TRELLIS_FF" or port != "DI":
        return None
    parameters, connections = cells[name]["parameters"], cells[name]["connections"]
    free_running = parameters["CEMUX"].strip() == "1" and connections["LSR"] == ["0"]
    # The output register is 0 at first, too.
    free_running = free_running and parameters["REGSET"] == "RESET"
    return name if free_running and connections["CLK"] == clock else None
