"""The array that a board has by default: as many multipliers as its memory feeds."""

import math
from dataclasses import replace
from functools import cache

from boards import Board
from mla_hw.compile_layer import plan_layer
from mla_hw.config import ModelConfig
from mla_hw.errors import MlaHwError
from mla_hw.hardware import SCALE_BYTES, CoreConfig, HardwareConfig
from mla_hw.presets import PRESETS
from mla_hw.schedule import schedule_layer
from rtl_gen.resources import count_multipliers, estimate_luts, map_memories

__all__ = ["LUT_SHARE", "default_array", "fed_multipliers"]

LUT_SHARE = 0.7
"""Share of the look-up tables that the core may take, by the estimate."""

_ROWS = (1, 2, 4, 8, 16)
_COLUMNS = (2, 4, 8, 16, 32)
_CONTEXT = 1024


def _model() -> ModelConfig:
    return PRESETS["deepseek-v2-lite"].config


def fed_multipliers(board: Board) -> float:
    """Return how many multipliers a board's memory keeps busy in DeepSeek-V2-Lite's attention.

    That is the MACs per byte of a row of the cache (scores and context sums of all heads), times
    the bytes that memory and port deliver per cycle of the core.
    """
    model = _model()
    width = model.kv_lora_rank + model.qk_rope_head_dim
    macs = model.num_attention_heads * (width + model.kv_lora_rank)
    port = HardwareConfig.from_dict(board.hardware).port_bytes
    supply = board.memory.peak_bytes_per_second / (board.core_mhz * 1e6)
    return macs / (width + SCALE_BYTES) * min(supply, port)


def default_array(board: Board) -> tuple[int, int]:
    """Return rows and columns of the largest array that is fed and fits.

    It takes at most :data:`LUT_SHARE` of the look-up tables. Multipliers and, if there is an array
    with which a layer of DeepSeek-V2-Lite fits, memory and block RAMs are enough for it; if there
    is none, the balance alone counts. Of arrays of the same size it is the one with as many columns
    as rows, or twice as many. It is 1×2 where not even that has room.

    Parameters
    ----------
    board : Board
        Its other keys of `hardware` are taken as they are.
    """
    fed = fed_multipliers(board)
    arrays = [
        (rows, columns) for rows in _ROWS for columns in _COLUMNS if rows * columns <= fed
    ] or [(1, 2)]
    arrays.sort(key=lambda array: (-math.prod(array), abs(2 * array[1] - 3 * array[0])))
    for whole in (True, False):
        for array in arrays:
            if _has_room(board, *array, whole=whole):
                return array
    return 1, 2


def _has_room(board: Board, rows: int, columns: int, *, whole: bool) -> bool:
    device = board.device
    try:
        hardware = HardwareConfig.from_dict({
            **board.hardware,
            "rows": rows,
            "columns": columns,
            "accumulator_lanes": None,
        })
        core = _core(hardware, device.family, board.memory.size_bytes if whole else None)
    except MlaHwError:
        return False
    if count_multipliers(core) > device.dsp:
        return False
    memories = map_memories(core, device)
    if whole and memories.blocks > device.bram:
        return False
    return estimate_luts(core, device, memories.distributed) <= LUT_SHARE * device.lut


@cache
def _core(hardware: HardwareConfig, family: str, memory_bytes: int | None) -> CoreConfig:
    """Return the core for the model; without a memory, with an activation buffer that suffices."""
    if memory_bytes is None:
        enough = replace(hardware, activation_bytes=HardwareConfig().activation_bytes)
        return schedule_layer(_model(), enough, multiplier=family).core
    # One group of heads per pass needs the fewest block RAMs.
    schedule, _, _ = plan_layer(
        _model(),
        hardware,
        context=_CONTEXT,
        multiplier=family,
        pass_groups=1,
        memory_bytes=memory_bytes,
    )
    return schedule.core
