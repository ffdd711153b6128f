"""Build the bitstreams of all boards: ``make boards``; takes hours.

    python -m benchmarks.boards [--output FILE] [--seeds 1 2 3] [--jobs N] [--predict] [BOARD ...]

Each board gets its default core for DeepSeek-V2-Lite or, where that does not fit, for the largest
preset that does; its top is placed and routed with every seed. Writes resources, clocks and the
predicted tokens per second as JSON, and the tables of docs/boards.md. Boards that are not asked for
keep their figures. With ``--predict`` nothing is built: models and tokens per second are worked out
anew, resources and clocks stay.
"""

import argparse
import json
import statistics
import sys
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mla_hw
from benchmarks.cores import write_core
from benchmarks.report import (
    BOARDS,
    BOARDS_PAGE,
    LINE_WIDTH,
    caption,
    commit,
    markdown,
    read_placements,
    read_results,
    say,
    write_marked,
)
from boards import Board, list_boards, load_board
from mla_hw.cli.fit import fit
from mla_hw.errors import CapacityError, MlaHwError
from mla_hw.hardware import HardwareConfig
from mla_hw.presets import PRESETS, find_preset
from mla_hw.schedule import schedule_layer

MODEL = "deepseek-v2-lite"
CONTEXT = 1024
#: What the cores of boards are shown for that no preset fits.
SMALLEST = "tiny-v3"
RESOURCES = ("lut", "ff", "dsp", "bram")


def largest_model(board: str) -> tuple[str | None, dict[str, str]]:
    """Return the model that a board is built for, and why larger ones do not fit."""
    others = sorted(
        (name for name in PRESETS if name != MODEL),
        key=lambda name: (
            -find_preset(name).config.hidden_size * find_preset(name).config.num_attention_heads
        ),
    )
    refused: dict[str, str] = {}
    for name in (MODEL, *others):
        if name != MODEL and _larger(name):
            continue
        (row,) = fit(name, boards=[board])
        if row.fits:
            return name, refused
        refused[name] = row.reason
    return None, refused


def _larger(name: str) -> bool:
    """Whether a preset is at least as large as the model that has not fitted."""
    config, other = find_preset(name).config, find_preset(MODEL).config
    return (
        config.hidden_size * config.num_attention_heads
        >= other.hidden_size * other.num_attention_heads
    )


def plan(board: Board) -> dict[str, Any]:
    """Choose a board's model and predict a step of it."""
    model, refused = largest_model(board.name)
    say(f"{board.name}: {model or 'no preset fits'}")
    hardware = HardwareConfig.from_dict(board.hardware)
    figures: dict[str, Any] = {
        "device": board.device.name,
        "array": f"{hardware.rows}×{hardware.columns}",
        "clock_mhz": board.core_mhz,
        "model": model,
        "refused": refused,
    }
    return figures | (predicted(board, model) if model else {})


def build(
    board: Board,
    model: str | None,
    context: int,
    folder: Path,
    *,
    seeds: Sequence[int],
    jobs: int,
) -> dict[str, Any]:
    """Build one board and return its resources and clocks."""
    out = folder / "core"
    try:
        mla_hw.generate(
            model or SMALLEST,
            out=out,
            board=board.name,
            context=context + 1,
            image=False,
            progress=say,
        )
    except CapacityError as error:
        # What it would take, unit by unit.
        say(str(error))
        config, hardware = find_preset(SMALLEST).config, HardwareConfig.from_dict(board.hardware)
        enough = replace(hardware, activation_bytes=HardwareConfig().activation_bytes)
        core = schedule_layer(config, enough, multiplier=board.device.family).core
        write_core(folder, board.name, core)
        report = mla_hw.synth(folder, core=True, progress=say)
    else:
        report = mla_hw.synth(out, place=model is not None, seeds=seeds, jobs=jobs, progress=say)
    figures = report.to_dict()
    kept = (*RESOURCES, "design", "luts_per_unit", "fmax_mhz", "timing_met", "hash", "tools")
    return {name: figures[name] for name in kept}


