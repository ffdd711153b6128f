"""Places for the multipliers of a systolic array, where an array fills the device.

A placer that does not know that the netlist is a grid spreads its rows over one another: of 128
multipliers on an LFE5U-85F the wires between them are half as long again, and are not routed. Each
row of the array gets neighbouring multipliers, and the next row those above or beside them.
"""

import re
from collections.abc import Mapping
from typing import Any

from mla_hw.devices import Device, MultiplierSites

__all__ = ["CROWDED", "place_multipliers"]

CROWDED = 0.5
"""Share of the device's multipliers from which on an array is placed by hand."""

_NAME = re.compile(r"\barray_engine\.array\.mul_(\d+)_(\d+)\.")


def place_multipliers(module: Mapping[str, Any], device: Device) -> int:
    """Give the multipliers of a large array their places.

    Parameters
    ----------
    module : dict
        The top module of a flat netlist, in the format of Yosys' ``write_json``. Attribute ``BEL``
        is set.
    device : Device

    Returns
    -------
    int
        How many have one; 0 for a small array, and where the device's places are not known or its
        rows have no room for those of the array.
    """
    cells = {
        (int(match[1]), int(match[2])): cell
        for name, cell in module["cells"].items()
        if (match := _NAME.search(name)) and cell["type"] == "MULT18X18D"
    }
    sites = device.multiplier_sites
    if sites is None or len(cells) < CROWDED * device.dsp:
        return 0
    rows, columns = (max(place) + 1 for place in zip(*cells, strict=True))
    starts = _row_starts(sites, rows, columns)
    for (row, column), cell in cells.items():
        if starts:
            y, first = starts[row]
            cell.setdefault("attributes", {})["BEL"] = sites.name(first + column, y)
    return len(cells) if starts else 0


def _row_starts(sites: MultiplierSites, rows: int, columns: int) -> list[tuple[int, int]]:
    """Return the device's row and the first multiplier in it for each row of the array.

    As many rows of the array as there is room for lie side by side; where they turn into the next
    row of the device, the one below is where the last one was.
    """
    length = len(sites.columns)
    beside = length // columns
    if not beside or rows > beside * len(sites.rows):
        return []
    # They are spread over the width of the device, for the logic around them needs room.
    step = (length - columns) // (beside - 1) if beside > 1 else 0
    starts = []
    for number, y in enumerate(sites.rows):
        places = [(y, step * place) for place in range(beside)]
        starts += places if number % 2 == 0 else places[::-1]
    # What is left over is left where the array begins.
    return starts[len(starts) - rows :]
