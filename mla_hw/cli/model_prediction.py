"""Cycles that the cycle model predicts for a model's dimensions, without weights."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mla_hw.analysis.report import Prediction
from mla_hw.cli.board_memory import memory_timing
from mla_hw.compile_layer import instruction_phases, plan_layer
from mla_hw.config import ModelConfig
from mla_hw.cycles.breakdown import array_breakdown
from mla_hw.cycles.predict import predict
from mla_hw.errors import CapacityError, ConfigError
from mla_hw.hardware import NOMINAL_LATENCY, HardwareConfig

if TYPE_CHECKING:
    from boards import Board

__all__ = ["predict_steps"]


def predict_steps(
    config: ModelConfig,
    hardware: HardwareConfig,
    board: "Board | None",
    schemes: Sequence[str],
    contexts: Sequence[int],
    progress: Callable[[str], None],
    *,
    clock_mhz: float | None = None,
) -> tuple[Prediction, ...]:
    """Schedule the schemes for one sequence and predict a step at each context.

    Parameters
    ----------
    config : ModelConfig
    hardware : HardwareConfig
    board : Board or None
        Whose memory is to be timed and has to hold the layer; None is a memory of fixed latency
        that holds any.
    schemes : sequence of str
        Of :data:`~mla_hw.schedule.SCHEMES`.
    contexts : sequence of int
        Earlier tokens.
    progress : callable
        Called with a line per prediction.
    clock_mhz : float or None
        Of the core; None is that of the board.
    """
    found = []
    for context in contexts:
        for scheme in schemes:
            progress(f"predict {scheme} at {context} cached tokens")
            found.append(_predict(config, hardware, board, scheme, context, clock_mhz))
    return tuple(found)


def _predict(
    config: ModelConfig,
    hardware: HardwareConfig,
    board: "Board | None",
    scheme: str,
    context: int,
    clock_mhz: float | None,
) -> Prediction:
    # The outer packages are not loaded before they are needed.
    from mla_hw.cli.head_passes import choose_passes

    multiplier, groups, size = "portable", None, None
    latency, sdram = NOMINAL_LATENCY, None
    try:
        if board is not None:
            multiplier, size = board.device.family, board.memory.size_bytes
            passes = choose_passes(config, hardware, board, context=context + 1, scheme=scheme)
            groups = passes.groups
            latency, sdram = memory_timing(board, hardware.port_bytes, clock_mhz)
        schedule, program, memory = plan_layer(
            config,
            hardware,
            context=context + 1,
            multiplier=multiplier,
            pass_groups=groups,
            scheme=scheme,
            memory_bytes=size,
            memory_name=f"memory of {board.name}" if board else "memory",
        )
    except (CapacityError, ConfigError) as error:
        return Prediction(scheme=scheme, context=context, cycles={}, reasons={}, missing=str(error))
    timeline = predict(program, schedule.core, memory, context, latency=latency, sdram=sdram)
    phases = instruction_phases(schedule, program)
    reasons = array_breakdown(program, schedule.core, phases, timeline)
    return Prediction(
        scheme=scheme,
        context=context,
        cycles={phase.name: phase.cycles for phase in timeline.phases(phases)},
        reasons={
            phase: {name: count for name, count in counts.items() if count}
            for phase, counts in reasons.items()
        },
    )
