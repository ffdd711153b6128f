"""Sizes of the core that a layer asks for."""

from mla_hw.golden.arithmetic import symmetric_limit
from mla_hw.hardware import BURST_BEATS, CoreConfig
from mla_hw.schedule.placement import Placement
from mla_hw.schedule.plan import Plan
from mla_hw.schedule.schedule import Body, Loop

__all__ = ["core_config", "program_length"]

_RING_UNIT = 2048  # bytes per bank: the 8-bit shape of an 18-kbit block RAM
_WEIGHT_FIFO_BURSTS = 8


def core_config(plan: Plan, placement: Placement, body: Body, multiplier: str) -> CoreConfig:
    """Derive what the gateware is elaborated from.

    Parameters
    ----------
    plan : Plan
    placement : Placement
    body : sequence of Step and Loop
    multiplier : str
        What ``multiplier: auto`` stands for.
    """
    config, hardware = plan.config, plan.hardware
    core = {
        "rows": hardware.rows,
        "columns": hardware.columns,
        "port_bytes": hardware.port_bytes,
        "tile_tokens": hardware.tile_tokens,
        "accumulator_lanes": hardware.lanes,
        "outstanding_reads": hardware.outstanding_reads,
        "acc_width": _acc_width(plan),
        "kv_lora_rank": config.kv_lora_rank,
        "qk_rope_head_dim": config.qk_rope_head_dim,
        "activation_depth": max(placement.depth("projection"), placement.depth("vector")),
        "scratch_depth": placement.depth("scratch"),
        "heads": plan.pass_groups * hardware.rows,
        "ring_blocks": _ring_blocks(plan),
        "output_words": plan.query_rows * plan.y_beats,
        "weight_fifo_depth": _WEIGHT_FIFO_BURSTS * BURST_BEATS,
        "program_depth": program_length(body),
        "constants": len(plan.constants),
        "query_rows": plan.query_rows,
        **plan.products,
    }
    return CoreConfig(
        multiplier=multiplier if hardware.multiplier == "auto" else hardware.multiplier,
        **{name: int(value) for name, value in core.items()},
    )


def program_length(body: Body) -> int:
    """Count the instructions that a schedule becomes, HALT included."""

    def count(body: Body) -> int:
        return sum(count(item.body) + 2 if isinstance(item, Loop) else 1 for item in body)

    return count(body) + 1


def _acc_width(plan: Plan) -> int:
    """Bits of the longest sum of products."""
    config = plan.config
    steps = max(
        config.hidden_size,
        config.q_lora_rank or 0,
        config.cache_row,
        config.num_attention_heads * config.v_head_dim,
        plan.tile_limit,
        config.qk_head_dim if plan.products else 0,
    )
    return (symmetric_limit(16) * symmetric_limit(8) * steps).bit_length() + 1


def _ring_blocks(plan: Plan) -> int:
    """Blocks of one tile that is read and half of the next one that comes in.

    Or as many as the block RAM that this takes anyway has room for, up to four tiles.
    """
    block_bytes = int(plan.token_words * plan.hardware.columns)
    blocks = int(-(-plan.tile_limit // plan.hardware.columns))
    if plan.scheme == "recompute":
        # W_UK of a head is a tile.
        blocks = max(blocks, int(-(-plan.config.qk_nope_head_dim // plan.hardware.columns)))
    least = (blocks + -(-blocks // 2)) * block_bytes
    ring_blocks = max(-(-least // _RING_UNIT) * _RING_UNIT // block_bytes, blocks + 1)
    return min(ring_blocks, 4 * blocks)
