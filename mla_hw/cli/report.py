"""``mla-hw report``: one HTML page about a folder that ``generate`` made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mla_hw.cli.families import FAMILIES, UNITS
from mla_hw.cli.output_folder import MANIFEST, check_output, write_output
from mla_hw.cli.reasons import late_starts, stalls
from mla_hw.compile_layer import calibration_rows
from mla_hw.cycles.predict import predict
from mla_hw.cycles.timeline import Timeline
from mla_hw.design import Design
from mla_hw.errors import ConfigError
from mla_hw.graph import build_graph
from mla_hw.html.accuracy import accuracy_section
from mla_hw.html.doubts import doubts, warnings_section
from mla_hw.html.facts import BoardFacts, Facts, Resource, Step
from mla_hw.html.graph_drawing import graph_section
from mla_hw.html.memory_map import memory_section
from mla_hw.html.page import page_text
from mla_hw.html.resources import resources_section
from mla_hw.html.roofline import roofline_section
from mla_hw.html.simulation import Simulation, belongs_to, read_reports
from mla_hw.html.summary import summary_section
from mla_hw.html.timeline import timeline_section
from mla_hw.html.utilisation import utilisation_section
from mla_hw.nextpnr_report import read_cells, read_clocks

if TYPE_CHECKING:
    from boards import Board

__all__ = ["ReportPage", "collect_facts", "report"]

_PAGE = "report.html"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportPage:
    """Result of :func:`report`.

    Parameters
    ----------
    path : Path
        The page.
    warnings : tuple of str
        What is doubtful, as the page says it.
    """

    path: Path
    warnings: tuple[str, ...]


def report(
    directory: Path | str,
    *,
    html: Path | str | None = None,
    progress: Callable[[str], None] | None = None,
) -> ReportPage:
    """Write a page about a generated folder, with what simulate and synth have left in it.

    Parameters
    ----------
    directory : Path or str
        Folder that ``generate`` made.
    html : Path or str, optional
        File for the page; ``report.html`` in the folder by default.
    progress : callable, optional
        Called with one line of text at each step.

    Raises
    ------
    ConfigError
        If the folder is not a generated one, one of its files is damaged, or the page cannot be
        written; nothing is left half-written.
    """
    say = progress or (lambda _: None)
    folder = Path(directory)
    design = Design.load(folder)
    target = folder / _PAGE if html is None else Path(html)
    _check_own(folder, target)
    check_output(target, "--html")
    facts = collect_facts(folder, design, say)
    warnings = list(doubts(facts))
    sections = (
        summary_section(facts, len(warnings)),
        graph_section(build_graph(design.model, design.scheme), facts.last.positions[0] + 1),
        timeline_section(facts),
        roofline_section(facts),
        utilisation_section(facts),
        resources_section(facts),
        memory_section(facts),
        accuracy_section(facts),
        warnings_section(warnings),
    )
    core, layer = design.core, design.manifest["layer"]
    text = page_text(
        f"{folder.resolve().name}: {design.model.model_type}, layer {layer}",
        f"{core.rows}×{core.columns} core for {facts.board.name}, scheme {design.scheme}, "
        f"configuration {design.manifest['hash']}",
        sections,
    )
    say("write the page")
    write_output(target, text, "--html")
    return ReportPage(path=target, warnings=tuple(warnings))


def collect_facts(folder: Path, design: Design, say: Callable[[str], None]) -> Facts:
    """Read, predict and estimate everything that the page shows.

    Raises
    ------
    ConfigError
        If a file of the folder is damaged.
    """
    _check_manifest(design, folder / MANIFEST)
    board = _load_board(design, folder / MANIFEST)
    # Before what takes long.
    build = folder / "build" / "synth"
    cells = read_cells(build / "pack.json")
    fmax = read_clocks(build, board.core_mhz)
    simulation, stale = _read_simulation(folder, design)
    say("predict cycles")
    rows, same = design.core.query_rows, design.memory.same_sequence
    last = design.context - (rows if same else 1)
    positions = tuple(last + row * same for row in range(rows))
    timeline = predict(design.program, design.core, design.memory, positions)
    steps: dict[str, Step] = {}
    if simulation is not None and simulation.last_token is not None:
        token = simulation.last_token
        own = design.memory.positions(token)
        steps = {
            side: _step(
                design, side, line, own, simulation.counters if side == "simulated" else None
            )
            for side, line in simulation.timelines.items()
        }
    say(f"estimate resources of the {design.core.rows}×{design.core.columns} core")
    return Facts(
        design=design,
        board=BoardFacts(
            name=board.name,
            device=board.device.name,
            core_mhz=board.core_mhz,
            memory_bytes=board.memory.size_bytes,
            bytes_per_cycle=board.memory.peak_bytes_per_second / (board.core_mhz * 1e6),
        ),
        last=_step(design, "predicted", timeline, positions),
        simulation=simulation,
        stale=stale,
        simulated=steps.get("simulated"),
        predicted=steps.get("predicted"),
        calibrated=_is_calibrated(design),
        resources=_resources(design, board, cells),
        fmax_mhz=fmax,
    )


def _step(
    design: Design,
    side: str,
    timeline: Timeline,
    positions: tuple[int, ...],
    counters: Mapping[str, int] | None = None,
) -> Step:
    return Step(
        side=side,
        timeline=timeline,
        positions=positions,
        late=late_starts(design, timeline),
        within=stalls(design, timeline),
        counters=counters,
    )


def _check_own(folder: Path, target: Path) -> None:
    """Refuse to write over what another command has put into the folder."""
    place = target.resolve()
    if place.exists() and place.is_relative_to(folder.resolve()) and place.suffix != ".html":
        raise ConfigError(f"--html {target}: is a file of {folder}, which is not replaced")


def _check_manifest(design: Design, path: Path) -> None:
    """Check what the page shows of the manifest and :meth:`Design.load` does not look at."""
    manifest = design.manifest
    for key, kind in {"board": str, "layer": int, "tools": dict, "passes": list}.items():
        if not isinstance(manifest.get(key), kind):
            raise ConfigError(
                f"{path}: {key}: expected {kind.__name__}, not {manifest.get(key)!r}: generate the "
                "folder again"
            )
    good = {
        "calibration": _is_calibration(manifest.get("calibration")),
        "scales": _are_numbers(design.scales),
        "tensors": all(type(tensor.size) is int for tensor in design.memory.tensors),
        "phases": all(isinstance(name, str) for name in manifest["phases"]),
        "tools": all(isinstance(version, str) for version in manifest["tools"].values()),
    }
    for key, fits in good.items():
        if not fits:
            raise ConfigError(f"{path}: {key}: is damaged: generate the folder again")


def _is_calibration(value: object) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("maxima"), dict):
        return False
    return isinstance(value.get("rows"), int) and _are_numbers(value["maxima"])


def _are_numbers(values: Mapping[str, Any]) -> bool:
    return all(type(value) in (int, float) for value in values.values())


def _load_board(design: Design, path: Path) -> "Board":
    # The outer packages, and with them Amaranth, are not loaded before they are needed.
    from boards import load_board

    try:
        return load_board(design.manifest["board"])
    except ConfigError as error:
        raise ConfigError(f"{path}: board: {error}") from None


def _is_calibrated(design: Design) -> bool:
    """Whether the calibration rows are others than those that stand in for a file."""
    default = calibration_rows(design.model.hidden_size)
    calibration = design.manifest["calibration"]
    seen = calibration["rows"], calibration["maxima"].get("x")
    return seen != (len(default), float(np.abs(default).max()))


def _read_simulation(folder: Path, design: Design) -> tuple[Simulation | None, tuple[str, ...]]:
    """Return the first simulation of this folder, and the names of those of another one."""
    found, stale = None, []
    for path, data in read_reports(folder).items():
        if not belongs_to(data, design):
            stale.append(f"results/{path.name}")
        elif found is None:
            try:
                found = Simulation.from_dict(data, design, path.name)
            except ConfigError as error:
                raise ConfigError(f"{path}: is damaged ({error}): simulate again") from None
    return found, tuple(stale)


def _resources(design: Design, board: "Board", cells: Mapping[str, int]) -> tuple[Resource, ...]:
    from rtl_gen.resources import count_multipliers, estimate_luts, map_memories

    core, device = design.core, board.device
    memories = map_memories(core, device)
    estimated = {
        "lut": estimate_luts(core, device, memories.distributed),
        "dsp": count_multipliers(core),
        "bram": memories.blocks,
    }
    rows = FAMILIES[device.family].rows if device.family in FAMILIES else {}
    return tuple(
        Resource(
            name=unit,
            available=getattr(device, name),
            estimated=estimated.get(name),
            counted=cells.get(rows.get(name, "")),
        )
        for name, unit in UNITS.items()
    )
