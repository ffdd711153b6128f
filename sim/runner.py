"""Building and running the simulation of a core.

Everything happens in one folder: ``model`` has the compiled simulation, ``run`` the files of the
last run. The compiled simulation is used again while sources and options stay the same.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mla_hw.errors import ConfigError, ToolError
from sim.bench import TOP, CoreBench
from sim.job import Job, MemoryMode, hex_words
from sim.results import Dump, LogReader, TokenResult
from sim.simulators import SIMULATORS, environment, first_error, tool_versions

__all__ = ["PRIMITIVES", "CoreSimulation"]

_SIM = Path(__file__).resolve().parent
_MODELS = (_SIM / "models" / "axi_memory.v", _SIM / "models" / "axi_checker.v")
#: Behaviour of the primitives that a core instantiates, by the kind of its multipliers; two
#: families have one of the same name.
PRIMITIVES = {
    kind: _SIM / "models" / f"{file}.v"
    for kind, file in (
        ("ecp5", "ecp5"),
        ("ice40", "ice40_mac"),
        ("gowin", "gowin"),
        ("nexus", "nexus"),
    )
}
_VISIBLE = _SIM / "models" / "visible.vlt"
#: Headers in place of the two compression libraries that Verilator's FST writer is linked with.
_FST = _SIM / "fst"
_FST_LIBRARIES = ("liblz4.a", "libz.a")
_EMPTY_ARCHIVE = b"!<arch>\n"
_POLL_SECONDS = 0.02

_VERILATOR_ARGS = (
    "-Wno-fatal",
    "-Wno-lint",
    "-Wno-style",
    "-O3",
    "--output-split",
    "20000",
    "--x-assign",
    "fast",
    "--x-initial",
    "fast",
    "--noassert",
)


@dataclass(kw_only=True)
class CoreSimulation:
    """One core on one simulator.

    Parameters
    ----------
    folder : Path
        Where to build and run; made if need be.
    sources : sequence of Path
        Verilog of the core and of what it instantiates.
    bench : CoreBench
        The simulation's top.
    simulator : str
        One of :data:`SIMULATORS`.
    waves : Path, optional
        FST file for the waves of all signals.
    progress : callable, optional
        Called with one line of text at each step.

    Raises
    ------
    ConfigError
        For an unknown simulator, and a folder that Verilator cannot build in.
    ToolError
        If the simulator is not installed.
    """

    folder: Path
    sources: Sequence[Path]
    bench: CoreBench
    simulator: str = "verilator"
    waves: Path | None = None
    progress: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        if self.simulator not in SIMULATORS:
            raise ConfigError(
                f"--sim: must be one of {', '.join(SIMULATORS)}, not {self.simulator!r}"
            )
        self.folder = Path(self.folder).resolve()
        if self.simulator == "verilator" and any(letter.isspace() for letter in str(self.folder)):
            raise ConfigError(
                f"{self.folder}: Verilator's makefiles build in no path with spaces; move the "
                "folder or take --sim icarus"
            )
        self._environment = environment(self.simulator)

    @property
    def tools(self) -> dict[str, str]:
        """Version of cocotb and of the simulator."""
        return tool_versions(self.simulator)

    def build(self) -> bool:
        """Compile the simulation; return False if it was up to date.

        Raises
        ------
        ToolError
            If the compilation fails; names its log file.
        """
        model = self.folder / "model"
        stamp = model / "stamp"
        wanted = self._stamp()
        if stamp.is_file() and stamp.read_text(encoding="ascii") == wanted:
            return False
        # Make does not notice a stale precompiled header, so nothing is kept.
        shutil.rmtree(model, ignore_errors=True)
        model.mkdir(parents=True)
        top = model / f"{TOP}.v"
        top.write_text(self.bench.verilog(), encoding="utf-8")
        for name in _FST_LIBRARIES:
            (model / name).write_bytes(_EMPTY_ARCHIVE)
        self.progress(f"build the simulation with {self.simulator}")
        log = self.folder / "build.log"
        keywords = {
            "sources": [str(path) for path in (*self.sources, *_MODELS, top)],
            "hdl_toplevel": TOP,
            "build_dir": str(model),
            "build_args": self._build_args(),
            "timescale": ("1ns", "1ps"),
            # On Icarus the simulation's top opens the file.
            "waves": self.waves is not None and self.simulator == "verilator",
            "always": True,
        }
        try:
            code = self._launch("build", keywords, log).wait()
        except BaseException:
            shutil.rmtree(model, ignore_errors=True)
            raise
        if code:
            shutil.rmtree(model, ignore_errors=True)
            raise ToolError(f"Building the simulation failed: {first_error(log)} (log: {log})")
        stamp.write_text(wanted, encoding="ascii")
        return True

    def run(
        self,
        job: Job,
        image: bytes,
        *,
        memory: MemoryMode,
    ) -> Generator[TokenResult]:
        """Simulate; yield the result of every token as soon as it is there.

        The iterator ends after a token that went wrong; closing it ends the simulation.

        Parameters
        ----------
        job : Job
        image : bytes
            Content of the memory from address 0; the rest is 0.
        memory : MemoryMode

        Raises
        ------
        ToolError
            If the simulation ends before its time; names its log file.
        """
        run = self.folder / "run"
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir(parents=True)
        self._write_image(run / "image.hex", image)
        job.write(run, self.bench.port_bytes)
        log = self.folder / "run.log"
        process = self._launch("test", self._test_keywords(run, memory), log)
        reader = LogReader(run / "log.txt", len(self.bench.dumps))
        try:
            for index in range(len(job.tokens)):
                done = run / f"token_{index}.json"
                while not done.is_file():
                    if process.poll() is not None and not done.is_file():
                        raise ToolError(
                            f"The simulation ended at token {index}: {first_error(log)} "
                            f"(log: {log})"
                        )
                    time.sleep(_POLL_SECONDS)
                result = json.loads(done.read_text(encoding="utf-8"))
                token_log = reader.token()
                if token_log.halt is not None and not token_log.begun:
                    raise ToolError(f"The core has halted, but {self.bench.start} was never high")
                stopped = token_log.violation or result["stopped"]
                dumps = [run / f"dump_{index}_{i}.hex" for i in range(len(self.bench.dumps))]
                yield TokenResult(
                    index=index,
                    stopped=stopped,
                    registers=result["registers"],
                    seconds=result["seconds"],
                    limit=job.tokens[index].limit,
                    log=token_log,
                    memories={
                        name: Dump.read(path, width)
                        for name, path, width in zip(
                            self.bench.dumps, dumps, reader.widths, strict=True
                        )
                    },
                )
                for path in dumps:
                    path.unlink()
                if stopped:
                    return
            if process.wait():
                raise ToolError(f"The simulation failed: {first_error(log)} (log: {log})")
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _test_keywords(self, run: Path, memory: MemoryMode) -> dict[str, Any]:
        plusargs = memory.plusargs
        test_args = []
        if self.waves:
            self.waves.parent.mkdir(parents=True, exist_ok=True)
            if self.simulator == "verilator":
                test_args += ["--trace-file", str(self.waves)]
            else:
                plusargs.append(f"+waves={self.waves}")
        return {
            "test_module": "sim.core_tests",
            "hdl_toplevel": TOP,
            "hdl_toplevel_lang": "verilog",
            "build_dir": str(self.folder / "model"),
            "test_dir": str(run),
            "results_xml": str(run / "results.xml"),
            "test_args": test_args,
            "plusargs": plusargs,
            "waves": self.waves is not None,
        }

    def _launch(self, step: str, keywords: dict[str, Any], log: Path) -> subprocess.Popen[bytes]:
        """Start cocotb's runner in a process group of its own."""
        settings = self.folder / f"{step}.json"
        settings.write_text(json.dumps(keywords, indent=2), encoding="utf-8")
        with log.open("wb") as file:
            return subprocess.Popen(
                [sys.executable, "-m", "sim.launch", self.simulator, step, str(settings)],
                cwd=self.folder,
                env={**self._environment, "MLA_HW_SIM_FOLDER": str(self.folder / "run")},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _write_image(self, path: Path, image: bytes) -> None:
        unit = self.bench.port_bytes
        if len(image) > self.bench.words * unit:
            raise ConfigError(
                f"The image has {len(image)} bytes, the memory {self.bench.words * unit}"
            )
        path.write_text(hex_words(image + bytes(-len(image) % unit), unit), encoding="ascii")

    def _build_args(self) -> list[str]:
        if self.simulator == "icarus":
            # As SystemVerilog, the emitted combinational processes would not run at time 0.
            return ["-g2005"]
        # cocotb's runner makes every signal visible, which takes two thirds of the speed. Only the
        # top needs to be; waves show everything all the same.
        arguments = [*_VERILATOR_ARGS, "--no-public-flat-rw", str(_VISIBLE)]
        if self.waves:
            libraries = self.folder / "model"
            arguments += ["--trace-fst", "-CFLAGS", f"-I{_FST}", "-LDFLAGS", f"-L{libraries}"]
        return arguments

    def _stamp(self) -> str:
        """Hash everything that the compiled simulation depends on."""
        digest = hashlib.sha256()
        for path in (*self.sources, *_MODELS, _VISIBLE):
            digest.update(path.read_bytes())
        digest.update(self.bench.verilog().encode())
        options = (self._build_args(), self.waves is not None, self.tools)
        digest.update(repr(options).encode())
        return digest.hexdigest()
