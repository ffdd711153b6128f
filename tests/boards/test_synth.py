import json
import re
import sys

import pytest

from boards import ADAPTER_PINS
from mla_hw.cli import fpga_tools
from mla_hw.cli.fpga_tools import find_tool, run_tool
from mla_hw.cli.synth import Usage, synth
from mla_hw.cli.synth_flow import MAX_ROUNDS, SynthFlow
from mla_hw.errors import CapacityError, ConfigError, ToolError
from rtl_gen.synth_wrapper import wrapper_verilog
from tests.boards.designs import CONFIGURATION_HASH, write_design

INVERTER = """\
module accelerator(input clk, input rst, input [7:0] a, output [7:0] y);
    assign y = ~a;
endmodule
"""
INVERTER_PORTS = {
    "a": {"direction": "input", "width": 8},
    "y": {"direction": "output", "width": 8},
}


def write_core(directory, text=INVERTER, **changes):
    (directory / "verilog").mkdir(parents=True)
    (directory / "verilog" / "core.v").write_text(text, encoding="utf-8")
    manifest = {"board": "ulx3s-25f", "hash": "0", "ports": INVERTER_PORTS, "verilog": ["core.v"]}
    manifest |= changes
    (directory / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


COPIES = """\
module accelerator(input clk, input rst, input [7:0] a, output [7:0] y);
    {attribute} reg [7:0] one;
    {attribute} reg [7:0] other;
    always @(posedge clk) one <= a;
    always @(posedge clk) other <= a;
    assign y = one + {{other, other}} / 3;
endmodule
"""


@pytest.mark.synth
def test_equal_registers_stay_apart_where_they_have_to(tmp_path):
    registers = []
    for name, attribute in (("merged", ""), ("kept", "(* keep = 1 *)")):
        write_core(tmp_path / name, COPIES.format(attribute=attribute))
        registers.append(synth(tmp_path / name, core=True).ff.used)
    assert registers[1] == registers[0] + 8


@pytest.mark.synth
@pytest.mark.parametrize("lanes", [2, 7])
def test_counts_every_cell(tmp_path, lanes):
    directory = tmp_path / "a folder"
    bits = write_design(directory, lanes=lanes)
    lines = []
    report = synth(directory, json_path=directory / "synth.json", progress=lines.append, core=True)
    assert report.dsp == Usage(lanes, 28)
    assert report.bram == Usage(1, 56)
    assert report.ff.available == report.lut.available == 24288
    # Two flip-flops each per port bit and accumulator bit, and a pair of operands per lane.
    assert report.ff.used > sum(bits.values()) + 32 * lanes
    # nextpnr splits carry chains and adds drivers of constants, so it counts a little more.
    cells = report.cells
    assert 0 <= report.lut.used - cells["LUT4"] - 2 * cells["CCU2C"] <= 4 * (lanes + 2)
    assert report.ff.used == cells["TRELLIS_FF"]
    assert report.fits
    assert report.bitstream is None
    assert report.fmax_mhz == {}
    assert report.hash == CONFIGURATION_HASH
    assert {"yosys", "nextpnr"} == set(report.tools)
    assert all(re.match(r"\d", version) for version in report.tools.values())
    assert json.loads((directory / "synth.json").read_text(encoding="utf-8")) == report.to_dict()
    assert report.files == (
        directory / "build" / "synth" / "netlist.json",
        directory / "synth.json",
    )
    assert all(path.is_file() for path in report.files)
    assert lines[0] == "yosys: synthesis for LFE5U-25F"
    assert {"yosys: mapping logic", "nextpnr: packing"} <= set(lines)
    assert sorted(path.name for path in directory.iterdir()) == [
        "build",
        "manifest.json",
        "synth.json",
        "verilog",
    ]


@pytest.mark.synth
def test_adapter_costs_one_register_per_bit_and_keeps_all_of_them(tmp_path):
    write_core(tmp_path)
    report = synth(tmp_path, core=True)
    # Eight registers on each side and one at the pin; the inverters join the signature's XORs.
    assert report.cells == {"LUT4": 8, "TRELLIS_FF": 17}


@pytest.mark.synth
def test_counts_instantiated_multipliers(tmp_path):
    # The form with the DSP block's own registers; parameters that are left out keep their defaults.
    pins = ", ".join(f".A{i}(a[{i}]), .B{i}(b[{i}]), .P{i}(p[{i}])" for i in range(18))
    text = f"""\
module multiply(input clk, input [17:0] a, input [17:0] b, output [17:0] p);
    MULT18X18D #(.REG_INPUTA_CLK("CLK0"), .REG_INPUTB_CLK("CLK0"), .REG_OUTPUT_CLK("CLK0"))
        dsp (.CLK0(clk), .CE0(1'b1), .RST0(1'b0), .SIGNEDA(1'b1), .SIGNEDB(1'b1), {pins});
endmodule
module accelerator(input clk, input rst, input [17:0] a, input [17:0] b, output [17:0] p);
    wire [17:0] q;
    multiply first (.clk(clk), .a(a), .b(b), .p(q));
    multiply second (.clk(clk), .a(q), .b(b), .p(p));
endmodule
"""
    ports = {"a": {"direction": "input", "width": 18}, "p": {"direction": "output", "width": 18}}
    write_core(tmp_path, text, ports=ports | {"b": ports["a"]})
    report = synth(tmp_path, core=True)
    assert report.dsp == Usage(2, 28)
    # The operands' registers are inside: only the adapter's are left.
    assert report.ff.used == 2 * 18 + 18 + 1


@pytest.mark.slow
@pytest.mark.synth
def test_a_core_that_is_too_large_is_reported_and_not_placed(tmp_path):
    write_design(tmp_path, lanes=30)
    report = synth(tmp_path, core=True)
    assert report.dsp == Usage(30, 28)
    assert not report.fits
    with pytest.raises(CapacityError, match="LFE5U-25F: needs 30 multipliers, has 28"):
        synth(tmp_path, place=True, core=True)


@pytest.mark.slow
@pytest.mark.synth
def test_placement_reaches_a_clock_and_packs_a_bitstream(tmp_path):
    write_design(tmp_path)
    report = synth(tmp_path, place=True, seeds=(3, 4), core=True)
    assert list(report.fmax_mhz) == [3, 4]
    assert all(40 < value < 200 for value in report.fmax_mhz.values())
    assert len(set(report.fmax_mhz.values())) == 2
    bitstream = tmp_path / "build" / "synth" / "ulx3s-25f.bit"
    assert report.bitstream == str(bitstream)
    assert report.files[1:] == (bitstream,)
    # The part's name stands in the header, and the preamble ends it.
    assert b"LFE5U-25F" in bitstream.read_bytes()[:200]
    assert b"\xff\xff\xbd\xb3" in bitstream.read_bytes()[:400]
    assert "ecppack" in report.tools
    # A run without placement must not leave the bitstream of an earlier one.
    synth(tmp_path, core=True)
    assert not bitstream.exists()


@pytest.mark.synth
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "module accelerator(input clk; endmodule\n",
            r"yosys failed: .*syntax error.*log: .*yosys\.log",
        ),
        (INVERTER.replace("y)", "z)"), r"yosys failed: .*port.* 'y'.*yosys\.log"),
        (INVERTER.replace("accelerator", "core"), r"yosys failed: .*accelerator.*yosys\.log"),
    ],
    ids=["syntax", "port", "module"],
)
def test_an_error_of_yosys_is_one_line_with_the_log(tmp_path, text, message):
    write_core(tmp_path, text)
    with pytest.raises(ToolError, match=message) as caught:
        synth(tmp_path, core=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"board": None}, r"manifest\.json: board: expected str, not None"),
        ({"board": "ulx3s"}, r"unknown board 'ulx3s'"),
        ({"hash": 7}, r"manifest\.json: hash: expected str, not 7"),
        ({"ports": []}, r"manifest\.json: ports: expected dict"),
        ({"ports": {"a": 8}}, r"ports: a: expected direction and width, not 8"),
        ({"ports": {"a": {"width": 8}}}, r"'a': expected input or output, not None"),
        ({"ports": {"a": {"width": -8, "direction": "input"}}}, r"'a': expected a width of 0 or"),
        ({"ports": {}}, r"'accelerator' has no output"),
    ],
    ids=["board", "unknown_board", "hash", "ports", "port", "direction", "width", "no_output"],
)
def test_rejects_manifest(tmp_path, changes, message):
    write_core(tmp_path, **changes)
    with pytest.raises(ConfigError, match=message):
        synth(tmp_path, core=True)


