"""Outputs do not destroy the folder that they are made from."""

import json
from dataclasses import replace

import pytest

import boards
from boards import load_board
from mla_hw.cli.output_folder import check_output
from mla_hw.errors import ConfigError
from tests.cli.command import snapshot


@pytest.fixture
def folder(tmp_path):
    core = tmp_path / "core"
    for name in ("manifest.json", "image.bin", "verilog/accelerator.v", "results/old.json"):
        (core / name).parent.mkdir(parents=True, exist_ok=True)
        (core / name).write_text("")
    mark = {"format": 1, "hash": "", "weights_hash": "", "regions": {}}
    (core / "manifest.json").write_text(json.dumps(mark))
    return core


@pytest.mark.parametrize("name", ["manifest.json", "image.bin", "verilog/accelerator.v"])
def test_a_file_of_generate_is_not_written_over(folder, name):
    with pytest.raises(ConfigError, match=r"^--json .*: is a file that generate made"):
        check_output(folder / name, "--json")
    link = folder.parent / "link.json"
    link.symlink_to(folder / name)
    with pytest.raises(ConfigError, match="is a file that generate made"):
        check_output(link, "--json")
    # Elsewhere the name says nothing.
    other = folder.parent / name
    other.parent.mkdir(exist_ok=True)
    other.write_text("")
    check_output(other, "--json")


def test_what_commands_leave_in_the_folder_is(folder):
    check_output(folder / "results" / "old.json", "--json")
    check_output(folder / "new.json", "--json")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("simulate", ("--json", "manifest.json")),
        ("simulate", ("--output", "program.bin")),
        ("synth", ("--json", "manifest.json")),
        ("run", ("--port", "none", "--json", "manifest.json")),
    ],
)
def test_commands_refuse_them(command, generated, name, arguments):
    *options, target = arguments
    before = (generated / target).read_bytes()
    error = command.fails(name, generated, *options, generated / target)
    assert "is a file that generate made, another is wanted" in error
    assert (generated / target).read_bytes() == before


def test_no_command_writes_over_what_generate_made(command, generated):
    manifest = generated / "manifest.json"
    before = snapshot(generated)
    for arguments in (
        ("fit", "tiny-v3", "--json", manifest),
        ("analyze", "tiny-v3", "--json", generated / "verilog" / "accelerator.v"),
        ("analyze", "tiny-v3", "--html", generated / "program.txt"),
    ):
        assert "is a file that generate made, another is wanted" in command.fails(*arguments)
    assert snapshot(generated) == before


@pytest.mark.parametrize("option", ["--output", "--trace"])
def test_simulate_does_not_write_over_its_report(command, generated, option):
    report = generated / "results" / "simulate-verilator.json"
    message = command.fails("simulate", generated, option, report)
    assert message == f"{option} {report}: is the file of --json"


def test_a_clock_that_cannot_be_made_leaves_an_earlier_build(command, generated, monkeypatch):
    board = load_board("ulx3s-85f")
    monkeypatch.setattr(boards, "load_board", lambda _: replace(board, clock_mhz=1))
    (generated / "build" / "synth").mkdir(parents=True)
    (generated / "build" / "synth" / "of_before.bit").write_text("")
    before = snapshot(generated)
    message = command.fails("synth", generated)
    assert message.startswith("ulx3s-85f: core_mhz: 60 MHz cannot be made of clock_mhz 1 MHz")
    assert snapshot(generated) == before
