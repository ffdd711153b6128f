import json

import pytest

from boards import load_board
from boards.pins import Pin
from mla_hw.cli.carry_inputs import free_carry_inputs
from mla_hw.cli.families import FAMILIES, UNITS, find_family
from mla_hw.cli.fpga_tools import find_yosys, run_tool
from mla_hw.cli.lone_flip_flops import lone_flip_flops
from mla_hw.cli.synth import synth
from mla_hw.cli.synth_flow import luts_per_unit
from mla_hw.devices import DEVICES
from mla_hw.errors import CapacityError, ConfigError, ToolError
from mla_hw.hardware import MULTIPLIER_KINDS
from rtl_gen import resources
from rtl_gen.accelerator import Accelerator
from rtl_gen.units.systolic_array import SystolicArray
from rtl_gen.verilog import emit_verilog, port_table
from tests.boards.test_resources import core_of

BOARDS = {
    "ecp5": "ulx3s-25f",
    "ice40": "icebreaker",
    "gowin": "tangnano20k",
    "nexus": "crosslink-nx-evn",
}
BITSTREAMS = {
    "ecp5": ".bit",
    "ice40": ".bin",
    "gowin": ".fs",
    "nexus": ".bit",
}
families = pytest.mark.parametrize("family", BOARDS)


def write_folder(directory, family, text, ports):
    """Write Verilog in the form that ``generate`` leaves, as the core of a family's board."""
    (directory / "verilog").mkdir(parents=True)
    (directory / "verilog" / "core.v").write_text(text, encoding="utf-8")
    manifest = {"board": BOARDS[family], "hash": "0", "ports": ports, "verilog": ["core.v"]}
    (directory / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def test_families_are_those_of_the_devices_and_of_the_multiplier():
    assert {device.family for device in DEVICES.values()} == {*FAMILIES, "portable"}
    assert {*FAMILIES, "portable"} == set(MULTIPLIER_KINDS)
    assert all(set(family.rows) <= set(UNITS) for family in FAMILIES.values())


def test_a_board_for_any_device_has_no_tools(tmp_path):
    with pytest.raises(ConfigError, match="board generic-axi stands for any device: there is not"):
        find_family(load_board("generic-axi"))


PULLS = {
    "ecp5": ("down", {"SLEWRATE": "FAST"}),
    "ice40": ("up", {}),
    "gowin": ("down", {}),
    "nexus": ("up", {}),
}


@pytest.mark.parametrize(
    ("family", "name", "lines"),
    [
        (
            "ecp5",
            "pins.lpf",
            [
                'FREQUENCY PORT "clk" 50 MHZ;',
                'LOCATE COMP "clk" SITE "G2";',
                'IOBUF PORT "clk" IO_TYPE=LVCMOS33;',
                'LOCATE COMP "rst" SITE "R1";',
                'IOBUF PORT "rst" IO_TYPE=LVCMOS33 PULLMODE=DOWN SLEWRATE=FAST;',
            ],
        ),
        ("ice40", "pins.pcf", ["set_io clk 35", "set_io -pullup yes rst 10"]),
        (
            "gowin",
            "pins.cst",
            [
                'IO_LOC "clk" 4;',
                'IO_PORT "clk" IO_TYPE=LVCMOS33;',
                'IO_LOC "rst" 88;',
                'IO_PORT "rst" IO_TYPE=LVCMOS33 PULL_MODE=DOWN;',
            ],
        ),
        (
            "nexus",
            "pins.pdc",
            [
                "ldc_set_location -site {L13} [get_ports clk]",
                "ldc_set_port -iobuf {IO_TYPE=LVCMOS33} [get_ports clk]",
                "ldc_set_location -site {G14} [get_ports rst]",
                "ldc_set_port -iobuf {IO_TYPE=LVCMOS33 PULLMODE=UP} [get_ports rst]",
            ],
        ),
    ],
)
def test_constraints(family, name, lines):
    board = load_board(BOARDS[family])
    tools = find_family(board)
    assert tools.constraints == name
    clock = Pin(site=board.pins["clk"], standard=board.io_standard)
    pull, options = PULLS[family]
    reset = Pin(site=board.pins["rst"], standard=board.io_standard, pull=pull, options=options)
    assert tools.constrain({"clk": clock, "rst": reset}, 50).splitlines() == lines


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("ecp5", ["--25k", "--package", "CABGA381", "--speed", "6"]),
        ("ice40", ["--up5k", "--package", "sg48"]),
        ("gowin", ["--device", "GW2AR-LV18QN88C8/I7", "--vopt", "family=GW2A-18C"]),
        ("nexus", ["--device", "LIFCL-40-9BG400C"]),
    ],
)
def test_options_that_select_the_device(family, options):
    board = load_board(BOARDS[family])
    assert find_family(board).part(board) == options


