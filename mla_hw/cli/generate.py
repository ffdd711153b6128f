"""``mla-hw generate``: from a checkpoint to Verilog, program, memory image and predictions."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boards import Board, load_board
from mla_hw.checkpoint import LayerWeights, check_layer, load_config, load_model
from mla_hw.cli.arrays import read_rows
from mla_hw.cli.hardware_file import read_hardware
from mla_hw.cli.head_passes import choose_passes
from mla_hw.cli.integration import integration_files
from mla_hw.cli.output_folder import MANIFEST, check_target, replace_folder
from mla_hw.cli.reasons import explain_phases
from mla_hw.cli.versions import project_version, tool_versions
from mla_hw.compile_layer import (
    CompiledDesign,
    LayerSource,
    check_context,
    check_query_rows,
    compile_layers,
)
from mla_hw.config import ModelConfig
from mla_hw.cycles.predict import predict
from mla_hw.cycles.timeline import Timeline
from mla_hw.design import Design
from mla_hw.errors import ConfigError
from mla_hw.hardware import NOMINAL_LATENCY, HardwareConfig
from mla_hw.register_text import registers_header, registers_markdown
from mla_hw.registers import core_constants
from mla_hw.schedule import check_scheme
from rtl_gen.accelerator import Accelerator
from rtl_gen.verilog import emit_verilog, instantiation_template, port_table

__all__ = ["GenerateReport", "generate"]

TOP = "accelerator"


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerateReport:
    """Result of :func:`generate`.

    Parameters
    ----------
    directory : Path
    design : Design
    warnings : tuple of str
    predicted : dict
        Contents of ``predicted.json``.
    """

    directory: Path
    design: Design
    warnings: tuple[str, ...]
    predicted: dict[str, Any]


def generate(
    checkpoint: str | Path,
    *,
    out: str | Path,
    layer: int | None = None,
    layers: Sequence[int] | str | None = None,
    board: str = "ulx3s-85f",
    hardware: str | Path | Mapping[str, Any] | None = None,
    context: int | None = None,
    calibration: str | Path | None = None,
    seed: int = 0,
    scheme: str = "absorb",
    image: bool = True,
    rows: int = 1,
    same_sequence: bool = False,
    progress: Callable[[str], None] | None = None,
) -> GenerateReport:
    """Generate a core, and the memory image of one layer or of several.

    Parameters
    ----------
    checkpoint : str or Path
        Folder as Hugging Face writes it, or a preset's name (random weights from ``seed``).
    out : str or Path
        Folder that is made; one that generate made is replaced, any other non-empty one refused.
    layer : int or None
        Of the checkpoint; 0 without it.
    layers : sequence of int, "all" or None
        In its place, those that the image is to hold, in any order; the first one is what
        ``simulate`` and ``run`` take where they are not told.
    board : str
    hardware : str or Path or dict or None
        YAML file with keys of :class:`~mla_hw.hardware.HardwareConfig` over the board's default, or
        the keys.
    context : int or None
        Cached tokens; None takes min(max_position_embeddings, 4096).
    calibration : str or Path or None
        NPZ file with an array ``x`` [n, hidden_size]; ``{layer}`` in its name stands for the
        number of the layer, so that each can have its own.
    seed : int
        Of a preset's weights.
    scheme : str
        How MLA is decoded, one of :data:`~mla_hw.schedule.SCHEMES`.
    image : bool
        Whether to write ``image.bin``.
    rows : int
        Sequences that share the weight stream, at most the rows of the array.
    same_sequence : bool
        These rows are consecutive tokens of one sequence.
    progress : callable or None
        Gets one line per stage.

    Raises
    ------
    MlaHwError
        For everything that the caller can mend; nothing is left half-written.
    """
    say = progress or (lambda line: None)
    target = Path(os.path.realpath(out))
    check_target(target, f"--out {out}")
    try:
        chosen = load_board(board)
    except ConfigError as error:
        raise ConfigError(f"--board: {error}") from None
    check_scheme(scheme)
    settings = read_hardware(chosen, hardware)
    config = load_config(checkpoint)
    numbers = _chosen_layers(config, checkpoint, layer, layers)
    warnings = []
    if calibration is None:
        warnings.append(
            "no --calibration: activation scales come from 64 seeded N(0,1) rows, which fit "
            "trained models badly"
        )
    context = check_context(config, context)
    check_query_rows(settings, context, rows, same_sequence=same_sequence, scheme=scheme)

    def source(number: int) -> tuple[LayerWeights, NDArray[np.float64] | None]:
        say(f"compile layer {number} of {checkpoint} for {chosen.name}")
        weights = load_model(checkpoint, layer=number, seed=seed)
        if calibration is None:
            return weights, None
        path = str(calibration).replace("{layer}", str(number))
        return weights, read_rows(path, "--calibration", config.hidden_size)

    say("choose head passes")
    passes = choose_passes(
        config,
        settings,
        chosen,
        context=context,
        query_rows=rows,
        same_sequence=same_sequence,
        scheme=scheme,
        layers=len(numbers),
    )
    compiled = _compile(
        config,
        numbers,
        source,
        settings,
        chosen,
        pass_groups=passes.groups,
        scheme=scheme,
        context=context,
        query_rows=rows,
        same_sequence=same_sequence,
    )
    design = compiled.design
    say("predict cycles")
    predicted, last = _predict(design)
    say(f"emit Verilog of the {design.core.rows}×{design.core.columns} core")
    files, ports = _verilog(design)
    manifest = {
        **design.manifest,
        "ports": ports,
        "verilog": _names(files),
        "tools": tool_versions("amaranth", "numpy"),
    }
    design = replace(design, manifest=manifest)
    constants = core_constants(design.core, _hash(design))
    files |= {
        "program.txt": str(design.program),
        "program.bin": design.program.encode().astype("<u4").tobytes(),
        MANIFEST: _json(manifest),
        "schedule.txt": f"{explain_phases(config, design, *last)}{passes}\n{compiled.schedule}",
        "registers.md": registers_markdown(constants, design.core.query_rows),
        "registers.h": registers_header(constants=constants, query_rows=design.core.query_rows),
        "predicted.json": _json(predicted),
    }
    files |= integration_files(design, chosen, ports)
    if image:
        files["image.bin"] = design.image
    say("write program and image" if image else "write program")
    replace_folder(target, files, f"--out {out}")
    return GenerateReport(
        directory=Path(out), design=design, warnings=tuple(warnings), predicted=predicted
    )


def _chosen_layers(
    config: ModelConfig,
    checkpoint: str | Path,
    layer: int | None,
    layers: Sequence[int] | str | None,
) -> tuple[int, ...]:
    """Return the layers that the image is to hold.

    Raises
    ------
    MlaHwError
        For numbers that are none of the model's layers, for repeated ones, and for both options.
    """
    if layers is None:
        number = 0 if layer is None else layer
        check_layer(number, config, checkpoint)
        return (number,)
    if layer is not None:
        raise ConfigError("--layers: takes the place of --layer, not both")
    if layers == "all":
        return tuple(range(config.num_hidden_layers))
    if isinstance(layers, str) or not layers:
        raise ConfigError(f"--layers: must be numbers of layers, or all, not {layers!r}")
    for place, number in enumerate(layers):
        check_layer(number, config, checkpoint, "--layers")
        if number in layers[:place]:
            raise ConfigError(f"--layers: must have no layer twice, as {number}")
    return tuple(layers)


def _compile(
    config: ModelConfig,
    layers: Sequence[int],
    source: LayerSource,
    hardware: HardwareConfig,
    board: Board,
    *,
    pass_groups: int,
    **options: Any,
) -> CompiledDesign:
    return compile_layers(
        config,
        layers,
        source,
        hardware,
        multiplier=board.device.family,
        pass_groups=pass_groups,
        memory_bytes=board.memory.size_bytes,
        memory_name=f"memory of {board.name}",
        board=board.name,
        **options,
    )


def _predict(design: Design) -> tuple[dict[str, Any], tuple[Timeline, list[int]]]:
    """Cycles per phase and in total at positions 0, 1, 3, 7, … context − 1 of query row 0.

    The other rows are at the same position, or at the following ones of their sequence. Also
    returns the last prediction, with the position of each row.
    """
    same, query_rows = design.memory.same_sequence, design.core.query_rows
    last = design.context - (query_rows if same else 1)
    positions = [0]
    while 2 * positions[-1] + 1 <= last:
        positions.append(2 * positions[-1] + 1)
    if positions[-1] != last:
        positions.append(last)
    names = design.manifest["phases"]
    rows = []
    for position in positions:
        by_row = [position + row * same for row in range(query_rows)]
        timeline = predict(
            design.program, design.core, design.memory, by_row, latency=NOMINAL_LATENCY
        )
        rows.append({
            "position": position,
            "phases": {phase.name: phase.cycles for phase in timeline.phases(names)},
            "total": timeline.total,
        })
    predicted = {
        "hash": design.manifest["hash"],
        "memory": f"fixed:{NOMINAL_LATENCY}",
        "cycles": rows,
        "tools": tool_versions("numpy"),
    }
    return predicted, (timeline, by_row)


def _verilog(design: Design) -> tuple[dict[str, str | bytes], dict[str, dict[str, str | int]]]:
    """Return the Verilog files by path, and the ports of the top."""
    core = Accelerator(design.core, configuration_hash=_hash(design))
    texts = emit_verilog(core, name=TOP)
    ports = port_table(core)
    texts[f"{TOP}_instance.vt"] = instantiation_template(ports, TOP)
    config = design.core
    head = (
        f"// {config.rows}×{config.columns} core, configuration {design.manifest['hash']}. Made by "
        f"mla-hw {project_version()} from rtl_gen,\n// which is the readable source; see "
        "docs/microarchitecture.md there.\n\n"
    )
    return {f"verilog/{name}": head + text for name, text in texts.items()}, ports


def _names(files: Mapping[str, object]) -> list[str]:
    return sorted(Path(name).name for name in files if name.endswith(".v"))


def _hash(design: Design) -> int:
    return int(design.manifest["hash"], 16)


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
