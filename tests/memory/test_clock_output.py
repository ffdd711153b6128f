# amaranth: UnusedElaboratable=no
from pathlib import Path

import pytest
from amaranth.hdl import unsigned

from mla_hw.errors import ConfigError
from rtl_gen.memory.clock_output import ClockOutput
from rtl_gen.verilog import emit_verilog
from tests.verilog_bench import outputs

MODELS = Path(__file__).resolve().parents[2] / "sim" / "models"


@pytest.mark.icarus
@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("family", ["ecp5", "gowin"])
def test_pin_follows_the_clock(family, inverted, tmp_path):
    texts = emit_verilog(ClockOutput(family, inverted=inverted), name="clock_output")
    # Bit 1 is what there is while the clock is high; both are looked at after the edge.
    texts["wrapper.v"] = """
`timescale 1ns / 1ns
module wrapper (input clk, input unused, output reg [1:0] seen);
    wire pin;
    clock_output dut (.clk(clk), .pin(pin));
    always @(clk) #1 seen[clk] = pin;
endmodule
"""
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = outputs(
        tmp_path,
        [str(MODELS / f"{family}_io.v"), *texts],
        "wrapper",
        {"unused": unsigned(1)},
        ("seen", unsigned(2)),
        [(0,)] * 6,
    )
    assert set(found[2:]) == {"1" if inverted else "2"}


def test_own_domain():
    text = emit_verilog(ClockOutput("ecp5", domain="chip"), name="top")["top.v"]
    assert ".SCLK(chip_clk)" in text


def test_rejects_family():
    with pytest.raises(ConfigError, match="family must be one of ecp5, gowin"):
        ClockOutput("ice40")
