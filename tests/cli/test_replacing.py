"""generate replaces a folder as a whole, or leaves it as it was."""

import errno
import os
from pathlib import Path

import pytest

from mla_hw.cli import generate as generate_module
from tests.cli.command import FILES, names, snapshot


@pytest.mark.usefixtures("_without_verilog")
def test_a_generated_folder_is_replaced(command):
    command.generates("tiny-v3", "--context", 8)
    assert names(command.out) == FILES - {"verilog"}  # old.txt is gone
    assert names(command.parent) == {"core"}


@pytest.mark.usefixtures("_without_verilog")
@pytest.mark.parametrize("kind", ["absent", "empty", "link", "dangling link", "relative"])
def test_targets(command, tmp_path, monkeypatch, kind):
    (tmp_path / "new").mkdir()
    target = tmp_path / "new" / "core"
    place = target
    if kind == "empty":
        target.mkdir()
    elif kind == "link":
        place = command.out
        target.symlink_to(command.out)
    elif kind == "dangling link":
        place = tmp_path / "new" / "elsewhere"
        target.symlink_to(place)
    elif kind == "relative":
        monkeypatch.chdir(tmp_path)
        target = Path("new") / ".." / "new" / "core"
    output = command.succeeds("generate", "tiny-v3", "--context", 8, "--out", target)
    assert f"written to {target}" in output
    assert names(place) == FILES - {"verilog"}
    assert target.is_symlink() == ("link" in kind)
    assert names(tmp_path / "new") <= {"core", "elsewhere"}


@pytest.mark.usefixtures("_without_verilog")
def test_permissions_are_the_users(command):
    mask = os.umask(0o027)
    try:
        command.generates("tiny-v3", "--context", 8)
    finally:
        os.umask(mask)
    assert command.out.stat().st_mode & 0o777 == 0o750
    assert (command.out / "manifest.json").stat().st_mode & 0o777 == 0o640


@pytest.mark.usefixtures("_without_verilog")
@pytest.mark.parametrize("when", ["write_bytes", "rename"])
def test_full_disk(command, monkeypatch, when):
    """The last write or the last rename fails: the folder of before is back."""
    original = getattr(Path, when)

    def fail(path, *arguments):
        if path.name in {"predicted.json", "new"}:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(path, *arguments)

    monkeypatch.setattr(Path, when, fail)
    message = command.refuses("tiny-v3", "--context", 8)
    assert message == f"--out {command.out}: cannot be written: No space left on device"


@pytest.mark.usefixtures("_without_verilog")
@pytest.mark.parametrize("owner", [generate_module, Path])
def test_a_bug_leaves_nothing(command, monkeypatch, owner):
    def fail(*_):
        raise RuntimeError("a bug")

    before = snapshot(command.parent)
    monkeypatch.setattr(owner, "_verilog" if owner is generate_module else "write_bytes", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        generate_module.generate("tiny-v3", out=command.out, context=8)
    assert snapshot(command.parent) == before
