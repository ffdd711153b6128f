"""Calls of the command line, and what they leave behind."""

import json
import re
import subprocess
import sys
from pathlib import Path

from mla_hw.cli import main

__all__ = ["FILES", "PROCESS", "CommandLine", "names", "read", "run_process", "snapshot"]

#: Start of a command line that runs ``mla-hw`` in a process of its own.
PROCESS = (sys.executable, "-c", "import sys; from mla_hw.cli import main; sys.exit(main())")


#: What generate puts into a folder.
FILES = {
    "image.bin",
    "manifest.json",
    "predicted.json",
    "program.bin",
    "program.txt",
    "registers.h",
    "registers.md",
    "schedule.txt",
    "verilog",
}


def read(folder, name="manifest.json"):
    """Return a JSON file of a generated folder."""
    return json.loads((folder / name).read_text(encoding="utf-8"))


def names(folder):
    """Return the names of what lies in a folder."""
    return {path.name for path in folder.iterdir()}


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Contents of every file below a folder by its path; None for a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def run_process(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run ``mla-hw`` in a process of its own."""
    command = [*PROCESS, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


class CommandLine:
    """Runs commands in this process; ``parent`` is where ``--out`` folders lie."""

    def __init__(self, parent: Path, capsys) -> None:
        self.parent = parent
        self.capsys = capsys
        #: Standard error of the last command that succeeded.
        self.warnings = ""

    @property
    def out(self) -> Path:
        return self.parent / "core"

    def succeeds(self, *arguments: object) -> str:
        """Run a command that must succeed; return what it printed on standard output."""
        code = main([str(argument) for argument in arguments])
        output, errors = self.capsys.readouterr()
        assert code == 0, errors
        self.warnings = errors
        return output

    def fails(self, *arguments: object) -> str:
        """Run a command that must end with one line on standard error; return the message."""
        code = main([str(argument) for argument in arguments])
        errors = self.capsys.readouterr().err
        assert code == 1
        assert re.fullmatch(r"mla-hw: error: [^\n]+\n", errors), errors
        return errors.removeprefix("mla-hw: error: ").rstrip("\n")

    def generates(self, *arguments: object) -> str:
        """Generate ``out``, which must succeed."""
        return self.succeeds("generate", *arguments, "--out", self.out)

    def refuses(self, *arguments: object) -> str:
        """Generate ``out``, which must fail and leave everything beside it and in it alone."""
        before = snapshot(self.parent)
        message = self.fails("generate", *arguments, "--out", self.out)
        assert snapshot(self.parent) == before
        return message
