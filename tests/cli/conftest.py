import json
import shutil

import pytest

from mla_hw.cli import generate as generate_module
from mla_hw.cli import head_passes
from mla_hw.cli.generate import generate
from tests.cli.command import CommandLine
from tests.reference_cases import case_dir

SMALL_ARRAY = "rows: 2\ncolumns: 4\n"


@pytest.fixture(scope="session")
def small_array(tmp_path_factory):
    path = tmp_path_factory.mktemp("hardware") / "small.yaml"
    path.write_text(SMALL_ARRAY)
    return path


@pytest.fixture(scope="session")
def _generated(tmp_path_factory, small_array):
    folder = tmp_path_factory.mktemp("generated") / "core"
    generate(case_dir("tiny-v3"), out=folder, hardware=small_array, context=64)
    return folder


@pytest.fixture
def generated(_generated, tmp_path):
    """A generated folder that the test may damage."""
    return shutil.copytree(_generated, tmp_path / "generated")


@pytest.fixture
def generated_rows(tmp_path, small_array):
    """A generated folder of a core for two sequences."""
    folder = tmp_path / "generated"
    generate(case_dir("tiny-v3"), out=folder, hardware=small_array, context=16, rows=2)
    return folder


@pytest.fixture
def command(tmp_path, capsys):
    """Runs commands; at ``command.out`` lies a folder that generate may replace."""
    line = CommandLine(tmp_path / "parent", capsys)
    line.out.mkdir(parents=True)
    mark = {"format": 1, "hash": "", "weights_hash": "", "regions": {}}
    (line.out / "manifest.json").write_text(json.dumps(mark))
    (line.out / "old.txt").write_text("as before")
    return line


@pytest.fixture
def _without_verilog(monkeypatch):
    """Saves the seconds that the gateware takes, where a test is not about it."""
    monkeypatch.setattr(generate_module, "_verilog", lambda _: ({}, {}))
    monkeypatch.setattr(head_passes, "check_device", lambda *_: None)


@pytest.fixture
def hardware(tmp_path):
    """Writes a file for --hardware."""

    def write(**keys):
        path = tmp_path / "hardware.yaml"
        path.write_text(json.dumps(keys))  # JSON is YAML
        return path

    return write
