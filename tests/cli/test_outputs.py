"""Outputs do not destroy the folder that they are made from."""

import pytest

from mla_hw.cli.output_folder import check_output
from mla_hw.errors import ConfigError


@pytest.fixture
def folder(tmp_path):
    core = tmp_path / "core"
    for name in ("manifest.json", "image.bin", "verilog/accelerator.v", "results/old.json"):
        (core / name).parent.mkdir(parents=True, exist_ok=True)
        (core / name).write_text("")
    return core


@pytest.mark.parametrize("name", ["manifest.json", "image.bin", "verilog/accelerator.v"])
def test_a_file_of_generate_is_not_written_over(folder, name):
    with pytest.raises(ConfigError, match=r"^--json .*: is a file that generate made"):
        check_output(folder / name, "--json", folder)
    link = folder.parent / "link.json"
    link.symlink_to(folder / name)
    with pytest.raises(ConfigError, match="is a file that generate made"):
        check_output(link, "--json", folder)
    # Elsewhere the name says nothing.
    other = folder.parent / name
    other.parent.mkdir(exist_ok=True)
    other.write_text("")
    check_output(other, "--json", folder)


def test_what_commands_leave_in_the_folder_is(folder):
    check_output(folder / "results" / "old.json", "--json", folder)
    check_output(folder / "new.json", "--json", folder)


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
