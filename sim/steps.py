"""Steps of a small simulation, each a process of its own: build, then test."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mla_hw.errors import ToolError
from sim.core_tests import FOLDER_VARIABLE
from sim.simulators import environment, first_error

__all__ = ["build_step", "run_step", "test_step"]

_VISIBLE = Path(__file__).resolve().parent / "models" / "visible.vlt"
_VERILATOR_ARGS = (
    *("-Wno-fatal", "-Wno-lint", "-Wno-style", "-O3", "--output-split", "20000"),
    *("--x-assign", "fast", "--x-initial", "fast", "--no-public-flat-rw"),
)


def build_step(folder: Path, simulator: str, top: str, sources: list[Path]) -> None:
    """Compile sources below ``folder/model``; raises as :func:`run_step`."""
    is_verilator = simulator == "verilator"
    keywords = {
        "sources": [str(path) for path in sources],
        "hdl_toplevel": top,
        "build_dir": str(folder / "model"),
        "build_args": [*_VERILATOR_ARGS, str(_VISIBLE)] if is_verilator else ["-g2005"],
        "timescale": ("1ns", "1ps"),
        "always": True,
    }
    run_step(folder, simulator, "build", keywords)


def test_step(folder: Path, simulator: str, top: str, module: str) -> None:
    """Run the coroutines of a module; raises as :func:`run_step`."""
    keywords = {
        "test_module": module,
        "hdl_toplevel": top,
        "hdl_toplevel_lang": "verilog",
        "build_dir": str(folder / "model"),
        "test_dir": str(folder),
        "results_xml": str(folder / "results.xml"),
    }
    run_step(folder, simulator, "test", keywords)


def run_step(folder: Path, simulator: str, step: str, keywords: Mapping[str, Any]) -> None:
    """Call cocotb's runner.

    Raises
    ------
    ToolError
        If it fails; names the log file.
    """
    settings, log = folder / f"{step}.json", folder / f"{step}.log"
    settings.write_text(json.dumps(keywords), encoding="utf-8")
    with log.open("wb") as file:
        code = subprocess.run(
            [sys.executable, "-m", "sim.launch", simulator, step, str(settings)],
            cwd=folder,
            env={**environment(simulator), FOLDER_VARIABLE: str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    if code:
        raise ToolError(f"The simulation's {step} failed: {first_error(log)} (log: {log})")