def predicted(board: Board, model: str) -> dict[str, Any]:
    """Return cycles and tokens per second of a step, and what bounds them."""
    (row,) = fit(model, boards=[board.name])
    context = min(CONTEXT, row.context - 1)
    report = mla_hw.analyze(
        model,
        board=board.name,
        contexts=[context],
        schemes=["absorb"],
        predict=True,
        progress=say,
    )
    (prediction,) = report.predictions
    (estimate,) = report.estimates
    if prediction.missing:
        raise MlaHwError(f"{board.name}: {prediction.missing}")
    return {
        "context": context,
        "cycles": prediction.total,
        "tokens_per_second": board.core_mhz * 1e6 / prediction.total,
        "bound": {"array": "multipliers", "memory": "memory"}[estimate.bound],
        "roofline_efficiency": estimate.cycles / prediction.total,
    }


def tables(boards: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the figures as Markdown."""
    rows = [
        *[("board", "array", "LUT", "FF", "multipliers", "block RAM", "MHz: median (seeds)")],
    ]
    speeds = [("board", "V2-Lite, 1024 cached tokens", "largest that fits", "bound")]
    for name, entry in boards.items():
        used = [entry[resource] for resource in RESOURCES]
        rows.append((
            f"{name}, {entry['device']}",
            entry["array"],
            *(f"{u['used']} ({100 * u['used'] / u['available']:.0f} %)" for u in used),
            _clock(entry),
        ))
        speeds.append((name, *_speed(entry, load_board(name).memory.kind)))
    units = "".join(
        f"\n{textwrap.fill(_units(name, entry), LINE_WIDTH)}\n"
        for name, entry in boards.items()
        if not _has_room(entry)
    )
    return markdown(rows) + "\n" + markdown(speeds) + units + caption(boards.values())


def _units(name: str, entry: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{unit} {count}" for unit, count in entry["luts_per_unit"].items())
    return f"Look-up tables of {name} by unit: {counts}."


def _clock(entry: Mapping[str, Any]) -> str:
    clocks = entry["fmax_mhz"].values()
    if not clocks:
        return "not placed" if _has_room(entry) else "no room"
    seeds = ", ".join(f"{clock:.0f}" for clock in clocks)
    late = "" if all(entry["timing_met"].values()) else ", not all met"
    return f"{statistics.median(clocks):.0f} ({seeds}) for {entry['clock_mhz']:g}{late}"


def _has_room(entry: Mapping[str, Any]) -> bool:
    return all(entry[name]["used"] <= entry[name]["available"] for name in RESOURCES)


def _speed(entry: Mapping[str, Any], memory: str) -> tuple[str, str, str]:
    refused = entry["refused"].get(MODEL)
    figure = f"{entry['tokens_per_second']:.1f} tokens/s" if entry["model"] else ""
    if figure and memory == "ddr3":
        # The model knows LiteDRAM's latencies with SDR only.
        figure = f"at most {figure}"
    share = f"{entry['bound']}, {100 * entry['roofline_efficiency']:.0f} %" if figure else "–"
    if entry["model"] == MODEL and refused is None:
        return figure, "", share
    other = f"{entry['model']}, {entry['context']}: {figure}" if figure else "none"
    # What is needed and had, without the advice.
    return f"does not fit: {(refused or '').split(';')[0]}", other, share


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    known = [name for name in list_boards() if load_board(name).top]
    parser.add_argument("--output", type=Path, default=BOARDS)
    parser.add_argument("--predict", action="store_true")
    options = read_placements(parser, "board", known, arguments)
    for name in options.chosen:
        print(name, flush=True)
        measured = commit(options.output)
        board = load_board(name)
        figures = plan(board)
        if options.predict:
            figures = {**read_results(options.output)[name], **figures}
        else:
            with tempfile.TemporaryDirectory() as folder:
                figures |= build(
                    board,
                    figures["model"],
                    figures.get("context", 0),
                    Path(folder),
                    seeds=options.seeds,
                    jobs=options.jobs,
                )
            figures["commit"] = measured
        # After every board, because the next one takes long; others may have written meanwhile.
        merged = {**read_results(options.output), name: figures}
        results = {key: merged[key] for key in known if key in merged}
        text = tables(results)
        options.output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        if options.output == BOARDS:
            write_marked(BOARDS_PAGE, "boards", text)
    print(text)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MlaHwError as error:
        sys.exit(f"error: {error}")
