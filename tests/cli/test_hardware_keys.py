"""What the keys of --hardware and the board change of the core."""

import pytest

from mla_hw.cli import generate as generate_module
from mla_hw.hardware import HardwareConfig
from tests.cli.command import read
from tests.reference_cases import case_dir

#: A value that is not the default of ulx3s-85f, and what of the core it changes.
EFFECTS = {
    "rows": (2, {"rows": 2}),
    "columns": (16, {"columns": 16}),
    "port_bytes": (16, {"port_bytes": 16}),
    "tile_tokens": (32, {"tile_tokens": 32}),
    "accumulator_lanes": (2, {"accumulator_lanes": 2}),
    "outstanding_reads": (16, {"outstanding_reads": 16}),
    "multiplier": ("portable", {"multiplier": "portable"}),
}


@pytest.mark.usefixtures("_without_verilog")
@pytest.mark.parametrize("key", EFFECTS)
def test_hardware_key(command, hardware, key):
    command.generates("tiny-v3", "--context", 8)
    default = read(command.out)
    value, effect = EFFECTS[key]
    command.generates("tiny-v3", "--context", 8, "--hardware", hardware(**{key: value}))
    manifest = read(command.out)
    assert default["hardware"][key] != value == manifest["hardware"][key]
    assert {name: manifest["core"][name] for name in effect} == effect
    assert default["core"] != manifest["core"]
    assert default["hash"] != manifest["hash"]


@pytest.mark.usefixtures("_without_verilog")
def test_activation_bytes_bound_the_pass(command, hardware):
    passes = []
    for size in (65536, 2560):
        path = hardware(rows=2, columns=4, activation_bytes=size)
        command.generates("small-v2lite", "--context", 8, "--hardware", path)
        manifest = read(command.out)
        passes.append(len(manifest["passes"]))
        core = manifest["core"]
        assert 2 * 2 * core["rows"] * core["activation_depth"] <= size
    assert passes[0] == 1 < passes[1]


def test_every_key_is_tried():
    assert {*EFFECTS, "activation_bytes"} == HardwareConfig().to_dict().keys()


def test_multiplier_and_port_show_in_the_verilog(generated, command, hardware):
    def blocks(folder):
        return sum(
            path.read_text().count("MULT18X18D") for path in (folder / "verilog").glob("*.v")
        )

    def widest(folder):
        return max(port["width"] for port in read(folder)["ports"].values())

    options = {"rows": 2, "columns": 4, "multiplier": "portable", "port_bytes": 32}
    command.generates(case_dir("tiny-v3"), "--context", 64, "--hardware", hardware(**options))
    assert blocks(generated) > 0 == blocks(command.out)
    assert widest(generated) == 64
    assert widest(command.out) == 256


@pytest.mark.parametrize(("board", "array"), [("ulx3s-85f", (4, 8)), ("ulx3s-25f", (2, 4))])
def test_default_of_a_board(command, monkeypatch, board, array):
    monkeypatch.setattr(generate_module, "_verilog", lambda _: ({}, {}))
    command.generates("tiny-v3", "--board", board)
    manifest = read(command.out)
    assert manifest["board"] == board
    assert (manifest["core"]["rows"], manifest["core"]["columns"]) == array
    assert manifest["context"] == 4096
