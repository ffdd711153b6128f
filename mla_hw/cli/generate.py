"""``mla-hw generate``: from a checkpoint to Verilog, program, memory image and predictions."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rtl_gen.accelerator import Accelerator

from boards import Board, load_board
from mla_hw.checkpoint import load_model
from mla_hw.cli.versions import tool_versions
from mla_hw.cycles.timeline import predict
from mla_hw.design import CompiledLayer, Design, compile_layer
from mla_hw.errors import CapacityError, ConfigError
from mla_hw.hardware import HardwareConfig
from mla_hw.register_text import registers_header, registers_markdown
from rtl_gen.resources import check_device
from mla_hw.yaml_lines import load_yaml_mapping, place_of, reject_unknown_keys
from rtl_gen.verilog import emit_verilog, instantiation_template, port_table

__all__ = ["GenerateReport", "generate", "read_hardware", "read_rows"]

#: Cycles from an accepted read to its first beat that ``predicted.json`` assumes.
PREDICTED_LATENCY = 32
TOP = "accelerator"

_MANIFEST = "manifest.json"


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
    layer: int = 0,
    board: str = "ulx3s-85f",
    hardware: str | Path | None = None,
    context: int | None = None,
    calibration: str | Path | None = None,
    seed: int = 0,
    image: bool = True,
    progress: Callable[[str], None] | None = None,
) -> GenerateReport:
    """Generate a core for one layer.

    Parameters
    ----------
    checkpoint : str or Path
        Folder as Hugging Face writes it, or a preset's name (random weights from ``seed``).
    out : str or Path
        Folder that is made; one that generate made is replaced, any other non-empty one refused.
    layer : int
    board : str
    hardware : str or Path or None
        YAML file with keys of :class:`~mla_hw.hardware.HardwareConfig` over the board's default.
    context : int or None
        Cached tokens; None takes min(max_position_embeddings, 4096).
    calibration : str or Path or None
        NPZ file with an array ``x`` [n, hidden_size].
    seed : int
        Of a preset's weights.
    image : bool
        Whether to write ``image.bin``.
    progress : callable or None
        Gets one line per stage.

    Raises
    ------
    MlaHwError
        For everything that the caller can mend; nothing is left half-written.
    """
    say = progress or (lambda line: None)
    target = Path(out)
    _check_target(target)
    chosen = load_board(board)
    settings = read_hardware(chosen, hardware)
    weights = load_model(checkpoint, layer=layer, seed=seed)
    warnings = []
    rows = None
    if calibration is None:
        warnings.append(
            "no --calibration: activation scales come from 64 seeded N(0,1) rows, which fit "
            "trained models badly"
        )
    else:
        rows = read_rows(calibration, "--calibration", weights.config.hidden_size)
    say(f"compile layer {layer} of {checkpoint} for {chosen.name}")
    compiled = _compile(weights, settings, chosen, context=context, calibration=rows)
    design = compiled.design
    say("predict cycles")
    predicted = _predict(design)
    say(f"emit Verilog of the {design.core.rows}×{design.core.columns} core")
    with _replacing(target) as folder:
        ports = _write_verilog(folder / "verilog", design)
        manifest = {**design.manifest, "ports": ports, "tools": tool_versions("amaranth", "numpy")}
        design = replace(design, manifest=manifest)
        say("write program and image")
        (folder / "program.txt").write_text(str(design.program))
        (folder / "program.bin").write_bytes(design.program.encode().astype("<u4").tobytes())
        if image:
            (folder / "image.bin").write_bytes(design.image)
        _write_json(folder / _MANIFEST, manifest)
        (folder / "schedule.txt").write_text(str(compiled.schedule))
        (folder / "registers.md").write_text(registers_markdown())
        (folder / "registers.h").write_text(registers_header())
        _write_json(folder / "predicted.json", predicted)
    return GenerateReport(
        directory=target, design=design, warnings=tuple(warnings), predicted=predicted
    )


def read_hardware(board: Board, path: str | Path | None) -> HardwareConfig:
    """Lay a hardware file over a board's default.

    Raises
    ------
    ConfigError
        Names file, line and key.
    """
    values: dict[str, Any] = dict(board.hardware)
    if path is None:
        return HardwareConfig.from_dict(values)
    given, lines = load_yaml_mapping(Path(path))
    known = HardwareConfig().to_dict()
    reject_unknown_keys(given, known, path=Path(path), lines=lines)
    if "accumulator_lanes" not in given:
        values.pop("accumulator_lanes", None)
    try:
        return HardwareConfig.from_dict({**values, **given})
    except ConfigError as error:
        culprit = next((key for key in given if key in str(error)), None)
        place = place_of(Path(path), lines, culprit) if culprit else str(path)
        raise ConfigError(f"{place}: {error}") from None


def read_rows(path: str | Path, option: str, width: int) -> NDArray[np.float64]:
    """Read array ``x`` [n, width] of an NPZ file.

    Raises
    ------
    ConfigError
        Names the option and what was wanted.
    """
    return check_rows(read_npz(path, option).get("x"), f"{option} {path}: array x", width)


def read_npz(path: str | Path, option: str) -> dict[str, NDArray[Any]]:
    """Read all arrays of an NPZ file."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, AttributeError) as error:
        raise ConfigError(f"{option} {path} is not a readable NPZ file: {error}") from None


