import re

import pytest

from mla_hw.cli.multiplier_sites import CROWDED, place_multipliers
from mla_hw.devices import find_device


def netlist(rows, columns, *, others=6, prefix="core."):
    cells = {
        f"{prefix}array_engine.array.mul_{row}_{column}.dsp": {"type": "MULT18X18D"}
        for row in range(rows)
        for column in range(columns)
    }
    cells |= {
        f"core.vector_engine.multiplier_{n}.dsp": {"type": "MULT18X18D"} for n in range(others)
    }
    cells["core.array_engine.array.acc_0_0.sum"] = {"type": "TRELLIS_FF"}
    return {"cells": cells}


def places(module):
    """Return (x, y, number in its block) by row and column of the array."""
    found = {}
    for name, cell in module["cells"].items():
        bel = cell.get("attributes", {}).get("BEL")
        if bel:
            x, y, z = map(int, re.fullmatch(r"X(\d+)/Y(\d+)/MULT18_(\d)", bel).groups())
            row, column = map(int, re.search(r"mul_(\d+)_(\d+)\.", name).groups())
            found[row, column] = x, y, z
    return found


@pytest.mark.parametrize(
    ("device", "rows", "columns"),
    [
        ("LFE5U-85F", 8, 16),
        ("LFE5U-85F", 16, 8),
        ("LFE5UM5G-85F", 3, 32),
        ("LFE5U-45F", 8, 8),
        ("LFE5U-25F", 2, 8),
    ],
)
@pytest.mark.parametrize("prefix", ["core.", "system.core."])
def test_every_multiplier_has_a_place_of_its_own(device, rows, columns, prefix):
    module = netlist(rows, columns, prefix=prefix)
    assert place_multipliers(module, find_device(device)) == rows * columns
    found = places(module)
    assert len(found) == len(set(found.values())) == rows * columns
    # A row of the array lies in a row of the device, its columns in order and next to each other.
    for row in range(rows):
        line = [found[row, column] for column in range(columns)]
        assert len({y for _, y, _ in line}) == 1
        assert [x for x, _, _ in line] == sorted(x for x, _, _ in line)
        assert line[-1][0] - line[0][0] <= 2.25 * columns + 6
    assert all(z in (0, 1, 4, 5) for _, _, z in found.values())


def test_rows_that_follow_each_other_are_neighbours():
    module = netlist(8, 16)
    place_multipliers(module, find_device("LFE5U-85F"))
    found = places(module)
    for row in range(7):
        (x, y, _), (next_x, next_y, _) = found[row, 0], found[row + 1, 0]
        assert (y == next_y and abs(next_x - x) < 45) or (next_y - y == 24 and x == next_x)


def test_the_sites_are_those_of_the_largest_device():
    sites = find_device("LFE5U-85F").multiplier_sites
    assert len(sites.rows) * len(sites.columns) == find_device("LFE5U-85F").dsp
    assert sites.name(5, 34) == "X14/Y34/MULT18_1"


@pytest.mark.parametrize("device", ["LFE5U-12F", "LFE5U-25F", "LFE5U-45F", "LFE5UM5G-85F"])
def test_every_device_has_as_many_sites_as_multipliers(device):
    sites = find_device(device).multiplier_sites
    assert len(sites.rows) * len(sites.columns) == find_device(device).dsp


def test_a_small_array_is_left_to_the_placer():
    module = netlist(4, 8)
    assert CROWDED * find_device("LFE5U-85F").dsp > 32
    assert place_multipliers(module, find_device("LFE5U-85F")) == 0
    assert not places(module)


@pytest.mark.parametrize(
    ("device", "rows", "columns"), [("LFE5U-25F", 1, 32), ("LFE5U-85F", 4, 32)]
)
def test_rows_without_room_are_left_to_the_placer(device, rows, columns):
    module = netlist(rows, columns)
    assert place_multipliers(module, find_device(device)) == 0
    assert not places(module)


def test_places_that_are_not_known():
    assert place_multipliers(netlist(4, 8), find_device("LIFCL-40")) == 0