def cell(kind, **connections):
    return {
        "type": kind,
        "connections": {name: [bit] for name, bit in connections.items()},
        "port_directions": dict.fromkeys(connections, "input"),
    }


def test_carry_inputs_are_freed_of_constants():
    cells = {
        "zero": cell("VLO", Z=5),
        "first": cell("CCU2", CIN=5, COUT=6) | CHAIN_START,
        "second": cell("CCU2", CIN=6, COUT=7) | ADDER,
        "other": cell("CCU2", CIN="0", COUT=8) | CHAIN_START,
    }
    assert free_carry_inputs({"cells": cells}) == 2
    assert [("CIN" in cells[name]["connections"]) for name in ("first", "second", "other")] == [
        False,
        True,
        False,
    ]
    assert "CIN" not in cells["first"]["port_directions"]
    assert free_carry_inputs({"cells": cells}) == 0


def test_a_carry_input_that_counts_is_not_freed():
    cells = {"one": cell("VHI", Z=5), "adder": cell("CCU2", CIN=5, COUT=6) | ADDER}
    with pytest.raises(ToolError, match="carry chain adder begins with a constant that it uses"):
        free_carry_inputs({"cells": cells})


# As Yosys makes them of the start of a chain, and of two bits of a sum.
CHAIN_START = {"parameters": {"INIT0": "0xFFFF", "INIT1": "0x00AA", "INJECT": "NO"}}
ADDER = {"parameters": {"INIT0": "0x96AA", "INIT1": "0x96AA", "INJECT": "NO"}}


def test_flip_flops_without_a_look_up_table_are_counted():
    cells = {
        "table": cell("LUT3", F=1),
        "adder": cell("ALU", SUM=2),
        "wide": cell("MUX2_LUT5", O=3),
        "its own": cell("DFF", D=1),
        "of the same": cell("DFFRE", D=1),
        "sum": cell("DFFE", D=2),
        "multiplexer's": cell("DFF", D=3),
        "pin's": cell("DFF", D=4),
    }
    assert lone_flip_flops({"cells": cells}) == 3


def test_look_up_tables_are_added_up_by_unit():
    cells = {
        "core": cell("$scopeinfo"),
        "core.reader": cell("$scopeinfo"),
        "core.reader.sub": cell("$scopeinfo"),
        "core.writer": cell("$scopeinfo"),
        "core.reader.a_LUT4_Z": cell("LUT4"),
        "core.reader.sub.b_CCU2_S0": cell("CCU2"),
        "core.writer.c_LUT4_Z": cell("LUT4"),
        "core.y_LUT4_Z": cell("LUT4"),
        # A field of a signal.
        "core.give.reader_LUT4_Z": cell("LUT4"),
        "signature_LUT4_Z": cell("LUT4"),
        "core.writer.d_FF": cell("FD1P3IX"),
    }
    found = luts_per_unit({"cells": cells}, {"LUT4": 1, "CCU2": 2})
    wanted = [("reader", 3), ("core", 2), ("adapter and top", 1), ("writer", 1)]
    assert list(found.items()) == wanted


