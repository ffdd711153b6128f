"""The model of the memory chip keeps data, and finds every fault of a controller."""

from pathlib import Path

import pytest
from amaranth.hdl import unsigned

from tests.verilog_bench import outputs

pytestmark = pytest.mark.icarus

MODEL = Path(__file__).resolve().parents[2] / "sim" / "models" / "sdram.v"
# 100 MHz: tRCD, tRP, tRRD and tWR are 2 cycles, tRAS 5, tRFC 7; tRC is more than tRAS + tRP.
WRAPPER = """
module wrapper (
    input clk, input cke, input [3:0] command, input [1:0] ba, input [12:0] a, input [1:0] dm,
    input drive, input [15:0] d, output [31:0] errors, output [15:0] q
);
    wire [15:0] dq = drive ? d : 16'bz;
    assign q = dq;
    sdram #(.PERIOD(10000), .T_POWER_UP(100000), .T_RC(80000), .WORDS(1 << 20)) chip (
        .clk(clk), .cke(cke), .cs_n(command[3]), .ras_n(command[2]), .cas_n(command[1]),
        .we_n(command[0]), .ba(ba), .a(a), .dqm(dm), .dq(dq), .errors(errors)
    );
endmodule
"""
INPUTS = {
    "cke": unsigned(1),
    "command": unsigned(4),
    "ba": unsigned(2),
    "a": unsigned(13),
    "dm": unsigned(2),
    "drive": unsigned(1),
    "d": unsigned(16),
}
ERRORS = ("errors", unsigned(32))
NOP, MODE, REFRESH, PRECHARGE, ACTIVE, WRITE, READ = 7, 0, 1, 2, 3, 4, 5
ALL = 1 << 10


def nop(cycles=1):
    return [(1, NOP, 0, 0, 0, 0, 0)] * cycles


def command(code, ba=0, a=0):
    return [(1, code, ba, a, 0, 0, 0)]


def write(ba, a, data, dm=0):
    return [(1, WRITE, ba, a, dm, 1, data)]


def initialise(*, power_up=12, rp=2, refreshes=2, rfc=7, mode=0x20):
    lines = nop(power_up) + command(PRECHARGE, 0, ALL) + nop(rp - 1)
    for _ in range(refreshes):
        lines += command(REFRESH) + nop(rfc - 1)
    return lines + command(MODE, 0, mode) + nop(1)


READY = initialise()
OPEN = READY + command(ACTIVE, 1, 5) + nop(1)


def run(folder, lines, output=ERRORS):
    (folder / "wrapper.v").write_text(WRAPPER, encoding="utf-8")
    sources = ["wrapper.v", str(MODEL)]
    return outputs(folder, sources, "wrapper", INPUTS, output, lines)


@pytest.mark.parametrize("latency", [2, 3])
def test_data_masks_and_latency(latency, tmp_path):
    lines = initialise(mode=latency << 4) + command(ACTIVE, 1, 5) + nop(1)
    lines += write(1, 3, 0x1234) + write(1, 4, 0xABCD) + write(1, 3, 0x5678, dm=0b10) + nop(2)
    first = len(lines)
    lines += command(READ, 1, 3) + command(READ, 1, 4) + nop(6)
    found = run(tmp_path, lines, ("q", unsigned(16)))
    # What is there before an edge is what stood there after the edge before.
    start = first + latency - 1
    assert found[start : start + 2] == [str(0x1278), str(0xABCD)]
    assert not {*found[first + latency + 1 :]} - {"z"}
    assert run(tmp_path, lines)[-1] == "0"


def test_burst_wraps_and_precharges_by_itself(tmp_path):
    lines = initialise(mode=0x22) + command(ACTIVE, 1, 5) + nop(1)
    lines += write(1, 4, 10) + [(1, NOP, 0, 0, 0, 1, data) for data in (11, 12, 13)] + nop(3)
    first = len(lines)
    lines += command(READ, 1, 6 | ALL) + nop(8) + command(ACTIVE, 1, 6) + nop(2)
    found = run(tmp_path, lines, ("q", unsigned(16)))
    assert found[first + 1 : first + 5] == ["12", "13", "10", "11"]
    assert run(tmp_path, lines)[-1] == "0"


GOOD = {
    "access": OPEN + command(READ, 1, 0) + nop(4) + command(PRECHARGE, 1) + nop(2),
    "refresh": READY + nop(8) + (command(REFRESH) + nop(780)) * 12,
    "banks": OPEN + command(ACTIVE, 2, 5) + nop(1) + command(READ, 2, 0) + nop(3),
}


@pytest.mark.parametrize("case", GOOD)
def test_good_commands(case, tmp_path):
    assert run(tmp_path, GOOD[case])[-1] == "0"


BAD = {
    "tRCD": (READY + command(ACTIVE) + command(READ), "tRCD:"),
    "tRAS": (OPEN + command(PRECHARGE, 1), "tRAS:"),
    "tWR": (OPEN + nop(4) + write(1, 0, 1) + command(PRECHARGE, 1), "tWR:"),
    "tRP": (OPEN + nop(4) + command(PRECHARGE, 1) + command(ACTIVE, 1, 6), "tRP:"),
    "tRC": (OPEN + nop(3) + command(PRECHARGE, 1) + nop() + command(ACTIVE, 1, 6), "tRC:"),
    "tRRD": (READY + command(ACTIVE, 0) + command(ACTIVE, 1), "tRRD:"),
    "tRFC": (READY + nop(8) + command(REFRESH) + nop(3) + command(ACTIVE), "tRFC:"),
    "tMRD": (initialise()[:-1] + command(ACTIVE), "tMRD:"),
    "closed row": (OPEN + command(READ, 2), "closed"),
    "after auto-precharge": (OPEN + command(READ, 1, ALL) + nop(6) + command(READ, 1), "closed"),
    "open bank": (OPEN + nop(8) + command(ACTIVE, 1, 6), "activate of an open bank"),
    "refresh with an open bank": (OPEN + nop(8) + command(REFRESH), "a bank is open"),
    "mode with an open bank": (OPEN + nop(8) + command(MODE, 0, 0x20), "a bank is open"),
    "not initialised": (nop(20) + command(ACTIVE), "not initialised"),
    "power-up": (initialise(power_up=5), "power-up"),
    "one refresh": (initialise(refreshes=1), "mode set before precharge and two refreshes"),
    "first tRP": (initialise(rp=1), "tRP:"),
    "first tRFC": (initialise(rfc=5), "tRFC:"),
    "latency": (initialise(mode=0x40), "latency that there is not"),
    "reserved": (initialise(mode=0x120), "reserved mode bits"),
    "interleaved": (initialise(mode=0x28), "burst mode"),
    "no refresh": (READY + nop(7100), "refresh is overdue"),
    "pins": (OPEN + command(READ, 1, 0) + nop(1) + write(1, 0, 0), "drive the data pins"),
    "clock enable": ([*READY, (0, NOP, 0, 0, 0, 0, 0)], "clock enable fell"),
    "no room": (READY + command(ACTIVE, 3, 8191) + nop(1) + command(READ, 3), "no memory for"),
}


@pytest.mark.parametrize("case", BAD)
def test_every_fault_is_found(case, tmp_path):
    lines, text = BAD[case]
    words = run(tmp_path, lines + nop(2))
    assert text in " ".join(words)
    assert int(words[-1]) > 0
