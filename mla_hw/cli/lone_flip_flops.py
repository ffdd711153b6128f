"""Flip-flops of Gowin that take the place of a look-up table.

A flip-flop's data come from the look-up table beside it and from nowhere else, so that one which no
look-up table drives makes that table hand its data through. nextpnr counts both apart.
"""

from collections.abc import Mapping
from typing import Any

__all__ = ["lone_flip_flops"]

#: Outputs of look-up tables and adders, by cell type.
_OUTPUTS = {**{f"LUT{inputs}": "F" for inputs in range(1, 5)}, "ALU": "SUM"}


def lone_flip_flops(module: Mapping[str, Any]) -> int:
    """Count the flip-flops that have no look-up table of their own.

    Parameters
    ----------
    module : dict
        The top module of a flat netlist, in the format of Yosys' ``write_json``.
    """
    cells = module["cells"].values()
    free = {
        bit
        for cell in cells
        if cell["type"] in _OUTPUTS
        for bit in cell["connections"].get(_OUTPUTS[cell["type"]], ())
    }
    lone = 0
    for cell in cells:
        if cell["type"].startswith("DFF"):
            data = cell["connections"]["D"][0]
            if data in free:
                free.remove(data)
            else:
                lone += 1
    return lone
