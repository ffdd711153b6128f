import dataclasses
import re

import pytest

from boards import ADAPTER_PINS, Board, list_boards, load_board
from boards.default_array import default_array, fed_multipliers
from mla_hw.errors import ConfigError
from mla_hw.hardware import HardwareConfig


def changed(name="ulx3s-85f", **values):
    return load_board(name).to_dict() | values


def without(data, key):
    return {name: value for name, value in data.items() if name != key}


def top(name="ulx3s-85f", **values):
    return changed(name, top=load_board(name).to_dict()["top"] | values)


def top_memory(**values):
    return top(memory=load_board("ulx3s-85f").to_dict()["top"]["memory"] | values)


def test_the_boards_are_there():
    # More may join them.
    assert set(list_boards()) >= {
        "colorlight-i5",
        "colorlight-i9",
        "crosslink-nx-evn",
        "ecpix5-85f",
        "generic-axi",
        "icebreaker",
        "lfe5u-85f-512m",
        "orangecrab-85f",
        "tangnano20k",
        "ulx3s-25f",
        "ulx3s-45f",
        "ulx3s-85f",
    }


@pytest.mark.parametrize("name", list_boards())
def test_every_board_loads_and_survives_a_round_trip(name):
    board = load_board(name)
    assert board.name == name
    assert Board.from_dict(name, board.to_dict()) == board
    hardware = HardwareConfig.from_dict(board.hardware)
    assert hardware.rows * hardware.columns + 6 <= board.device.dsp
    if board.device.family == "portable":
        assert not board.pins
        assert board.top is None
    elif name != "lfe5u-85f-512m":
        assert set(board.pins) == set(ADAPTER_PINS)
        assert board.top is not None
        assert bool(board.top.memory) == (board.memory.kind in ("sdr", "ddr3"))


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("ulx3s-85f", 0.12),
        ("colorlight-i5", 0.24),
        ("orangecrab-85f", 0.384),
        ("ecpix5-85f", 0.6),
        ("tangnano20k", 0.192),
        ("icebreaker", 0.096),
        ("crosslink-nx-evn", 0.096),
    ],
)
def test_rate_of_each_kind_of_memory(name, rate):
    assert load_board(name).memory.peak_bytes_per_second == pytest.approx(rate * 1e9)


def test_memory_on_the_fpga_has_a_fraction_of_a_mebibyte():
    assert load_board("icebreaker").memory.size_bytes == 4 * 32768


@pytest.mark.slow
# The one that is left out is no product, but the bed of the benchmarks.
@pytest.mark.parametrize("name", [name for name in list_boards() if name != "lfe5u-85f-512m"])
def test_default_array_is_what_the_rule_gives(name):
    board = load_board(name)
    assert default_array(board) == (board.hardware["rows"], board.hardware["columns"])


def test_multipliers_that_a_memory_feeds():
    # 16 heads of 2 · 512 + 64 MACs per 578 bytes of a cached token; 2 bytes per cycle.
    assert fed_multipliers(load_board("ulx3s-85f")) == pytest.approx(16 * 1088 / 578 * 2)


def test_facts_of_the_ulx3s():
    board = load_board("ulx3s-25f")
    assert (board.device.name, board.package, board.speed_grade) == ("LFE5U-25F", "CABGA381", 6)
    assert board.clock_mhz == 25
    assert board.memory.size_bytes == 33_554_432
    assert board.memory.peak_bytes_per_second == 120e6
    assert load_board("ulx3s-85f").device.dsp == 156


