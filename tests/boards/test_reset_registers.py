import json

import pytest

from mla_hw.cli.fpga_tools import find_yosys, run_tool
from mla_hw.cli.reset_registers import split_resets

# Two stages of a synchroniser, 80 registers that they reset, and some that a port resets.
DESIGN = """
module top(input clk, input rst, input [79:0] a, output reg [79:0] y, output reg [9:0] z);
    reg [1:0] sync = 3;
    always @(posedge clk) begin
        sync <= {sync[0], rst};
        if (sync[1]) y <= 0; else y <= a + y;
        if (rst) z <= 0; else z <= a[9:0];
    end
endmodule
"""


def resets(module):
    """How many registers each net resets."""
    counts = {}
    for cell in module["cells"].values():
        if cell["type"] == "TRELLIS_FF":
            bit = cell["connections"]["LSR"][0]
            counts[bit] = counts.get(bit, 0) + 1
    return counts


@pytest.fixture(scope="module")
def netlist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resets")
    (folder / "top.v").write_text(DESIGN, encoding="utf-8")
    run(folder, "read_verilog top.v", "synth_ecp5 -nowidelut -top top -json netlist.json")
    return folder


def run(folder, *script):
    (folder / "run.ys").write_text("\n".join(script) + "\n", encoding="utf-8")
    command, _ = find_yosys("run.ys")
    run_tool(command, log=folder / "yosys.log", name="yosys")


@pytest.mark.synth
@pytest.mark.parametrize(("most", "copies"), [(32, 2), (80, 0), (79, 1), (7, 11)])
def test_no_register_resets_more(netlist, most, copies):
    module = json.loads((netlist / "netlist.json").read_text(encoding="utf-8"))["modules"]["top"]
    before = len(module["cells"])
    by_port = resets(module)[module["ports"]["rst"]["bits"][0]]
    assert split_resets(module, most) == copies
    assert len(module["cells"]) == before + copies
    after = resets(module)
    # What a port resets stays as it is.
    assert after.pop(module["ports"]["rst"]["bits"][0]) == by_port
    after.pop("0", None)
    assert sum(after.values()) == 80
    assert max(after.values()) == min(most, 80)


@pytest.mark.synth
def test_the_netlist_does_the_same(netlist):
    """Proven by Yosys, register by register."""
    text = json.loads((netlist / "netlist.json").read_text(encoding="utf-8"))
    assert split_resets(text["modules"]["top"], 32)
    text["modules"] = {"split": text["modules"]["top"]}
    (netlist / "split.json").write_text(json.dumps(text), encoding="utf-8")
    run(
        netlist,
        "read_verilog top.v",
        "read_json split.json",
        "read_verilog -overwrite -defer +/lattice/cells_sim_ecp5.v",
        "hierarchy -check -top split",
        "proc",
        "flatten",
        "design -stash split",
        "read_verilog top.v",
        "hierarchy -check -top top",
        "proc",
        "design -copy-from split split",
        "async2sync",
        "equiv_make top split both",
        "hierarchy -top both",
        "opt -full",
        "equiv_simple -undef",
        "equiv_induct -undef",
        "equiv_status -assert",
    )
