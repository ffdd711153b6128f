"""What only shows between processes: pipes, signals, encodings."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command import PROCESS, run_process, snapshot


def start(*arguments, **options):
    return subprocess.Popen(
        [*PROCESS, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.parametrize("arguments", [["models"], ["boards"], ["--version"], ["--help"]])
def test_output_into_a_closed_pipe(arguments):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        result = subprocess.run(
            [*PROCESS, *arguments], stdout=writing, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(writing)
    assert result.stderr == b""
    assert result.returncode in {0, 1}  # argparse's own output ends with 0


def test_reader_that_stops_reading(command):
    before = snapshot(command.parent)
    with start("generate", "tiny-v3", "--context", 16, "--out", command.out) as process:
        assert process.stdout.readline() == "choose head passes\n"
        process.stdout.close()
        assert process.wait(60) == 1
        errors = process.stderr.read()
    assert errors == ""
    assert snapshot(command.parent) == before


@pytest.mark.parametrize("stage", ["compile", "emit Verilog"])
def test_interrupt(command, stage):
    before = snapshot(command.parent)
    with start("generate", "tiny-v3", "--context", 16, "--out", command.out) as process:
        while not (line := process.stdout.readline()).startswith(stage):
            assert line
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=60)[1]
    assert errors == "mla-hw: interrupted\n"
    assert process.returncode == 130
    assert snapshot(command.parent) == before


def test_full_disk_under_standard_output():
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [*PROCESS, "boards"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert result.returncode == 1
    assert result.stderr == "mla-hw: error: No space left on device\n"


def test_terminal_without_unicode():
    result = run_process("boards", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert result.returncode == 0
    assert "4?8" in result.stdout


def test_name_that_no_file_can_have(command):
    message = command.refuses("a" * 5000)
    assert message.endswith("File name too long")


def test_the_script_is_installed():
    script = Path(sys.executable).with_name("mla-hw")
    result = subprocess.run([script, "--version"], capture_output=True, text=True, check=False)
    assert result.stdout.startswith("mla-hw ")