def test_unknown_board_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"mean ulx3s-85f.*lfe5u-85f-512m.*ulx3s-25f, ulx3s-45f"):
        load_board("ulx3s-86f")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (changed(colour="red"), "unknown key 'colour'"),
        (without(changed(), "package"), "key 'package' is missing"),
        (changed(device="LFE5U-95F"), "Unknown device 'LFE5U-95F'"),
        (changed(device=85), "'device' must be a device name, not 85"),
        (changed(speed_grade="6"), "'speed_grade' must be a whole positive number, not '6'"),
        (changed(speed_grade=True), "'speed_grade' must be a whole positive number, not True"),
        (changed(clock_mhz=0), "'clock_mhz' must be a positive number, not 0"),
        (changed(memory="sdr"), "'memory' must be a mapping, not 'sdr'"),
        (changed(memory={"kind": "sdr"}), "key 'memory.part' is missing"),
        (
            changed(memory=load_board("ulx3s-85f").to_dict()["memory"] | {"kind": "ddr9"}),
            "'memory.kind' must be one of sdr, ddr3, spram, lram, axi, not 'ddr9'",
        ),
        (
            changed(pins={"clk": "G2", "rst": "R1", "scan_in": "T1", "scan_out": "R1"}),
            "pin R1 is used twice: by 'pins.rst' and 'pins.scan_out'",
        ),
        (
            top(uart={"rx": "M1", "tx": "G2"}),
            "pin G2 is used twice: by 'pins.clk' and 'top.uart.tx'",
        ),
        (top(led="J17"), "pin J17 is used twice: by 'top.led' and 'top.memory.dq'"),
        (top(uart={"rx": "M1"}), "key 'top.uart.tx' is missing"),
        (top(buzzer="A1"), "unknown key 'top.buzzer'"),
        (top(clock_phase=360), "'top.clock_phase' must be less than 360, not 360"),
        (
            changed("generic-axi", top={"uart": {"rx": "A", "tx": "B"}, "led": "C"}),
            "'top' needs a device with pins, not any",
        ),
        (
            changed(memory=load_board("ulx3s-85f").to_dict()["memory"] | {"size_mib": 1e308}),
            "'memory.size_mib' must be at most 4096, not 1e+308",
        ),
        (
            changed(
                "crosslink-nx-evn",
                memory=load_board("crosslink-nx-evn").to_dict()["memory"] | {"size_mib": 0.03},
            ),
            "'memory.size_mib' must be that of a power of two bytes, not 0.03",
        ),
        (
            changed(
                "crosslink-nx-evn",
                memory=load_board("crosslink-nx-evn").to_dict()["memory"] | {"clock_mhz": 50},
            ),
            "'memory.clock_mhz' must be 12, what core_mhz makes of it, not 50",
        ),
        (top("tangnano20k", clock_phase=90), "needs an SDR SDRAM and the PLL of an ECP5"),
        (top("orangecrab-85f", clock_phase=90), "needs an SDR SDRAM and the PLL of an ECP5"),
        (
            top() | {"clock_mhz": load_board("ulx3s-85f").core_mhz},
            "'top.clock_phase' other than 180 needs an SDR SDRAM and the PLL of an ECP5",
        ),
        (
            changed(
                "icebreaker",
                memory=load_board("icebreaker").to_dict()["memory"] | {"width_bits": 64},
            ),
            "'memory.width_bits' must be the 32 of the port (hardware.port_bytes), not 64",
        ),
        (
            top("icebreaker", options={"tied": {"SLEWRATE": "FAST"}}),
            "'top.options': pins of an iCE40 have none",
        ),
        (top(active_low=["tx"]), "'top.active_low' must be a list of rst, led, not ['tx']"),
        (top(active_low="rst"), "'top.active_low' must be a list, not 'rst'"),
        (top(tied={"high": ["F19"]}), "pin F19 is used twice: by 'top.memory.clk'"),
        (top(options={"dq": {"SLEWRATE": 3}}), "'top.options.dq.SLEWRATE' must be a text, not 3"),
        (top(options={"tx": {}}), "unknown key 'top.options.tx'"),
        (top(tied={"open": ["A3"]}), "unknown key 'top.tied.open'"),
        (top_memory(dq=["J16"]), "must be memory.width_bits = 16 pins, not 1"),
        (top_memory(dq="J16"), "must be memory.width_bits = 16 pins, not 1"),
        (top_memory(ba=[1, 2]), "'top.memory.ba' must be a pin or a list of pins, not [1, 2]"),
        (top_memory(ba=[]), "'top.memory.ba' must be a pin or a list of pins, not []"),
        (top_memory(odt="A1"), "unknown key 'top.memory.odt'"),
        (
            changed(top=load_board("ulx3s-85f").to_dict()["top"] | {"memory": {}}),
            "key 'top.memory.clk' is missing",
        ),
        (changed(pins={"clk": "G2", "reset": "R1"}), "unknown key 'pins.reset'"),
    ],
    ids=lambda value: re.sub(r"\W+", "_", value) if isinstance(value, str) else "",
)
def test_rejects_a_description(data, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        Board.from_dict("board", data)


def test_hardware_that_there_is_not_names_file_and_line():
    hardware = {**load_board("ulx3s-85f").hardware, "rows": -4}
    with pytest.raises(ConfigError, match=r"^b\.yaml:20: hardware: rows must be "):
        Board.from_dict("b", changed(hardware=hardware), path="b.yaml", lines={"hardware": 20})


def test_error_names_file_and_line():
    lines = {"memory": 7, "memory.width_bits": 9}
    memory = dataclasses.asdict(load_board("ulx3s-85f").memory) | {"width_bits": -16}
    with pytest.raises(ConfigError, match=r"^b\.yaml:9: 'memory\.width_bits' must be"):
        Board.from_dict("b", changed(memory=memory), path="b.yaml", lines=lines)


def test_a_pin_that_is_used_twice_names_file_and_line():
    pins = {"clk": "G2", "rst": "R1", "scan_in": "T1", "scan_out": "R1"}
    with pytest.raises(ConfigError, match=r"^b\.yaml:15: pin R1 is used twice"):
        Board.from_dict("b", changed(pins=pins), path="b.yaml", lines={"pins.scan_out": 15})


@pytest.mark.parametrize(
    ("board", "changes", "message"),
    [
        ("ulx3s-85f", {"clock_mhz": 100}, "'memory.clock_mhz' must be 60, what core_mhz makes"),
        ("ecpix5-85f", {"clock_mhz": 75}, "'memory.clock_mhz' must be 150, what core_mhz makes"),
        ("crosslink-nx-evn", {"size_mib": 64}, "LIFCL-40 has 131072 bytes of lram, not 67108864"),
        ("ulx3s-85f", {"size_mib": 64}, "'memory.size_mib' must be 32, what MT48LC16M16 has with"),
        ("ecpix5-85f", {"size_mib": 256}, "'memory.size_mib' must be 512, what MT41K256M16 has"),
        ("ulx3s-85f", {"kind": "lram"}, "LFE5U-85F has 0 bytes of lram, not 33554432"),
        ("icebreaker", {"size_mib": float("inf")}, "must be a positive number, not inf"),
    ],
)
def test_a_memory_that_the_board_cannot_have(board, changes, message):
    data = load_board(board).to_dict()
    with pytest.raises(ConfigError, match=re.escape(message)):
        Board.from_dict("b", data | {"memory": data["memory"] | changes})


def test_memory_on_the_fpga_has_no_pins():
    data = load_board("icebreaker").to_dict()
    data["top"] = data["top"] | {"memory": {"dq": ["1"]}}
    with pytest.raises(ConfigError, match=r"unknown key 'top\.memory\.dq'"):
        Board.from_dict("b", data)
