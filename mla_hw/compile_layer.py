"""From layers' weights to a design: folding, quantisation, scheduling and assembly in a row."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

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
from mla_hw.program.image import LAYER_REGIONS, MemoryMap, build_image, map_memory, put_layer
from mla_hw.program.instructions import MEMORY_ADDRESS_BITS, Engine
from mla_hw.program.lower import lower
from mla_hw.program.program import Program
from mla_hw.program.verify import verify_program
from mla_hw.quant import calibrate, fold, quantize
from mla_hw.registers import POSITION_BITS
from mla_hw.schedule import Schedule, check_scheme, schedule_layer

__all__ = [
    "DEFAULT_CONTEXT",
    "CompiledDesign",
    "LayerSource",
    "check_context",
    "check_query_rows",
    "compile_layer",
    "compile_layers",
    "plan_layer",
]

DEFAULT_CONTEXT = 4096
_CALIBRATION_ROWS = 64

#: Weights of a layer and its calibration rows [n, hidden_size], by its number in the checkpoint;
#: None for 64 seeded N(0, 1) rows.
LayerSource = Callable[[int], tuple[LayerWeights, NDArray[np.floating] | None]]


@dataclass(frozen=True, kw_only=True, eq=False)
class CompiledDesign:
    """Result of :func:`compile_layers`, with the schedule that all layers share."""

    design: Design
    schedule: Schedule


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
    layers: int = 1,
) -> tuple[Schedule, Program, MemoryMap]:
    """Decide everything that does not depend on the weights.

    Parameters
    ----------
    config : ModelConfig
    hardware, context, multiplier, pass_groups, scheme, memory_bytes, memory_name
        As in :func:`compile_layers`.
    query_rows, same_sequence
        As in :func:`compile_layers`.
    layers : int
        How many the image holds.

    Raises
    ------
    ConfigError
        For a context beyond the model or the core, a dimension beyond what the core counts to, and
        query rows that the array or the context has no room for, or the scheme no program.
    CapacityError
        When the activation buffer is too small, or the regions exceed the memory; the latter names
        the largest context that fits, and how many of several layers.
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

    def map_image(tokens: int, count: int) -> MemoryMap:
        return map_memory(
            schedule,
            program,
            config.hidden_size,
            tokens,
            same_sequence=same_sequence,
            layers=count,
        )

    memory = map_image(context, layers)
    if memory_bytes is None or memory_bytes > 1 << MEMORY_ADDRESS_BITS:
        memory_bytes, memory_name = 1 << MEMORY_ADDRESS_BITS, "byte addresses of the core"
    if memory.size > memory_bytes:
        raise _too_large(map_image, memory, memory_bytes, memory_name)
    return schedule, program, memory


def compile_layer(
    weights: LayerWeights,
    hardware: HardwareConfig,
    *,
    calibration: NDArray[np.floating] | None = None,
    **options: Any,
) -> CompiledDesign:
    """Compile a single layer, whose weights are there.

    Parameters
    ----------
    weights : LayerWeights
    hardware : HardwareConfig
    calibration : [n, hidden_size] or None
        Rows that fix the scales; None takes 64 seeded N(0, 1) rows.
    **options
        Of :func:`compile_layers`.

    Raises
    ------
    MlaHwError
        As :func:`compile_layers`.
    """
    return compile_layers(
        weights.config, (weights.layer,), lambda _: (weights, calibration), hardware, **options
    )


