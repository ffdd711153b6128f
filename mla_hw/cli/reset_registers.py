"""Copies of registers that reset others, so that none reaches all over the device.

Synthesis for ECP5 leaves a reset as one net, and nextpnr does not take it for a global one: of a
core it was 9.5 ns long. Yosys merges equal registers, so they are doubled behind it.
"""

from collections import defaultdict
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

__all__ = ["MOST_RESETS", "split_resets"]

#: Registers that one register resets.
MOST_RESETS = 32


def split_resets(module: Mapping[str, Any], most: int = MOST_RESETS) -> int:
    """Double registers until none resets more than ``most``.

    What is reset by the same copy has names that follow each other, so that it is of one unit.

    Parameters
    ----------
    module : dict
        The top module of a flat netlist, in the format of Yosys' ``write_json``. It is changed.
    most : int

    Returns
    -------
    int
        How many registers are new.
    """
    cells: dict[str, Any] = module["cells"]
    registers = {
        cell["connections"]["Q"][0]: name
        for name, cell in cells.items()
        if cell["type"] == "TRELLIS_FF"
    }
    reset: dict[Any, list[str]] = defaultdict(list)
    for name in registers.values():
        reset[cells[name]["connections"]["LSR"][0]].append(name)
    free = 1 + max(bit for bits in _bits(module) for bit in bits if isinstance(bit, int))

    new = 0
    for bit, users in reset.items():
        if bit not in registers or len(users) <= most:
            continue
        users.sort()
        # The first ones stay with the register itself.
        for number, start in enumerate(range(most, len(users), most)):
            name = f"{registers[bit]}_copy_{number}"
            copy = deepcopy(cells[registers[bit]])
            copy["connections"]["Q"] = [free]
            cells[name] = copy
            module["netnames"][f"{name}_Q"] = {"hide_name": 1, "bits": [free], "attributes": {}}
            for user in users[start : start + most]:
                cells[user]["connections"]["LSR"] = [free]
            free += 1
            new += 1
    return new


def _bits(module: Mapping[str, Any]) -> list[list[Any]]:
    bits = [bits for cell in module["cells"].values() for bits in cell["connections"].values()]
    return bits + [port["bits"] for port in module["ports"].values()]
