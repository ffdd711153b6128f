"""``mla-hw simulate``: run a generated core and compare it with the golden model in every bit."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mla_hw.cli.board_memory import design_board, sdram_timing
from mla_hw.cli.hidden_rows import HiddenRows
from mla_hw.cli.output_folder import check_different, check_output, make_folder
from mla_hw.cli.simulation_run import Corruption, Interruption, SimulationRun
from mla_hw.cli.trace_file import trace_text
from mla_hw.cli.versions import tool_versions
from mla_hw.cycles.sdram import SdramTiming
from mla_hw.design import Design, verilog_sources
from mla_hw.errors import ConfigError
from mla_hw.hardware import CoreConfig
from mla_hw.host.layers import layer_design
from sim.bench import CoreBench, Port
from sim.check import Difference, core_contents
from sim.job import MemoryMode
from sim.runner import PRIMITIVES, CoreSimulation
from sim.waves import save_file

__all__ = ["Corruption", "Difference", "Interruption", "SimulationReport", "simulate"]

_RESULTS = "results"


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulationReport:
    """Result of :func:`simulate`.

    Parameters
    ----------
    bit_exact : bool
        Whether every comparison of every token has held.
    difference : Difference or None
        The first that has not; nothing is simulated behind it.
    tokens : int
        Tokens simulated, of each query row.
    relative_error, cosine : tuple of float
        Of the rows that have a reference, ‖y_core·scale − y‖₂ / ‖y‖₂ and the cosine between both.
    relative_error_total : float or None
        The same over these rows together.
    cycles : dict of str to list of int
        ``simulated`` and ``predicted``, one number per token.
    phases : list of dict
        ``phase``, ``simulated``, ``predicted``: cycles of all tokens together.
    instructions : list of dict
        ``token``, ``index``, ``iteration``, ``text``, ``engine``, ``cause`` (what the start has
        waited for) and ``stalls`` (cycles for which the array waits within it for ``weights``,
        ``latents`` and ``drain``), both as predicted; ``start`` and ``end`` with their
        ``simulated`` and ``predicted`` cycles.
    saturated : dict of str to int
        Saturations by place.
    counters : list of dict
        The core's counters after each token.
    sim_cycles_per_second : float
        Simulated cycles per second of wall time, without the build.
    memory, simulator : str
        As asked for.
    scheme : str
        Of the folder.
    layer : int or None
        As asked for.
    waves : str or None
        FST file.
    hash, weights_hash : str
        From the manifest.
    tools : dict of str to str
        Versions.
    files : tuple of Path
        What was written: report, rows, waves; not in the JSON.
    """

    bit_exact: bool
    difference: Difference | None
    tokens: int
    relative_error: tuple[float, ...]
    cosine: tuple[float, ...]
    relative_error_total: float | None
    cycles: dict[str, list[int]]
    phases: list[dict[str, Any]]
    instructions: list[dict[str, Any]]
    saturated: dict[str, int]
    counters: list[dict[str, int]]
    sim_cycles_per_second: float
    memory: str
    simulator: str
    scheme: str
    waves: str | None
    hash: str
    weights_hash: str
    tools: dict[str, str]
    files: tuple[Path, ...]
    layer: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the report in JSON's types."""
        data = {name: getattr(self, name) for name in self.__slots__ if name != "files"}
        data["difference"] = self.difference and self.difference.to_dict()
        data["relative_error"] = list(self.relative_error)
        data["cosine"] = list(self.cosine)
        return data