def compile_layers(
    config: ModelConfig,
    layers: Sequence[int],
    source: LayerSource,
    hardware: HardwareConfig,
    *,
    context: int | None = None,
    multiplier: str = "portable",
    pass_groups: int | None = None,
    scheme: str = "absorb",
    memory_bytes: int | None = None,
    memory_name: str = "memory",
    board: str = "",
    query_rows: int = 1,
    same_sequence: bool = False,
) -> CompiledDesign:
    """Take layers through folding, quantisation, scheduling and assembly.

    Nothing of schedule, core and program depends on weights or scales: what differs between layers
    lies in their own regions, and the base registers choose.

    Parameters
    ----------
    config : ModelConfig
    layers : sequence of int
        Numbers in the checkpoint of those that the image holds; the design is that of the first.
    source : LayerSource
        Is asked for one layer after another, and only what is quantised is kept of each.
    hardware : HardwareConfig
    context : int or None
        Cached tokens; None takes min(max_position_embeddings, 4096).
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
        As :func:`plan_layer`, for what the source cannot read, and for calibration rows that lead
        to no scales.
    """
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
        layers=len(layers),
    )
    verify_program(program)
    verify_hazards(program, schedule.core)
    image = build_image(schedule, program, config, memory)
    first, *others = [
        _add_layer(image, schedule, memory.of_layer(index), scheme, *source(number))
        for index, number in enumerate(layers)
    ]
    content = image.tobytes()
    manifest = {
        "format": MANIFEST_FORMAT,
        "hash": configuration_hash(schedule.core, config),
        "weights_hash": weights_hash(content, memory),
        "board": board,
        "layer": layers[0],
        "scheme": scheme,
        "model": config.to_dict(),
        "hardware": hardware.to_dict(),
        "core": schedule.core.to_dict(),
        "context": memory.context,
        "same_sequence": same_sequence,
        "cache_stride": memory.cache_stride,
        "y_stride": memory.y_stride,
        "passes": [[heads.start, heads.stop] for heads in schedule.passes],
        "semaphores": list(program.semaphores),
        "phases": instruction_phases(schedule, program),
        "constants": schedule.constants,
        **first,
        "regions": {name: asdict(region) for name, region in memory.regions.items()},
        "memory_bytes": memory.size,
        "tensors": [asdict(tensor) for tensor in memory.tensors],
        "macs": _macs_lines(build_graph(config, scheme)),
    }
    if others:
        manifest["layers"] = [
            {
                "layer": number,
                **entry,
                "regions": {name: asdict(regions[name]) for name in LAYER_REGIONS},
            }
            for number, entry, regions in zip(layers[1:], others, memory.layers[1:], strict=True)
        ]
    design = Design(
        model=config,
        hardware=hardware,
        core=schedule.core,
        program=program,
        memory=memory,
        image=content,
        scales=first["scales"],
        constants=schedule.constants,
        manifest=manifest,
    )
    return CompiledDesign(design=design, schedule=schedule)


def _add_layer(
    image: NDArray[np.uint8],
    schedule: Schedule,
    memory: MemoryMap,
    scheme: str,
    weights: LayerWeights,
    calibration: NDArray[np.floating] | None,
) -> dict[str, Any]:
    """Quantise a layer into its place of the image; return what the manifest says of it."""
    hidden_size = weights.config.hidden_size
    rows = calibration_rows(hidden_size) if calibration is None else calibration
    folded = fold(weights, rows)
    statistics = calibrate(folded, rows, context=max(memory.context, len(rows)))
    layer = quantize(folded, statistics, scheme)
    put_layer(image, schedule, layer, memory)
    return {
        "layer_constants": layer.constants,
        "scales": layer.scales,
        "calibration": {"rows": statistics.rows, "maxima": statistics.maxima},
    }


def _macs_lines(graph: DecodeGraph) -> dict[str, dict[str, int]]:
    """Count useful MACs by phase: fixed + per_token · cached tokens (the own one included)."""
    counts = {phase: (graph.macs(1, phase), graph.macs(2, phase)) for phase in graph.phases}
    return {
        phase: {"fixed": 2 * one - two, "per_token": two - one}
        for phase, (one, two) in counts.items()
    }


def _too_large(
    map_image: Callable[[int, int], MemoryMap],
    memory: MemoryMap,
    memory_bytes: int,
    memory_name: str,
) -> CapacityError:
    """Find the largest context that fits, and how many layers do, by the memory map itself."""
    context, layers = memory.context, len(memory.layers)

    def fits(tokens: int, count: int) -> bool:
        return map_image(tokens, count).size <= memory_bytes

    largest = _largest(context, lambda tokens: fits(tokens, layers))
    hint = f"the largest --context that fits is {largest}" if largest else "no --context fits"
    if layers > 1:
        room = _largest(layers, lambda count: fits(context, count))
        hint += f"; at --context {context} there is room for {room} of {layers} layers (--layers)"
    return CapacityError(memory.size, memory_bytes, "bytes", memory_name, hint)


def _largest(bound: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number below a bound that fits, by bisection; 0 if there is none."""
    low, high = 0, bound
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