@pytest.mark.synth
@pytest.mark.slow
@families
def test_an_array_of_each_family_is_placed_with_its_multipliers(tmp_path, family):
    core = core_of("tiny-v3", family, rows=1, columns=2)
    array = SystolicArray(core)
    text = "\n".join(emit_verilog(array, name="array").values())
    ports = port_table(array)
    head = ", ".join(f"{p['direction']} [{p['width'] - 1}:0] {name}" for name, p in ports.items())
    connections = ", ".join(f".{name}({name})" for name in ports)
    # The unit has no reset.
    text += f"module accelerator(input rst, {head});\n array array ({connections});\nendmodule\n"
    write_folder(tmp_path, family, text, ports)
    report = synth(tmp_path, place=True, seeds=(2,), core=True)
    assert report.fits
    assert all(report.cells.values())
    assert report.dsp.used == 2
    assert report.bram.used == 0
    assert report.fmax_mhz[2] > 20
    assert report.lut.used <= sum(report.luts_per_unit.values()) + report.ff.used
    assert report.bitstream.endswith(f"{BOARDS[family]}{BITSTREAMS[family]}")
    assert {"yosys", "nextpnr", find_family(load_board(BOARDS[family])).packer.tool} == set(
        report.tools
    )
    assert all(version[0].isdigit() for version in report.tools.values())


TOO_LARGE = """\
module neighbours(input clk, input [7:0] a, output [7:0] y);
    reg [5399:0] bits;
    always @(posedge clk) bits <= {bits[5391:0], a} ^ {a, bits[5399:8]};
    assign y = bits[2703:2696];
endmodule
module accelerator(input clk, input rst, input [7:0] a, output [7:0] y);
    neighbours neighbours (.clk(clk), .a(a), .y(y));
endmodule
"""


@pytest.mark.synth
@pytest.mark.slow
def test_too_few_look_up_tables_are_said_with_those_of_each_unit(tmp_path):
    port = {"width": 8, "direction": "input"}
    ports = {"a": port, "y": port | {"direction": "output"}}
    write_folder(tmp_path, "ice40", TOO_LARGE, ports)
    report = synth(tmp_path, core=True)
    assert report.lut.used > report.lut.available == 5280
    assert not report.fits
    with pytest.raises(CapacityError) as caught:
        synth(tmp_path, place=True, core=True)
    message = str(caught.value)
    assert f"needs {report.lut.used} look-up tables, has 5280" in message
    assert f"; look-up tables per unit: neighbours {report.luts_per_unit['neighbours']}" in message
    assert "\n" not in message


# Block RAMs of Gowin and iCE40 are an upper bound: synthesis drops bits that nothing reads, and the
# width of their blocks lets it show.
SLACK = {"nexus": 0, "gowin": 3, "ice40": 10}


@pytest.mark.synth
@pytest.mark.slow
@pytest.mark.parametrize("family", SLACK)
def test_counts_of_a_core_are_those_of_synthesis(tmp_path, family):
    device = load_board(BOARDS[family]).device
    core = core_of("tiny-v3", family, rows=1, columns=2, tile_tokens=16, port_bytes=4)
    text = "\n".join(emit_verilog(Accelerator(core), name="top").values())
    (tmp_path / "top.v").write_text(text, encoding="utf-8")
    script = FAMILIES[family].script("top", ["read_verilog -sv top.v"])
    script.append("tee -q -o cells.json stat -json")
    (tmp_path / "run.ys").write_text("\n".join(script) + "\n", encoding="utf-8")
    command, _ = find_yosys("run.ys")
    run_tool(command, log=tmp_path / "run.log", name="yosys")
    report = json.loads((tmp_path / "cells.json").read_text(encoding="utf-8"))
    cells = report["design"]["num_cells_by_type"]
    block = {"ice40": "SB_MAC16", "gowin": "MULT18X18", "nexus": "MULT18X18"}[family]
    assert cells[block] == resources.count_multipliers(core)
    mapping = resources.map_memories(core, device)
    blocks = sum(cells.get(name, 0) for name in device.block_cell.names)
    assert mapping.blocks - SLACK[family] <= blocks <= mapping.blocks
    if device.distributed_cell:
        distributed = sum(cells.get(name, 0) for name in device.distributed_cell.names)
        assert 0.8 * mapping.distributed < distributed <= mapping.distributed