def simulate(
    directory: Path | str,
    *,
    hidden: Path | str | None = None,
    layer: int | None = None,
    prefill: int | Sequence[int] = 0,
    memory: str = "fixed:32",
    simulator: str = "verilator",
    waves: bool = False,
    output: Path | str | None = None,
    json_path: Path | str | None = None,
    trace: Path | str | None = None,
    progress: Callable[[str], None] | None = None,
    corrupt: Sequence[Corruption] = (),
    interrupt: Sequence[Interruption] = (),
) -> SimulationReport:
    """Decode rows one after another on the simulated core, and compare every bit after each.

    Compared are all buffers of the core, the cache row and y, everything else that was written to
    memory, and the saturation counters. Writes below ``directory/build`` and ``directory/results``,
    and the files that are named.

    Parameters
    ----------
    directory : Path or str
        Folder that ``generate`` made, with its image.
    hidden : Path or str, optional
        NPZ file with array ``x`` [tokens, hidden_size] and, for accuracy figures, ``y``: the
        reference of the last ``len(y)`` tokens. Where there are several query rows, both are
        [tokens, query_rows, hidden_size]. Without it, 4 seeded rows.
    layer : int, optional
        Of the image, by its number in the checkpoint; without it, the first one.
    prefill : int or sequence of int
        Tokens whose cache rows the golden model writes, or how many of each query row; the others
        are simulated.
    memory : str
        ``fixed:LATENCY``, ``random:SEED``, or ``dram``: the board's SDRAM.
    simulator : str
        ``verilator`` or ``icarus``.
    waves : bool
        Write ``results/waves.fst`` and a GTKWave save file.
    output : Path or str, optional
        NPZ file for the simulated rows: ``y_int`` as the core writes it, and ``y``.
    json_path : Path or str, optional
        File for the report.
    trace : Path or str, optional
        File for the predicted and the simulated timeline in the Chrome trace-event format.
    progress : callable, optional
        Called with one line of text at each step.
    corrupt : sequence of Corruption
        For tests: what the core is to see wrongly.
    interrupt : sequence of Interruption
        For tests: runs that are to end with an error, ahead of the token's whole run.

    Raises
    ------
    ConfigError
        For a folder, file or number that does not fit.
    ToolError
        If the simulator is missing or fails; names its log file.
    """
    folder = Path(directory)
    say = progress or (lambda _: None)
    design = layer_design(Design.load(folder), layer)
    folder = folder.absolute()
    if not design.image:
        raise ConfigError(f"{directory}: has no image.bin: generate it without --no-image")
    mode = MemoryMode.parse(memory)
    if mode.kind == "dram":
        mode = replace(mode, sdram=_sdram(design))
    rows = HiddenRows.read(hidden, design, prefill)
    results = folder / _RESULTS
    # The report may go to its usual place by --json as well.
    usual = results / f"simulate-{simulator}.json"
    check_different(hidden=hidden, json=json_path or usual, output=output, trace=trace)
    for path, option in ((output, "--output"), (json_path, "--json"), (trace, "--trace")):
        if path is not None:
            check_output(path, option)
    run = SimulationRun(
        design,
        rows,
        mode=mode,
        corrupt=corrupt,
        interrupt=interrupt,
        progress=say,
    )
    sources = verilog_sources(folder, design.manifest)
    name = f"{simulator}-waves" if waves else simulator
    simulation = CoreSimulation(
        folder=folder / "build" / name,
        sources=[
            *sources,
            *(path for kind, path in PRIMITIVES.items() if kind == design.core.multiplier),
        ],
        bench=CoreBench(
            ports={name: Port(**port) for name, port in design.manifest["ports"].items()},
            memory_bytes=design.memory.size,
            dumps=tuple(core_contents(run.machine)),
            watched=_watched(design.core),
        ),
        simulator=simulator,
        waves=results / "waves.fst" if waves else None,
        progress=say,
    )
    make_folder(results)
    make_folder(folder / "build")
    simulation.build()
    say(f"simulate {len(run.timelines)} tokens")
    run.simulate(simulation)
    files = [f"simulate-{simulator}.json"]
    if simulation.waves:
        (results / "waves.gtkw").write_text(save_file(simulation.bench), encoding="utf-8")
        files += ["waves.fst", "waves.gtkw"]
    report = SimulationReport(
        bit_exact=run.difference is None,
        difference=run.difference,
        tokens=len(run.results),
        **run.accuracy(),
        cycles=run.cycles(),
        phases=run.phases(),
        instructions=run.instructions(),
        saturated=dict(run.saturated),
        counters=run.counters(),
        sim_cycles_per_second=run.cycles_per_second(),
        memory=memory,
        simulator=simulator,
        scheme=design.scheme,
        waves=str(simulation.waves) if simulation.waves else None,
        hash=design.manifest["hash"],
        weights_hash=design.manifest["weights_hash"],
        layer=layer,
        tools={**tool_versions("amaranth", "numpy"), **simulation.tools},
        files=(
            *(Path(directory) / _RESULTS / name for name in files),
            *(Path(path) for path in (json_path, output, trace) if path is not None),
        ),
    )
    text = json.dumps(report.to_dict(), indent=2) + "\n"
    usual.write_text(text, encoding="utf-8")
    if json_path is not None:
        _write(json_path, text, "--json")
    if trace is not None:
        _write(trace, trace_text(report), "--trace")
    if output is not None:
        y_int = np.array(run.y, np.int16)
        try:
            with Path(output).open("wb") as file:
                np.savez(file, y_int=y_int, y=y_int * design.scales["y"])
        except OSError as error:
            raise ConfigError(f"--output {output}: cannot be written: {error.strerror}") from None
    return report


def _sdram(design: Design) -> SdramTiming:
    """Return the timing of the memory of the board that the core was generated for."""
    return sdram_timing(design_board(design), design.core.port_bytes)


def _watched(core: CoreConfig) -> dict[str, list[tuple[str, int]]]:
    """Return the signals that tell what keeps the array busy or waiting."""
    blocks = core.ring_blocks.bit_length()
    return {
        "Array": [
            ("array_engine.issued", 1),
            ("array_engine.done", 1),
            ("weight_fifo.freed", 1),
            ("latent_ring.filled", blocks),
            ("latent_ring.release", blocks),
        ]
    }


def _write(path: Path | str, text: str, option: str) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{option} {path}: cannot be written: {error.strerror}") from None
