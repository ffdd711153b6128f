"""Timing of :class:`rtl_gen.units.array_engine.ArrayEngine`: from issue to result and ``done``."""

from mla_hw.cycles.drain_controller import PAYLOAD_TIMING, POST_LATENCY, last_payload
from mla_hw.cycles.matmul_sequencer import (
    COMMAND_LATENCY,
    STEP_LATENCY,
    tile_issues,
    tile_spacing,
    tile_start,
    tile_steps,
    tiles,
)
from mla_hw.cycles.systolic_array import result_latency
from mla_hw.hardware import CoreConfig

__all__ = ["done_latency", "matmul_cycles", "payload_latency", "tile_interval"]


def payload_latency(config: CoreConfig) -> int:
    """Cycles from a tile's last issue to its first payload: row 0, column 0."""
    return STEP_LATENCY + result_latency(config.columns, 0) + PAYLOAD_TIMING.latency


def done_latency(config: CoreConfig, mode: str, rows: int) -> int:
    """Cycles from the last issue of a command to its ``done``."""
    return payload_latency(config) + last_payload(config, mode, rows) + POST_LATENCY


def tile_interval(config: CoreConfig, mode: str, k: int, rows: int) -> int:
    """Cycles from tile to tile of one command when its data is there."""
    issues = tile_issues(config, mode, k)
    return tile_start(
        issues, tile_steps(config, mode, k), issues - 1, spacing=tile_spacing(config, mode, rows)
    )


def matmul_cycles(config: CoreConfig, mode: str, *, k: int, n: int, rows: int) -> int:
    """Cycles from start to ``done`` when nothing before it is under way and its data is there.

    Parameters
    ----------
    config : CoreConfig
    mode : str
        ``project``, ``score``, ``context`` or ``expand``.
    k, n, rows : int
        As in the instruction; a score's k and a projection's rows do not count.
    """
    before_last = (tiles(config, n) - 1) * tile_interval(config, mode, k, rows)
    last_issue = COMMAND_LATENCY + before_last + tile_issues(config, mode, k) - 1
    return last_issue + done_latency(config, mode, rows)
