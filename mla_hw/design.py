"""A compiled layer: everything between the checkpoint and the gateware, as one value."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mla_hw.checkpoint import LayerWeights
from mla_hw.config import ModelConfig
from mla_hw.errors import CapacityError, ConfigError, MlaHwError
from mla_hw.fields import check_count, read_json_object
from mla_hw.golden.interpreter import Machine
from mla_hw.graph import build_graph
from mla_hw.hardware import CoreConfig, HardwareConfig
from mla_hw.program.hazards import verify_hazards
from mla_hw.program.image import MemoryMap, Region, TensorPlace, build_image, map_memory
from mla_hw.program.instructions import FIELDS, INSTRUCTIONS, MEMORY_ADDRESS_BITS, Engine
from mla_hw.program.lower import lower
from mla_hw.program.program import Program
from mla_hw.program.verify import verify_program
from mla_hw.quant import QuantizedLayer, calibrate, fold, quantize
from mla_hw.quant.quantize import quantize_hidden
from mla_hw.registers import POSITION_BITS
from mla_hw.schedule import Schedule, schedule_layer

__all__ = [
    "DEFAULT_CONTEXT",
    "MANIFEST_FORMAT",
    "Design",
    "check_context",
    "compile_layer",
    "configuration_hash",
    "plan_layer",
    "read_manifest",
    "verilog_sources",
]

DEFAULT_CONTEXT = 4096
MANIFEST_FORMAT = 2
_CALIBRATION_ROWS = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Design:
    """What simulation and reports need to know of a generated folder.

    Parameters
    ----------
    model : ModelConfig
    hardware : HardwareConfig
    core : CoreConfig
    program : Program
    memory : MemoryMap
    image : bytes
        Memory without the cache; empty when the folder was generated without it.
    scales : dict
        Value of one step of every tensor.
    constants : dict
        Index of each layer constant.
    manifest : dict
        Everything else that ``manifest.json`` says.
    """

    model: ModelConfig
    hardware: HardwareConfig
    core: CoreConfig
    program: Program
    memory: MemoryMap
    image: bytes
    scales: dict[str, float]
    constants: dict[str, int]
    manifest: dict[str, Any]

    @property
    def regions(self) -> dict[str, Region]:
        """Regions of the memory by name."""
        return self.memory.regions

    @property
    def context(self) -> int:
        """Cached tokens that the regions hold."""
        return self.memory.context

    def quantize_hidden(
        self, x: NDArray[np.floating]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Turn hidden states into the integers that the core reads; count saturations per row."""
        return quantize_hidden(x, self.scales["x"])

    def machine(self) -> Machine:
        """Make an interpreter with a fresh copy of the image and an empty cache."""
        return Machine(self.core, self.program, self.memory, self.image, self.constants)

    @classmethod
    def load(cls, directory: Path | str) -> Self:
        """Read a folder that ``generate`` made.

        Raises
        ------
        ConfigError
            When the folder is not one, or its files do not belong together.
        """
        folder = Path(directory)
        path = folder / "manifest.json"
        manifest = read_manifest(folder)
        if manifest.get("format") != MANIFEST_FORMAT:
            raise ConfigError(
                f"{path}: has format {manifest.get('format')}, this version reads "
                f"{MANIFEST_FORMAT}: generate the folder again"
            )
        try:
            words = np.frombuffer((folder / "program.bin").read_bytes(), "<u4")
            image = folder / "image.bin"
            design = cls(
                model=ModelConfig.from_dict(manifest["model"]),
                hardware=HardwareConfig.from_dict(manifest["hardware"]),
                core=CoreConfig(**manifest["core"]),
                program=Program.decode(words.tolist(), tuple(manifest["semaphores"])),
                memory=_memory_from_dict(manifest),
                image=image.read_bytes() if image.is_file() else b"",
                scales=manifest["scales"],
                constants=manifest["constants"],
                manifest=manifest,
            )
            problem = design._problem()
        except KeyError as error:
            problem = f"manifest.json has no {error}"
        except OSError as error:
            problem = f"{Path(error.filename).name} cannot be read: {error.strerror}"
        except (AttributeError, LookupError, TypeError, ValueError, MlaHwError) as error:
            problem = str(error)
        if problem:
            raise ConfigError(f"{folder}: is damaged ({problem}): generate it again")
        return design

    def _problem(self) -> str:
        """Say what does not belong together, if anything."""
        manifest, core, memory = self.manifest, self.core, self.memory
        fits = {
            "hash": configuration_hash(core, self.model) == manifest["hash"],
            "context": memory.regions["cache"].size == self.context * core.row_bytes,
            "list of semaphores": Program.parse(str(self.program)) == self.program,
            "length of program.bin": len(manifest["phases"]) == len(self.program),
            "list of constants": sorted(self.constants.values()) == list(range(core.constants)),
            "memory_bytes": manifest["memory_bytes"] == memory.size,
            "list of scales": min(self.scales[name] for name in ("x", "y")) > 0,
            "list of Verilog files": all(isinstance(name, str) for name in manifest["verilog"]),
            "list of ports": all(
                port["direction"] in {"input", "output"} and port["width"] > 0
                for port in manifest["ports"].values()
            ),
        }
        if self.image:
            fits["size of image.bin"] = len(self.image) == memory.image_size
            fits["weights_hash"] = weights_hash(self.image, memory) == manifest["weights_hash"]
        return ", ".join(f"the {name} does not fit" for name, good in fits.items() if not good)