def test_rejects_folders_that_are_not_generated(tmp_path):
    with pytest.raises(
        ConfigError, match=r"has no manifest\.json: must be a folder that generate made"
    ):
        synth(tmp_path, core=True)
    (tmp_path / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"manifest\.json: is not valid JSON"):
        synth(tmp_path, core=True)
    write_core(tmp_path / "core")
    (tmp_path / "core" / "verilog" / "core.v").unlink()
    with pytest.raises(
        ConfigError, match=r"is damaged \(verilog/core\.v is missing\): generate it again"
    ):
        synth(tmp_path / "core", core=True)


@pytest.mark.parametrize("seeds", [(), (1, 1), (-1,)])
def test_rejects_seeds(tmp_path, seeds):
    with pytest.raises(ConfigError, match="--seeds: must be different integers from 0 to "):
        synth(tmp_path, place=True, seeds=seeds, core=True)


@pytest.mark.parametrize("jobs", [0, -2])
def test_rejects_jobs(tmp_path, jobs):
    with pytest.raises(ConfigError, match=f"--jobs: must be positive, not {jobs}"):
        synth(tmp_path, place=True, jobs=jobs, core=True)


def test_missing_tool_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(fpga_tools.sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(ToolError, match="nextpnr-ecp5 not found: neither native on PATH nor"):
        find_tool("nextpnr-ecp5")


ROUTER = """\
#!{python}
import json, sys, time
if "--version" in sys.argv:
    raise SystemExit
ripping = "--tmg-ripup" in sys.argv
for count in range(600):
    print(f"Info: iter={{count}} steplen=0.2 a=102.6 penalty=[0.01, 0.01, 0.01, 0.01]")
for count in range(1, {rounds} + 1):
    print(f"Info:     iter={{count}} wires=7 overused=0 tmgfail=3 archfail=NA", flush=True)
if ripping and {endless}:
    time.sleep(600)
clock = {{"clk": {{"achieved": 70.0 if ripping else 50.0, "constraint": 60.0}}}}
with open(sys.argv[sys.argv.index("--report") + 1], "w") as file:
    json.dump({{"fmax": clock}}, file)
"""


@pytest.mark.parametrize(("rounds", "clock"), [(MAX_ROUNDS, 70), (MAX_ROUNDS + 1, 50)])
def test_a_router_that_does_not_end_goes_without_taking_up_late_nets(
    monkeypatch, tmp_path, rounds, clock
):
    router = tmp_path / "nextpnr-ecp5"
    text = ROUTER.format(python=sys.executable, rounds=rounds, endless=rounds > MAX_ROUNDS)
    router.write_text(text, encoding="utf-8")
    router.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    write_core(tmp_path / "core")
    lines = []
    flow = SynthFlow(tmp_path / "core", lines.append, core=True)
    assert flow.place(3) == clock
    assert flow.timing_met == {3: clock > 60}
    assert lines == [
        "nextpnr: place and route, seed 3",
        *[
            "nextpnr: seed 3: nets are still late after 200 rounds; place and route again, and "
            "leave them so"
        ]
        * (rounds > MAX_ROUNDS),
        f"nextpnr: seed 3 reaches {clock:.2f} MHz for {flow.target_mhz:g}: timing "
        + ("met" if clock > 60 else "missed"),
    ]


def test_a_baud_rate_without_a_host_link(tmp_path):
    write_core(tmp_path)
    with pytest.raises(ConfigError, match=r"--baud: is for a host link; the core of .* has none"):
        SynthFlow(tmp_path, print, core=True, baud=115200)
    assert not (tmp_path / "build").exists()


def test_native_tool_is_preferred(monkeypatch, tmp_path):
    for name in ("nextpnr-ecp5", "yosys"):
        (tmp_path / name).write_text("#!/bin/sh\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_tool("nextpnr-ecp5") == str(tmp_path / "nextpnr-ecp5")
    native = ([str(tmp_path / "yosys"), "-s", "a.ys"], "yosys")
    assert fpga_tools.find_yosys("a.ys") == native
    (tmp_path / "yosys").unlink()
    assert fpga_tools.find_yosys("a.ys")[1] == "pyosys"


def test_a_failing_tool_is_reported_with_its_first_error(tmp_path):
    log = tmp_path / "tool.log"
    script = (
        "print('signal error = 0'); print('ERROR: no luck'); print('ERROR: again'); "
        "raise SystemExit(3)"
    )
    with pytest.raises(ToolError, match=r"tool failed: ERROR: no luck \(log: .*tool\.log\)"):
        run_tool([sys.executable, "-c", script], log=log, name="tool")
    assert log.read_text(encoding="utf-8") == "signal error = 0\nERROR: no luck\nERROR: again\n"
    with pytest.raises(ToolError, match="tool failed: exit code 3"):
        run_tool([sys.executable, "-c", "raise SystemExit(3)"], log=log, name="tool")
    with pytest.raises(ToolError, match=r"tool cannot be started: .*none: No such file"):
        run_tool([str(tmp_path / "none")], log=log, name="tool")


def test_wrapper_connects_every_port_once():
    ports = [("rst", "input", 1), ("a", "input", 3), ("none", "input", 0), ("b", "input", 2)]
    text = wrapper_verilog([*ports, ("x", "output", 1), ("y", "output", 4)], core="core", name="w")
    assert re.findall(r"\.(\w+)\((.*?)\),?\n", text) == [
        ("clk", "clk"),
        ("rst", "reset_sync[1]"),
        ("a", "stimulus[2:0]"),
        ("b", "stimulus[4:3]"),
        ("x", "response[0:0]"),
        ("y", "response[4:1]"),
    ]
    assert text.count("module w (") == text.count("core core (") == 1
    assert set(re.findall(r"^    (?:input|output).* (\w+),?$", text, re.MULTILINE)) == set(
        ADAPTER_PINS
    )


def test_wrapper_with_clock_buffers():
    ports = [("a", "input", 3), ("y", "output", 4)]
    text = wrapper_verilog(ports, buffer_sites=("left", "top"))
    assert text.count("(clk)") == 2
    assert re.findall(r'BEL = "(\w+)" .* DCC (\w+) \(.*\.CLKO\((\w*)\)', text) == [
        ("left", "buffer_0", "buffered"),
        ("top", "buffer_1", ""),
    ]
    assert set(re.findall(r"posedge (\w+)", text)) == {"buffered"}
    assert ".clk(buffered)" in text