def check_rows(x: NDArray[Any] | None, what: str, width: int) -> NDArray[np.float64]:
    """Check that rows are finite numbers of the right width."""
    if x is None:
        raise ConfigError(f"{what} is missing")
    if x.dtype.kind not in "fiu":
        raise ConfigError(f"{what} must hold numbers, not {x.dtype}")
    if x.ndim != 2 or x.shape[1] != width or not len(x):
        raise ConfigError(f"{what} must have the shape [n, {width}], not {list(x.shape)}")
    if not np.isfinite(x).all():
        raise ConfigError(f"{what} holds NaN or Inf")
    return x.astype(np.float64)


def _compile(weights: Any, hardware: HardwareConfig, board: Board, **options: Any) -> CompiledLayer:
    """Take as many head groups per pass as activation buffer and block RAM hold."""
    groups: int | None = None
    while True:
        compiled = compile_layer(
            weights,
            hardware,
            multiplier=board.device.family,
            pass_groups=groups,
            memory_bytes=board.memory.size_bytes,
            memory_name=f"memory of {board.name}",
            board=board.name,
            **options,
        )
        try:
            check_device(compiled.design.core, board.device, board.name)
        except CapacityError as error:
            count = compiled.design.core.groups
            if error.unit != "block RAMs" or count == 1:
                raise
            groups = count - 1
            continue
        return compiled


def _predict(design: Design) -> dict[str, Any]:
    """Cycles per phase and in total at positions 0, 1, 3, 7, … context − 1."""
    positions = [0]
    while 2 * positions[-1] + 1 < design.context:
        positions.append(2 * positions[-1] + 1)
    if positions[-1] != design.context - 1:
        positions.append(design.context - 1)
    names = design.manifest["phases"]
    rows = []
    for position in positions:
        timeline = predict(
            design.program, design.core, design.memory, position, latency=PREDICTED_LATENCY
        )
        rows.append({
            "position": position,
            "phases": {phase.name: phase.cycles for phase in timeline.phases(names)},
            "total": timeline.total,
        })
    return {
        "hash": design.manifest["hash"],
        "memory": f"fixed:{PREDICTED_LATENCY}",
        "cycles": rows,
        "tools": tool_versions("numpy"),
    }


def _write_verilog(folder: Path, design: Design) -> dict[str, dict[str, str | int]]:
    core = Accelerator(design.core, configuration_hash=int(design.manifest["hash"], 16))
    folder.mkdir()
    for name, text in emit_verilog(core, name=TOP).items():
        (folder / name).write_text(text)
    ports = port_table(core)
    (folder / f"{TOP}_instance.vt").write_text(instantiation_template(ports, TOP))
    return ports


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _check_target(target: Path) -> None:
    if target.is_file():
        raise ConfigError(f"--out {target} is a file; a folder is wanted")
    if target.is_dir() and any(target.iterdir()) and not (target / _MANIFEST).is_file():
        raise ConfigError(f"--out {target} is not empty and was not made by generate; not replaced")
    parent = target.absolute().parent
    if not parent.is_dir():
        raise ConfigError(f"--out {target}: the folder {parent} does not exist")
    if not os.access(parent, os.W_OK):
        raise ConfigError(f"--out {target}: the folder {parent} cannot be written")


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """Give a temporary folder that takes the target's place at the end, or vanishes."""
    parent = target.absolute().parent
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=parent))
    folder.chmod(0o755)
    try:
        yield folder
        if target.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=parent))
            target.rename(old / target.name)
            folder.rename(target)
            shutil.rmtree(old)
        else:
            folder.rename(target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