@dataclass(frozen=True, kw_only=True, eq=False)
class CompiledLayer:
    """Result of :func:`compile_layer`, with the stages that led there."""

    design: Design
    schedule: Schedule
    layer: QuantizedLayer


def configuration_hash(core: CoreConfig, model: ModelConfig) -> str:
    """64-bit hash over hardware, instruction table and layer dimensions, as 16 hex digits."""
    layout = [asdict(field) for field in FIELDS.values()]
    table = [
        (kind.name, kind.opcode, kind.engine.value, kind.fields) for kind in INSTRUCTIONS.values()
    ]
    dimensions = {
        name: getattr(model, name)
        for name in (
            "hidden_size",
            "num_attention_heads",
            "q_lora_rank",
            "kv_lora_rank",
            "qk_nope_head_dim",
            "qk_rope_head_dim",
            "v_head_dim",
        )
    }
    text = json.dumps([core.to_dict(), table, layout, dimensions], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def weights_hash(image: bytes, memory: MemoryMap) -> str:
    """64-bit hash over the image behind the program, as 16 hex digits."""
    return hashlib.sha256(image[memory.regions["weights"].offset :]).hexdigest()[:16]


def instruction_phases(schedule: Schedule, program: Program) -> list[str]:
    """Return the phase of each instruction; empty for those of the dispatcher."""
    steps = schedule.steps()
    return [
        "" if instruction.engine is Engine.DISPATCHER else next(steps).phase
        for instruction in program.instructions
    ]


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a folder that ``generate`` made, as it is.

    Raises
    ------
    ConfigError
        If there is none.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        problem = "has no manifest.json" if folder.is_dir() else "is not there"
        problem = "is a file" if folder.is_file() else problem
        raise ConfigError(f"{folder}: {problem}: must be a folder that generate made")
    manifest: dict[str, Any] = read_json_object(path, ConfigError)
    return manifest


def verilog_sources(folder: Path, manifest: Mapping[str, Any]) -> list[Path]:
    """Return the Verilog files of a folder that ``generate`` made.

    Raises
    ------
    ConfigError
        If one is missing.
    """
    paths = [folder / "verilog" / name for name in manifest["verilog"]]
    for path in paths:
        if not path.is_file():
            raise ConfigError(
                f"{folder}: is damaged (verilog/{path.name} is missing): generate it again"
            )
    return paths


def calibration_rows(hidden_size: int) -> NDArray[np.float64]:
    """Rows that stand in for a calibration file: seeded N(0, 1)."""
    return np.random.default_rng(0).standard_normal((_CALIBRATION_ROWS, hidden_size))


def check_context(config: ModelConfig, context: int | None) -> int:
    """Return the cached tokens to plan for; None stands for the default.

    Raises
    ------
    ConfigError
        For a context beyond the model or the core.
    """
    if context is None:
        return min(config.max_position_embeddings, DEFAULT_CONTEXT)
    bound, what = min(
        (1 << POSITION_BITS, "as far as the core counts"),
        (config.max_position_embeddings, "max_position_embeddings"),
    )
    if not 1 <= check_count("--context:", context) <= bound:
        raise ConfigError(f"--context: must be from 1 to {bound} ({what}), not {context}")
    return context


def plan_layer(
    config: ModelConfig,
    hardware: HardwareConfig,
    *,
    context: int | None = None,
    multiplier: str = "portable",
    pass_groups: int | None = None,
    memory_bytes: int | None = None,
    memory_name: str = "memory",
) -> tuple[Schedule, Program, MemoryMap]:
    """Decide everything that does not depend on the weights.

    Parameters
    ----------
    config : ModelConfig
    hardware, context, multiplier, pass_groups, memory_bytes, memory_name
        As in :func:`compile_layer`.

    Raises
    ------
    ConfigError
        For a context beyond the model or the core, and a dimension beyond what the core counts to.
    CapacityError
        When the activation buffer is too small, or the regions exceed the memory; the latter names
        the largest context that fits.
    """
    context = check_context(config, context)
    schedule = schedule_layer(config, hardware, multiplier=multiplier, pass_groups=pass_groups)
    program = lower(schedule)
    memory = map_memory(schedule, program, config.hidden_size, context)
    if memory_bytes is None or memory_bytes > 1 << MEMORY_ADDRESS_BITS:
        memory_bytes, memory_name = 1 << MEMORY_ADDRESS_BITS, "byte addresses of the core"
    if memory.size > memory_bytes:
        raise _too_large(schedule, program, config, memory, memory_bytes, memory_name)
    return schedule, program, memory


def compile_layer(
    weights: LayerWeights,
    hardware: HardwareConfig,
    *,
    context: int | None = None,
    calibration: NDArray[np.floating] | None = None,
    multiplier: str = "portable",
    pass_groups: int | None = None,
    memory_bytes: int | None = None,
    memory_name: str = "memory",
    board: str = "",
) -> CompiledLayer:
    """Take a layer through folding, quantisation, scheduling and assembly.

    Parameters
    ----------
    weights : LayerWeights
    hardware : HardwareConfig
    context : int or None
        Cached tokens; None takes min(max_position_embeddings, 4096).
    calibration : [n, hidden_size] or None
        Rows that fix the scales; None takes 64 seeded N(0, 1) rows.
    multiplier : str
        What ``multiplier: auto`` stands for.
    pass_groups : int or None
        As in :func:`~mla_hw.schedule.schedule_layer`.
    memory_bytes : int or None
        Size of the board's memory; None is as much as the core can address.
    memory_name, board : str
        For messages and the manifest.

    Raises
    ------
    MlaHwError
        As :func:`plan_layer`, and for calibration rows that lead to no scales.
    """
    config = weights.config
    rows = calibration_rows(config.hidden_size) if calibration is None else calibration
    schedule, program, memory = plan_layer(
        config,
        hardware,
        context=context,
        multiplier=multiplier,
        pass_groups=pass_groups,
        memory_bytes=memory_bytes,
        memory_name=memory_name,
    )
    verify_program(program)
    verify_hazards(program, schedule.core)
    context = memory.context
    folded = fold(weights, rows)
    statistics = calibrate(folded, rows, context=max(context, len(rows)))
    layer = quantize(folded, statistics)
    image = build_image(schedule, program, layer, memory)
    manifest = {
        "format": MANIFEST_FORMAT,
        "hash": configuration_hash(schedule.core, config),
        "weights_hash": weights_hash(image, memory),
        "board": board,
        "layer": weights.layer,
        "model": config.to_dict(),
        "hardware": hardware.to_dict(),
        "core": schedule.core.to_dict(),
        "context": context,
        "passes": [[heads.start, heads.stop] for heads in schedule.passes],
        "semaphores": list(program.semaphores),
        "phases": instruction_phases(schedule, program),
        "constants": schedule.constants,
        "layer_constants": layer.constants,
        "scales": layer.scales,
        "calibration": {"rows": statistics.rows, "maxima": statistics.maxima},
        "regions": {name: asdict(region) for name, region in memory.regions.items()},
        "memory_bytes": memory.size,
        "tensors": [asdict(tensor) for tensor in memory.tensors],
        "macs": {phase: _macs_line(config, phase) for phase in build_graph(config).phases},
    }
    design = Design(
        model=config,
        hardware=hardware,
        core=schedule.core,
        program=program,
        memory=memory,
        image=image,
        scales=layer.scales,
        constants=schedule.constants,
        manifest=manifest,
    )
    return CompiledLayer(design=design, schedule=schedule, layer=layer)


def _macs_line(config: ModelConfig, phase: str) -> dict[str, int]:
    """Count useful MACs of a phase: fixed + per_token · cached tokens (the own one included)."""
    graph = build_graph(config)
    one, two = graph.macs(1, phase), graph.macs(2, phase)
    return {"fixed": 2 * one - two, "per_token": two - one}


def _too_large(
    schedule: Schedule,
    program: Program,
    config: ModelConfig,
    memory: MemoryMap,
    memory_bytes: int,
    memory_name: str,
) -> CapacityError:
    """Find the largest context that fits, by bisection over the memory map itself."""
    low, high = 0, memory.context
    while high - low > 1:
        middle = (low + high) // 2
        fits = map_memory(schedule, program, config.hidden_size, middle).size <= memory_bytes
        low, high = (middle, high) if fits else (low, middle)
    hint = f"the largest --context that fits is {low}" if low else "no --context fits"
    return CapacityError(memory.size, memory_bytes, "bytes", memory_name, hint)


def _memory_from_dict(manifest: Mapping[str, Any]) -> MemoryMap:
    return MemoryMap(
        regions={name: Region(**region) for name, region in manifest["regions"].items()},
        tensors=tuple(TensorPlace(**tensor) for tensor in manifest["tensors"]),
        context=manifest["context"],
    )
