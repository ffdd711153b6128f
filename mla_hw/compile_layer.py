"""From a layer's weights to a design: folding, quantisation, scheduling and assembly in a row."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from mla_hw.checkpoint import LayerWeights
from mla_hw.config import ModelConfig
from mla_hw.design import MANIFEST_FORMAT, Design, configuration_hash, weights_hash
from mla_hw.errors import CapacityError, ConfigError
from mla_hw.fields import check_count
from mla_hw.graph import DecodeGraph, build_graph
from mla_hw.hardware import HardwareConfig
from mla_hw.program.hazards import verify_hazards
from mla_hw.program.image import MemoryMap, build_image, map_memory
from mla_hw.program.instructions import MEMORY_ADDRESS_BITS, Engine
from mla_hw.program.lower import lower
from mla_hw.program.program import Program
from mla_hw.program.verify import verify_program
from mla_hw.quant import QuantizedLayer, calibrate, fold, quantize
from mla_hw.registers import POSITION_BITS
from mla_hw.schedule import Schedule, check_scheme, schedule_layer

__all__ = [
    "DEFAULT_CONTEXT",
    "CompiledLayer",
    "check_context",
    "check_query_rows",
    "compile_layer",
    "plan_layer",
]

DEFAULT_CONTEXT = 4096
_CALIBRATION_ROWS = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class CompiledLayer:
    """Result of :func:`compile_layer`, with the stages that led there."""

    design: Design
    schedule: Schedule
    layer: QuantizedLayer


def instruction_phases(schedule: Schedule, program: Program) -> list[str]:
    """Return the phase of each instruction; empty for those of the dispatcher."""
    steps = schedule.steps()
    return [
        "" if instruction.engine is Engine.DISPATCHER else next(steps).phase
        for instruction in program.instructions
    ]


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


def check_query_rows(
    hardware: HardwareConfig,
    context: int,
    query_rows: int,
    *,
    same_sequence: bool,
    scheme: str = "absorb",
) -> None:
    """Refuse query rows that array or context have no room for, or the scheme no program.

    Raises
    ------
    ConfigError
        Names the option.
    """
    if not 1 <= check_count("--rows:", query_rows) <= hardware.rows:
        raise ConfigError(
            f"--rows: must be from 1 to {hardware.rows}, the rows of the array (rows, "
            f"--hardware), not {query_rows}"
        )
    check_scheme(scheme, query_rows)
    if same_sequence and query_rows < 2:
        raise ConfigError("--same-sequence: needs --rows of at least 2, the tokens of a step")
    if same_sequence and query_rows > context:
        raise ConfigError(
            f"--context: must be at least --rows = {query_rows} with --same-sequence, not {context}"
        )


def plan_layer(
    config: ModelConfig,
    hardware: HardwareConfig,
    *,
    context: int | None = None,
    multiplier: str = "portable",
    pass_groups: int | None = None,
    scheme: str = "absorb",
    memory_bytes: int | None = None,
    memory_name: str = "memory",
    query_rows: int = 1,
    same_sequence: bool = False,
) -> tuple[Schedule, Program, MemoryMap]:
    """Decide everything that does not depend on the weights.

    Parameters
    ----------
    config : ModelConfig
    hardware, context, multiplier, pass_groups, scheme, memory_bytes, memory_name
        As in :func:`compile_layer`.
    query_rows, same_sequence
        As in :func:`compile_layer`.

    Raises
    ------
    ConfigError
        For a context beyond the model or the core, a dimension beyond what the core counts to, and
        query rows that the array or the context has no room for, or the scheme no program.
    CapacityError
        When the activation buffer is too small, or the regions exceed the memory; the latter names
        the largest context that fits.
    """
    context = check_context(config, context)
    check_query_rows(hardware, context, query_rows, same_sequence=same_sequence, scheme=scheme)
    schedule = schedule_layer(
        config,
        hardware,
        multiplier=multiplier,
        pass_groups=pass_groups,
        query_rows=query_rows,
        scheme=scheme,
    )
    program = lower(schedule)

    def map_context(tokens: int) -> MemoryMap:
        return map_memory(
            schedule, program, config.hidden_size, tokens, same_sequence=same_sequence
        )

    memory = map_context(context)
    if memory_bytes is None or memory_bytes > 1 << MEMORY_ADDRESS_BITS:
        memory_bytes, memory_name = 1 << MEMORY_ADDRESS_BITS, "byte addresses of the core"
    if memory.size > memory_bytes:
        raise _too_large(map_context, memory, memory_bytes, memory_name)
    return schedule, program, memory


def compile_layer(
    weights: LayerWeights,
    hardware: HardwareConfig,
    *,
    context: int | None = None,
    calibration: NDArray[np.floating] | None = None,
    multiplier: str = "portable",
    pass_groups: int | None = None,
    scheme: str = "absorb",
    memory_bytes: int | None = None,
    memory_name: str = "memory",
    board: str = "",
    query_rows: int = 1,
    same_sequence: bool = False,
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
    scheme : str
        One of :data:`~mla_hw.schedule.SCHEMES`.
    memory_bytes : int or None
        Size of the board's memory; None is as much as the core can address.
    memory_name, board : str
        For messages and the manifest.
    query_rows : int
        Sequences that share the weight stream, a token of each per step.
    same_sequence : bool
        The query rows are consecutive tokens of one sequence instead; each attends to those before
        it.

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
        scheme=scheme,
        memory_bytes=memory_bytes,
        memory_name=memory_name,
        query_rows=query_rows,
        same_sequence=same_sequence,
    )
    verify_program(program)
    verify_hazards(program, schedule.core)
    context = memory.context
    folded = fold(weights, rows)
    statistics = calibrate(folded, rows, context=max(context, len(rows)))
    layer = quantize(folded, statistics, scheme)
    image = build_image(schedule, program, layer, memory)
    manifest = {
        "format": MANIFEST_FORMAT,
        "hash": configuration_hash(schedule.core, config),
        "weights_hash": weights_hash(image, memory),
        "board": board,
        "layer": weights.layer,
        "scheme": scheme,
        "model": config.to_dict(),
        "hardware": hardware.to_dict(),
        "core": schedule.core.to_dict(),
        "context": context,
        "same_sequence": same_sequence,
        "cache_stride": memory.cache_stride,
        "y_stride": memory.y_stride,
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
        "macs": _macs_lines(build_graph(config, scheme)),
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


def _macs_lines(graph: DecodeGraph) -> dict[str, dict[str, int]]:
    """Count useful MACs by phase: fixed + per_token · cached tokens (the own one included)."""
    counts = {phase: (graph.macs(1, phase), graph.macs(2, phase)) for phase in graph.phases}
    return {
        phase: {"fixed": 2 * one - two, "per_token": two - one}
        for phase, (one, two) in counts.items()
    }


def _too_large(
    map_context: Callable[[int], MemoryMap],
    memory: MemoryMap,
    memory_bytes: int,
    memory_name: str,
) -> CapacityError:
    """Find the largest context that fits, by bisection over the memory map itself."""
    low, high = 0, memory.context
    while high - low > 1:
        middle = (low + high) // 2
        fits = map_context(middle).size <= memory_bytes
        low, high = (middle, high) if fits else (low, middle)
    hint = f"the largest --context that fits is {low}" if low else "no --context fits"
    return CapacityError(memory.size, memory_bytes, "bytes", memory_name, hint)
