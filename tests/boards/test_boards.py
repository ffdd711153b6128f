import dataclasses
import re

import pytest

from boards import ADAPTER_PINS, Board, list_boards, load_board
from mla_hw.errors import ConfigError
from mla_hw.hardware import HardwareConfig


def changed(**values):
    return load_board("ulx3s-85f").to_dict() | values


def without(data, key):
    return {name: value for name, value in data.items() if name != key}


def test_the_boards_are_there():
    assert list_boards() == ["lfe5u-85f-512m", "ulx3s-25f", "ulx3s-85f"]


@pytest.mark.parametrize("name", list_boards())
def test_every_board_loads_and_survives_a_round_trip(name):
    board = load_board(name)
    assert board.name == name
    assert set(board.pins) == set(ADAPTER_PINS)
    assert len(set(board.pins.values())) == len(ADAPTER_PINS)
    assert Board.from_dict(name, board.to_dict()) == board
    hardware = HardwareConfig.from_dict(board.hardware)
    assert hardware.rows * hardware.columns + 8 <= board.device.dsp


def test_facts_of_the_ulx3s():
    board = load_board("ulx3s-25f")
    assert (board.device.name, board.package, board.speed_grade) == ("LFE5U-25F", "CABGA381", 6)
    assert board.clock_mhz == 25
    assert board.memory.size_bytes == 33_554_432
    assert board.memory.peak_bytes_per_second == 200e6
    assert load_board("ulx3s-85f").device.dsp == 156


def test_unknown_board_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"mean ulx3s-85f.*lfe5u-85f-512m, ulx3s-25f, ulx3s-85f"):
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
        (changed(pins={"clk": "G2", "reset": "R1"}), "unknown key 'pins.reset'"),
    ],
    ids=lambda value: re.sub(r"\W+", "_", value) if isinstance(value, str) else "",
)
def test_rejects_a_description(data, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        Board.from_dict("board", data)


def test_error_names_file_and_line():
    lines = {"memory": 7, "memory.width_bits": 9}
    memory = dataclasses.asdict(load_board("ulx3s-85f").memory) | {"width_bits": -16}
    with pytest.raises(ConfigError, match=r"^b\.yaml:9: 'memory\.width_bits' must be"):
        Board.from_dict("b", changed(memory=memory), path="b.yaml", lines=lines)
