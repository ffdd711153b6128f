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

#: A block of this width has one write port, A, and one read port, B, with the outputs of both.
_WHOLE = 36


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
        for ports in _read_ports(ram):
            if not all(_plain(ram, port) for port in ports):
                continue
            data = {
                output: bits[0]
                for output, bits in ram["connections"].items()
                if output[:2] == "DO" and output[2] in ports and readers[bits[0]]
            }
            clock = ram["connections"][f"CLK{ports[0]}"]
            registers = {
                output: _register(cells, readers[bit], clock) for output, bit in data.items()
            }
            if not registers or not all(registers.values()):
                continue
            for port in ports:
                ram["parameters"][f"REGMODE_{port}"] = "OUTREG"
                ram["connections"][f"OCE{port}"] = ["1"]
            for output, register in registers.items():
                assert register is not None
                ram["connections"][output] = cells.pop(register)["connections"]["Q"]
                gone += 1
    return gone


def _read_ports(ram: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what is registered together: each port by itself, or the outputs of both.

    Of a block of the full width both output registers have to do the same in every cycle, so that
    it does not matter which of them holds what.
    """
    widths = {int(ram["parameters"][f"DATA_WIDTH_{port}"], 2) for port in "AB"}
    if _WHOLE not in widths:
        return "A", "B"
    connections = ram["connections"]
    always = connections["CEA"] == connections["CEB"] == ["1"]
    return ("AB",) if always and connections["CLKA"] == connections["CLKB"] else ()


def _plain(ram: Mapping[str, Any], port: str) -> bool:
    """Return whether a port has a rising clock and no reset, as the registers do."""
    clock = f"CLK{port}"
    rising = ram["parameters"].get(f"{clock}MUX", clock).strip() == clock
    return bool(rising and ram["connections"].get(f"RST{port}", ["0"]) == ["0"])


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
    free_running = free_running and parameters["CLKMUX"].strip() == "CLK"
    # The output register is 0 at first, too.
    free_running = free_running and parameters["REGSET"] == "RESET"
    return name if free_running and connections["CLK"] == clock else None
