"""Usage errors: what argparse finds."""

import pytest

from mla_hw.cli import main
from sim.simulators import SIMULATORS
from tests.cli.command import snapshot

COMMANDS = "generate, simulate, synth, run, report, analyze, paper, fit, models, boards"
NATURAL = "must be an integer of at least 0, not"


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("", "COMMAND: required, but missing; see mla-hw --help"),
        ("translate", f"COMMAND: must be one of {COMMANDS}, not 'translate'; see mla-hw --help"),
        (
            "simulat x",
            f"COMMAND: must be one of {COMMANDS}, not 'simulat' (did you mean simulate?)",
        ),
        ("--verson", "--verson: unknown option (did you mean --version?); see mla-hw --help"),
        ("generate tiny-v3", "--out: required, but missing; see mla-hw generate --help"),
        ("generate", "CHECKPOINT, --out: required, but missing; see mla-hw generate --help"),
        ("simulate", "DIR: required, but missing; see mla-hw simulate --help"),
        ("generate tiny-v3 --out", "--out: expected one argument; see mla-hw generate --help"),
        ("generate tiny-v3 two --out x", "two: unexpected argument; see mla-hw generate --help"),
        ("generate tiny-v3 --out x -v", "-v: unknown option"),
        ("boards --json x", "--json: unknown option; see mla-hw boards --help"),
        # The missing option is the one that is misspelt.
        ("generate tiny-v3 --oud x", "--oud: unknown option (did you mean --out?); see mla-hw ge"),
        # No abbreviations.
        ("generate tiny-v3 --out x --lay 0", "--lay: unknown option (did you mean --layer?)"),
        ("simulate x --mem=fixed:2", "--mem: unknown option (did you mean --memory?)"),
        ("generate tiny-v3 --out x --no-image=1", "--no-image: ignored explicit argument '1'"),
        ("generate tiny-v3 --out x --layer first", f"--layer: {NATURAL} 'first'; see mla-hw gen"),
        ("generate tiny-v3 --out x --layer -1", f"--layer: {NATURAL} '-1'"),
        ("generate tiny-v3 --out x --seed 1.5", f"--seed: {NATURAL} '1.5'"),
        (
            "generate tiny-v3 --out x --context 0",
            "--context: must be an integer of at least 1, not '0'",
        ),
        (
            "simulate x --sim modelsim",
            "--sim: must be one of verilator, icarus, not 'modelsim'; see mla-hw simulate --help",
        ),
        ("simulate x --prefill -1", f"--prefill: {NATURAL} '-1'"),
        ("simulate x --prefill 3,,1", f"--prefill: {NATURAL} ''"),
        (
            "generate tiny-v3 --out x --rows 0",
            "--rows: must be an integer of at least 1, not '0'; see mla-hw generate --help",
        ),
        (
            "generate tiny-v3 --out x --same-sequence=2",
            "--same-sequence: ignored explicit argument",
        ),
        ("synth x --seeds 1,,2", "--seeds: must be integers joined by commas, not '1,,2'; see ml"),
    ],
)
def test_usage_errors(command, tmp_path, monkeypatch, line, wanted):
    monkeypatch.chdir(tmp_path)
    before = snapshot(tmp_path)
    assert command.fails(*line.split()).startswith(wanted)
    assert snapshot(tmp_path) == before


def test_usage_errors_of_the_process_arguments(command, monkeypatch):
    monkeypatch.setattr("sys.argv", ["mla-hw", "synth", "x", "--plase"])
    assert main() == 1
    assert "--plase: unknown option (did you mean --place?)" in command.capsys.readouterr().err


@pytest.mark.parametrize("line", ["--help", "-h", "generate --help", "synth -h", "boards -h"])
def test_help_is_no_error(capsys, line):
    with pytest.raises(SystemExit) as caught:
        main(line.split())
    assert caught.value.code == 0
    output, errors = capsys.readouterr()
    assert output.startswith("usage: mla-hw ")
    assert errors == ""


def test_names_behind_two_dashes_are_no_options(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command.fails("synth", "--", "--place").startswith("--place: is not there: ")


def test_simulators_are_those_that_there_are(command):
    message = command.fails("simulate", "x", "--sim", "none")
    assert f"must be one of {', '.join(SIMULATORS)}, not 'none'" in message


@pytest.mark.parametrize("seeds", ["1,1", "-1", str(1 << 64)])
def test_seeds_of_the_placement(command, tmp_path, seeds):
    message = command.fails("synth", tmp_path, "--place", "--seeds", seeds)
    assert message.startswith(f"--seeds: must be different integers from 0 to {(1 << 64) - 1}, not")
    assert not list(tmp_path.rglob("build"))


@pytest.mark.parametrize("option", ["--seeds", "--jobs"])
def test_options_of_a_placement_without_one(command, tmp_path, option):
    message = command.fails("synth", tmp_path, option, "2")
    assert message == f"{option}: is for a placement: give --place as well"


@pytest.mark.parametrize("option", ["--out", "--hardware", "--calibration", "checkpoint"])
def test_empty_paths(command, option):
    arguments = ["generate", "tiny-v3", "--out", "x"]
    if option == "checkpoint":
        arguments[1] = ""
    elif option == "--out":
        arguments[3] = ""
    else:
        arguments += [option, ""]
    assert "must not be empty" in command.fails(*arguments)
