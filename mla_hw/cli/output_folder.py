"""The folders that commands make: written beside their place and renamed."""

import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from mla_hw.errors import ConfigError
from mla_hw.fields import read_json_object

__all__ = [
    "MANIFEST",
    "check_different",
    "check_output",
    "check_target",
    "make_folder",
    "replace_folder",
    "write_output",
]

MANIFEST = "manifest.json"
#: What generate puts into a folder.
_MADE = frozenset({
    *(MANIFEST, "predicted.json", "program.bin", "program.txt", "image.bin", "schedule.txt"),
    *("registers.h", "registers.md", "constraints.sdc", "integration.md", "verilog"),
})
#: Together they are nobody else's.
_SIGNS = (MANIFEST, "program.bin", "schedule.txt", "registers.h", "verilog/accelerator.v")
#: By the command that makes a folder: a JSON file in it and keys that the file has.
_MARKS = {
    "generate": (MANIFEST, frozenset({"format", "hash", "weights_hash", "regions"})),
    "paper": ("paper.json", frozenset({"paper", "table1", "curves", "crossings"})),
}


def check_target(target: Path, what: str, *, maker: str = "generate") -> None:
    """Refuse early what cannot be made or must not be replaced.

    Parameters
    ----------
    target : Path
        Folder to make, without symbolic links; one that the same command made may be replaced.
    what : str
        How errors begin.
    maker : str
        The command: ``"generate"`` or ``"paper"``.

    Raises
    ------
    ConfigError
        If it is a file, a folder with other things in it, or its parent cannot be written.
    """
    if target.exists() and not target.is_dir():
        raise ConfigError(f"{what}: must be a folder to make or replace, not a file")
    if target.is_dir() and any(target.iterdir()) and not _made_by(target, maker):
        raise ConfigError(
            f"{what}: is not empty and was not made by {maker}, so it is not replaced"
        )
    _check_parent(target, what)
    try:
        _work_folder(target).rmdir()
    except OSError as error:
        raise ConfigError(f"{what}: cannot be written: {error.strerror}") from None


def make_folder(path: Path) -> Path:
    """Make a folder that may be there, with its parents; return it.

    Raises
    ------
    ConfigError
        If it cannot be made or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        reason = error.strerror if path.is_dir() else f"must be a folder, {error.strerror}"
        raise ConfigError(f"{path}: cannot be written: {reason}") from None
    return path


def _made_by(folder: Path, maker: str) -> bool:
    if maker == "generate" and all((folder / name).is_file() for name in _SIGNS):
        # Even with a manifest that is damaged.
        return True
    name, keys = _MARKS[maker]
    try:
        mark = read_json_object(folder / name, ConfigError)
    except ConfigError:
        return False
    return mark.keys() >= keys


def _work_folder(target: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=".mla-hw-", dir=target.parent))


def replace_folder(target: Path, files: Mapping[str, str | bytes], what: str) -> None:
    """Write a folder beside the target and rename it; the target changes only if all is well.

    Parameters
    ----------
    target : Path
        As for :func:`check_target`.
    files : mapping
        Contents by path in the folder; text is written as UTF-8.
    what : str
        How errors begin.

    Raises
    ------
    ConfigError
        If it cannot be written; the target is as before.
    """
    try:
        work = _work_folder(target)
        new, old = work / "new", work / "old"
        try:
            for name, content in files.items():
                path = new / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.encode() if isinstance(content, str) else content)
            try:
                if target.exists():
                    target.rename(old)
                new.rename(target)
            except BaseException:
                if old.exists() and not target.exists():
                    old.rename(target)
                raise
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise ConfigError(f"{what}: cannot be written: {error.strerror}") from None


def check_output(path: Path | str, option: str) -> None:
    """Refuse, before long work, a file that cannot be written, or is one that generate made.

    Parameters
    ----------
    path : Path or str
        In a generated folder only what other commands leave there may be written over.
    option : str

    Raises
    ------
    ConfigError
        Names the option.
    """
    target = Path(path).absolute()
    if target.exists():
        place = target.resolve()
        # Nothing that generate makes lies deeper.
        for folder in list(place.parents)[:2]:
            if place.relative_to(folder).parts[0] in _MADE and _made_by(folder, "generate"):
                raise ConfigError(
                    f"{option} {path}: is a file that generate made, another is wanted"
                )
    if target.is_dir():
        raise ConfigError(f"{option} {path}: must be a file, not a folder")
    _check_parent(target, f"{option} {path}")
    try:
        if target.exists():
            target.open("ab").close()
        else:
            tempfile.TemporaryFile(dir=target.parent).close()
    except OSError as error:
        raise ConfigError(f"{option} {path}: cannot be written: {error.strerror}") from None


def write_output(path: Path | str, text: str, option: str) -> None:
    """Write a file as a whole, or not at all.

    Raises
    ------
    ConfigError
        Names the option.
    """
    place = Path(os.path.realpath(path))
    try:
        if place.exists() and not stat.S_ISREG(place.stat().st_mode):
            # A pipe or a device is written to and not replaced.
            place.write_text(text, encoding="utf-8")
            return
        part = place.with_name(f".{place.name}.{os.getpid()}")
        try:
            part.write_text(text, encoding="utf-8")
            part.replace(place)
        finally:
            with suppress(OSError):
                part.unlink()
    except OSError as error:
        raise ConfigError(f"{option} {path}: cannot be written: {error.strerror}") from None


def check_different(**files: Path | str | None) -> None:
    """Refuse one file in two roles.

    Parameters
    ----------
    files : Path or str or None
        Files by option, without the dashes.

    Raises
    ------
    ConfigError
        Names both options.
    """
    seen: dict[Path, str] = {}
    for option, path in files.items():
        if path is not None:
            place = Path(path).resolve()
            if place in seen:
                raise ConfigError(f"--{option} {path}: is the file of --{seen[place]}")
            seen[place] = option


def _check_parent(target: Path, what: str) -> None:
    if target.parent.exists() and not target.parent.is_dir():
        raise ConfigError(f"{what}: {target.parent} is a file, not a folder")
    if not target.parent.is_dir():
        raise ConfigError(f"{what}: the folder {target.parent} does not exist")
