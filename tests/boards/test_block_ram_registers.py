import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from amaranth import Module, Signal
from amaranth.back import verilog
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from mla_hw.cli.block_ram_registers import absorb_registers
from mla_hw.cli.fpga_tools import find_yosys, run_tool
from rtl_gen.units.simple_memory import SimpleMemory

CYCLES = 3000
# Width, depth, parts: a block of each shape, slices, several blocks, bytes, the full width.
MEMORIES = [
    (1, 16384, 1),
    (4, 4096, 1),
    (8, 2048, 1),
    (16, 1024, 1),
    (24, 3000, 1),
    (64, 1000, 8),
    (36, 512, 1),
    (64, 300, 1),
]


class Reader(wiring.Component):
    """One block RAM whose data ``behind`` a register, or otherwise, are the output."""

    def __init__(self, behind, width=16):
        self.behind, self.width = behind, width
        self.address_bits = 10 if width <= 18 else 9
        super().__init__({
            "w": In(width),
            "address": In(self.address_bits),
            "r_address": In(self.address_bits),
            "en": In(1),
            "data": Out(width),
            "early": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.storage = storage = memory.Memory(
            shape=self.width,
            depth=1 << self.address_bits,
            init=[],
            attrs={"no_rw_check": 1},
        )
        w_port, r_port = storage.write_port(), storage.read_port()
        m.d.comb += [w_port.addr.eq(self.address), w_port.data.eq(self.w), w_port.en.eq(self.en)]
        m.d.comb += r_port.addr.eq(self.r_address)
        if self.behind == "read enable":
            m.d.comb += r_port.en.eq(self.en)
        data = Signal(self.width, reset_less=self.behind != "reset")
        if self.behind == "enabled":
            with m.If(self.en):
                m.d.sync += data.eq(r_port.data)
        elif self.behind == "nothing":
            m.d.comb += data.eq(r_port.data)
        elif self.behind == "logic":
            m.d.sync += data.eq(~r_port.data)
        else:
            m.d.sync += data.eq(r_port.data)
        if self.behind == "shared":
            m.d.comb += self.early.eq(r_port.data[3])
        m.d.comb += self.data.eq(data)
        return m


def synthesise(folder, design):
    """Write RTL and netlist, with registers moved; return what was moved and the block RAMs."""
    rtl = verilog.convert(design, name="top", emit_src=False)
    (folder / "rtl.v").write_text(rtl, encoding="utf-8")
    _yosys(folder, "read_verilog -sv rtl.v", "synth_ecp5 -nowidelut -top top -json netlist.json")
    netlist = json.loads((folder / "netlist.json").read_text(encoding="utf-8"))
    module = netlist["modules"]["top"]
    gone = absorb_registers(module)
    rams = [cell for cell in module["cells"].values() if cell["type"] == "DP16KD"]
    for ram in rams:
        # Yosys has a model without a function, which is not to be taken.
        ram["type"] = "block_ram"
    (folder / "netlist.json").write_text(
        json.dumps({"modules": {"netlist": module}}), encoding="utf-8"
    )
    return gone, rams


def _yosys(folder, *script):
    (folder / "run.ys").write_text("\n".join(script) + "\n", encoding="utf-8")
    command, _ = find_yosys("run.ys")
    run_tool(command, log=folder / "yosys.log", name="yosys")


def _model():
    """Return the block RAM of ``dp16kd.v`` with its many ports written out."""
    text = Path(__file__).with_name("dp16kd.v").read_text(encoding="utf-8")
    widths = {"AD": 14, "DI": 18, "DO": 18}
    names = {f"{kind}{port}": width for kind, width in widths.items() for port in "AB"}
    ports = [
        f"    {'output' if name.startswith('DO') else 'input'} {name}{i}"
        for name, width in names.items()
        for i in range(width)
    ]
    for port in "AB":
        controls = ("CLK", "CE", "WE", "OCE", "RST")
        ports += [f"    input {name}{port}" for name in controls]
        ports += [f"    input CS{port}{i}" for i in range(3)]
    text = text.replace("@PORTS@", ",\n".join(ports))
    for name, width in names.items():
        text = text.replace(f"@{name}@", ", ".join(f"{name}{i}" for i in reversed(range(width))))
    return text


@pytest.mark.synth
@pytest.mark.icarus
@pytest.mark.slow
@pytest.mark.parametrize("shape", MEMORIES, ids=str)
def test_the_netlist_does_what_the_memory_does(tmp_path, shape):
    width, depth, parts = shape
    design = SimpleMemory(width, depth, parts=parts)
    gone, rams = synthesise(tmp_path, design)
    assert gone
    assert gone % width == 0
    assert all(ram["parameters"]["REGMODE_B"] == "OUTREG" for ram in rams)

    (tmp_path / "dp16kd.v").write_text(_model(), encoding="utf-8")
    rng = np.random.default_rng(1)
    address_bits = (depth - 1).bit_length()
    # Few addresses, so that most reads find what was written.
    places = rng.integers(0, depth, 40)
    lines = []
    for _ in range(CYCLES):
        w, r = rng.choice(places, 2, replace=False)
        en, data = rng.integers(0, 1 << parts), int(rng.integers(0, 1 << 62)) % (1 << width)
        write = data << (address_bits + parts) | int(w) << parts | int(en)
        lines.append(f"w = {width + address_bits + parts}'d{write}; address = {r}; step;")
    bench = f"""
        module bench;
            reg clk = 0, rst = 0;
            reg [{width + address_bits + parts - 1}:0] w = 0;
            reg [{address_bits - 1}:0] address = 0;
            wire [{width - 1}:0] want, got;
            integer steps = 0, compared = 0;
            top rtl(.clk(clk), .rst(rst), .w(w), .read__address(address), .read__data(want));
            netlist net(.clk(clk), .rst(rst), .w(w), .read__address(address), .read__data(got));
            task step; begin
                #1 clk = 1; #1 clk = 0;
                steps = steps + 1;
                // What the registers hold before the first read has no meaning.
                if (steps > 2) begin
                    if (want !== got) begin $display("got %h, not %h", got, want); $finish; end
                    if (want !== 0) compared = compared + 1;
                end
            end endtask
            initial begin
                {"".join(lines)}
                $display("equal %0d", compared);
            end
        endmodule
    """
    (tmp_path / "bench.v").write_text(bench, encoding="utf-8")
    # Look-up tables and flip-flops as logic; the block RAMs are left.
    _yosys(
        tmp_path,
        "read_json netlist.json",
        "read_verilog -overwrite -defer +/lattice/cells_sim_ecp5.v",
        "hierarchy -top netlist",
        "proc",
        "flatten",
        "write_verilog netlist.v",
    )
    sources = [f"{name}.v" for name in ("bench", "rtl", "netlist", "dp16kd")]
    subprocess.run(
        ["iverilog", "-g2012", "-s", "bench", "-o", "bench.vvp", *sources], cwd=tmp_path, check=True
    )
    run = subprocess.run(
        ["vvp", "-n", "bench.vvp"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    verdict, compared = run.stdout.split()[-2:]
    assert verdict == "equal", run.stdout
    assert int(compared) > CYCLES / 4


def _small_netlist():
    """One block RAM, port B of which is read through one flip-flop; nets are numbers."""
    ram = {
        "type": "DP16KD",
        "parameters": {
            "DATA_WIDTH_A": "10010",
            "DATA_WIDTH_B": "10010",
            "REGMODE_B": "NOREG",
            "CLKBMUX": "CLKB",
        },
        "port_directions": {
            "CLKA": "input",
            "CLKB": "input",
            "RSTB": "input",
            "OCEB": "input",
            "DOB0": "output",
        },
        "connections": {"CLKA": [2], "CLKB": [2], "RSTB": ["0"], "OCEB": ["1"], "DOB0": [3]},
    }
    register = {
        "type": "TRELLIS_FF",
        "parameters": {"CEMUX": "1 ", "CLKMUX": "CLK", "REGSET": "RESET"},
        "port_directions": {"CLK": "input", "DI": "input", "LSR": "input", "Q": "output"},
        "connections": {"CLK": [2], "DI": [3], "LSR": ["0"], "Q": [4]},
    }
    ports = {
        "clk": {"direction": "input", "bits": [2]},
        "y": {"direction": "output", "bits": [4]},
    }
    return {"cells": {"ram": ram, "register": register}, "ports": ports}


@pytest.mark.parametrize(
    ("cell", "table", "key", "value"),
    [
        ("register", "parameters", "CLKMUX", "INV"),
        ("register", "parameters", "CEMUX", "CE"),
        ("register", "parameters", "REGSET", "SET"),
        ("register", "connections", "LSR", [5]),
        ("register", "connections", "CLK", [5]),
        ("ram", "parameters", "CLKBMUX", "INV"),
        ("ram", "connections", "RSTB", [5]),
    ],
)
def test_register_and_port_have_to_be_alike(cell, table, key, value):
    module = _small_netlist()
    assert absorb_registers(module) == 1
    (ram,) = module["cells"].values()
    assert ram["parameters"]["REGMODE_B"] == "OUTREG"
    assert ram["connections"]["DOB0"] == [4]

    module = _small_netlist()
    module["cells"][cell][table][key] = value
    before = json.dumps(module)
    assert absorb_registers(module) == 0
    assert json.dumps(module) == before


@pytest.mark.synth
@pytest.mark.slow
@pytest.mark.parametrize(
    ("behind", "count"),
    [("register", 16), ("enabled", 0), ("reset", 0), ("nothing", 0), ("logic", 0), ("shared", 0)],
)
def test_only_what_the_output_register_can_do(tmp_path, behind, count):
    gone, rams = synthesise(tmp_path, Reader(behind))
    assert gone == count
    assert [ram["parameters"]["REGMODE_B"] for ram in rams] == ["OUTREG" if count else "NOREG"]


@pytest.mark.synth
@pytest.mark.slow
@pytest.mark.parametrize(
    ("behind", "mode"), [("register", "OUTREG"), ("read enable", "NOREG"), ("shared", "NOREG")]
)
def test_whole_blocks_use_both_output_registers_or_none(tmp_path, behind, mode):
    gone, (ram,) = synthesise(tmp_path, Reader(behind, width=36))
    assert gone == (36 if mode == "OUTREG" else 0)
    assert {ram["parameters"][f"REGMODE_{port}"] for port in "AB"} == {mode}
