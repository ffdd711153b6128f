"""Carry chains of Nexus that begin with a constant, which nextpnr does not take.

Yosys' ABC9 ties the carry input of a chain's first cell to a constant that the cell does not use
(its issue 4081); nextpnr wants it open.
"""

from collections.abc import Mapping
from typing import Any

from mla_hw.errors import ToolError

__all__ = ["free_carry_inputs"]

#: Of a cell that hands the input A of its second half on as the carry.
_STARTS_CHAIN = {"INIT0": "0xFFFF", "INIT1": "0x00AA"}


def free_carry_inputs(module: Mapping[str, Any]) -> int:
    """Open carry inputs that are tied to a constant.

    Parameters
    ----------
    module : dict
        The top module of a flat netlist, in the format of Yosys' ``write_json``. It is changed.

    Returns
    -------
    int
        How many there were.

    Raises
    ------
    ToolError
        If a cell uses the constant.
    """
    cells: dict[str, Any] = module["cells"]
    constant = {"0", "1", "x"}
    for cell in cells.values():
        if cell["type"] in ("VLO", "VHI"):
            constant |= set(cell["connections"]["Z"])
    freed = 0
    for name, cell in cells.items():
        if cell["type"] == "CCU2" and constant & set(cell["connections"].get("CIN", ())):
            if any(cell["parameters"][key] != value for key, value in _STARTS_CHAIN.items()):
                raise ToolError(f"Yosys: carry chain {name} begins with a constant that it uses")
            del cell["connections"]["CIN"], cell["port_directions"]["CIN"]
            freed += 1
    return freed
