"""Tops of the boards: every port has its pin, every board its PLL and polarities."""

import re

import pytest

from boards import Board, list_boards, load_board
from boards.top import board_top, top_pins
from mla_hw.cli.families import find_family
from mla_hw.errors import ConfigError
from mla_hw.hardware import HardwareConfig
from mla_hw.presets import find_preset
from mla_hw.schedule import schedule_layer
from rtl_gen.verilog import emit_verilog, port_table

TOPS = [name for name in list_boards() if load_board(name).top]
PLL_CELLS = {"ecp5": "EHXPLLL", "ice40": "SB_PLL40_PAD", "gowin": "rPLL", "nexus": "PLL"}


def make_top(name):
    board = load_board(name)
    hardware = HardwareConfig.from_dict({
        **board.hardware,
        "rows": 1,
        "columns": 2,
        "activation_bytes": 4096,
    })
    core = schedule_layer(
        find_preset("tiny-v3").config, hardware, multiplier=board.device.family
    ).core
    top, controller = board_top(board, core)
    texts = emit_verilog(top, name="board_top")
    # The top itself comes first.
    return board, top, controller, "\n".join(texts.values())


@pytest.fixture(scope="module", params=TOPS)
def made(request):
    return make_top(request.param)


def test_every_bit_of_every_port_has_a_pin_of_its_own(made):
    board, top, controller, text = made
    pins = top_pins(board, top)
    sites = [pin.site for pin in pins.values()]
    assert len(sites) == len(set(sites))
    ports = {name: entry["width"] for name, entry in port_table(top).items()}
    head = text[: text.index("endmodule")]
    ports |= {name: int(high or 0) + 1 for high, name in INOUT.findall(head)}
    bits = {
        f"{name}[{bit}]" if width > 1 else name
        for name, width in ports.items()
        for bit in range(width)
    }
    assert bits == set(pins)
    assert bool(controller) == (board.memory.kind in ("sdr", "ddr3"))


INOUT = re.compile(r"^  inout (?:\[(\d+):0\] )?(\w+);", re.MULTILINE)


def test_the_clock_is_made_where_it_has_to_be(made):
    board, _, controller, text = made
    cell = PLL_CELLS[board.device.family]
    if board.memory.kind == "ddr3":
        assert f" {cell} " not in text
        assert cell in controller.verilog
        return
    made_here = board.core_mhz != board.clock_mhz
    assert bool(re.search(rf"^  {cell} #\(", text, re.MULTILINE)) == made_here
    device = board.device
    sites = [device.pll_site] if made_here else device.clock_buffer_sites
    assert re.findall(r'\(\* BEL = "(.*?)" \*\)', text) == [site for site in sites if site]


def test_a_pll_has_its_place():
    data = load_board("crosslink-nx-evn").to_dict()
    memory = data["memory"] | {"clock_mhz": 60}
    board = Board.from_dict("nexus", data | {"clock_mhz": 25, "core_mhz": 60, "memory": memory})
    core = schedule_layer(find_preset("tiny-v3").config, HardwareConfig(port_bytes=8)).core
    text = emit_verilog(board_top(board, core)[0], name="board_top")["board_top.v"]
    assert re.search(r'\(\* BEL = "X1/Y0/PLL_ULC" \*\)\s+PLL #\(', text)
    assert "DCC" not in text


def test_buttons_and_lines_rest_where_nothing_is(made):
    board, top, _, _ = made
    pins = top_pins(board, top)
    assert pins["rx"].pull == "up"
    assert pins["rst"].pull == ("up" if "rst" in board.top.active_low else "down")
    text = find_family(board).constrain(pins, board.clock_mhz)
    for port, pin in pins.items():
        assert port in text
        assert pin.site in text


def test_the_clock_of_an_sdr_sdram_has_the_phase_of_the_board(made):
    board, _, _, text = made
    wanted = board.top.clock_phase
    if board.memory.kind != "sdr":
        return
    assert board.memory.clock_mhz == board.core_mhz
    found = {name: int(value) for name, value in PARAMETER.findall(text)}
    if wanted == 180:
        assert "CLKOS_DIV" not in found
        # The register sends 0, then 1.
        assert re.search(r"\.D0\(1'h0\),\s+\.D1\(1'h1\)", text)
        return
    assert found["CLKOS_DIV"] == found["CLKOP_DIV"]
    steps = 8 * (found["CLKOS_CPHASE"] - found["CLKOP_CPHASE"])
    steps += found["CLKOS_FPHASE"] - found["CLKOP_FPHASE"]
    assert 360 * steps / (8 * found["CLKOP_DIV"]) == pytest.approx(wanted, abs=3)
    assert re.search(r"\.D0\(1'h1\),\s+\.D1\(1'h0\)", text)
    # 5 ns for commands and output enables, 10 ns for reads until the next edge.
    period = 1000 / board.core_mhz
    assert wanted / 360 * period >= 5
    assert (1 - wanted / 360) * period >= 10


PARAMETER = re.compile(r"\.(CLKO[PS]_\w+)\(32'd(\d+)\)")


def test_memory_pins_of_an_sdr_sdram_are_fast():
    board, top, *_ = make_top("ulx3s-25f")
    pins = top_pins(board, top)
    assert pins["sdram_dq[7]"].options == pins["pads__clk"].options == {"SLEWRATE": "FAST"}
    assert not pins["tx"].options


def test_the_esp32_of_a_ulx3s_leaves_the_fpga_alone():
    board, top, *_ = make_top("ulx3s-85f")
    assert top_pins(board, top)["high"].site == "L2"


def test_memory_pins_of_ddr3_are_set_for_it():
    board, top, *_ = make_top("orangecrab-85f")
    pins = top_pins(board, top)
    assert pins["pads__a[0]"].standard == "SSTL135_I"
    assert pins["pads__clk_p"].standard == pins["ddram_dqs_p[1]"].standard == "SSTL135D_I"
    assert pins["ddram_dqs_p[0]"].options["DIFFRESISTOR"] == "100"
    assert pins["ddram_dq[3]"].options == {"SLEWRATE": "FAST", "TERMINATION": "OFF"}
    assert pins["high[0]"].options["IO_TYPE"] == "SSTL135_II"
    assert pins["high[0]"].site == "K16"
    text = find_family(board).constrain(pins, board.clock_mhz)
    assert 'IOBUF PORT "low[1]" IO_TYPE=SSTL135_II SLEWRATE=FAST;' in text
    assert 'IOBUF PORT "ddram_dqs_p[0]" IO_TYPE=SSTL135D_I SLEWRATE=FAST TERMINATION=OFF' in text


def test_a_board_without_pins_has_no_top():
    board = load_board("lfe5u-85f-512m")
    core = schedule_layer(find_preset("tiny-v3").config, HardwareConfig()).core
    with pytest.raises(ConfigError, match="has no pins for a top"):
        board_top(board, core)
