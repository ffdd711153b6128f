"""Timing of :class:`rtl_gen.units.drain_controller.DrainController`.

A tile leaves the array slot by slot: the destination takes as many rows side by side as it has
lanes, one column per cycle, each lane one cycle after the lane before.
"""

from mla_hw.cycles.activation_buffer import ACTIVATION_WRITE_LATENCY
from mla_hw.cycles.context_accumulator import context_accumulator_timing
from mla_hw.cycles.latent_ring import PRODUCT_WRITE_LATENCY
from mla_hw.cycles.output_buffer import OUTPUT_WRITE_LATENCY
from mla_hw.cycles.requantizer import requantizer_timing
from mla_hw.cycles.score_unit import score_unit_timing
from mla_hw.cycles.timing import Timing
from mla_hw.hardware import CoreConfig

__all__ = [
    "PAYLOAD_TIMING",
    "POST_LATENCY",
    "SELECT_TIMING",
    "drain_cycles",
    "lanes",
    "last_payload",
    "slot_cycles",
    "slots",
]

#: From a tile's counters to the cycle in which the array shows the result that they name.
SELECT_TIMING = Timing(latency=2)
#: From the array's output to the payload for the destination.
PAYLOAD_TIMING = Timing(latency=1)
#: From a command's last payload to ``done``; at least until the last effect can be read.
POST_LATENCY = 12

assert (
    max(
        requantizer_timing().latency
        + max(ACTIVATION_WRITE_LATENCY, OUTPUT_WRITE_LATENCY, PRODUCT_WRITE_LATENCY),
        score_unit_timing().latency,
        context_accumulator_timing().latency,
    )
    <= POST_LATENCY + 1
)


def lanes(config: CoreConfig, mode: str) -> int:
    """Rows that the destination of a mode of MATMUL takes side by side."""
    return config.accumulator_lanes if mode == "context" else 1


def slots(config: CoreConfig, mode: str, rows: int) -> int:
    """Slots in which ``rows`` rows leave; a projection has the query rows."""
    return config.query_rows if mode == "project" else -(-rows // lanes(config, mode))


def slot_cycles(config: CoreConfig, mode: str) -> int:
    """Cycles from slot to slot: C, or the lanes' skew if that is longer."""
    return max(config.columns, lanes(config, mode))


def drain_cycles(config: CoreConfig, mode: str, rows: int) -> int:
    """Cycles for which a tile keeps its destination: the least distance to the next tile."""
    return slots(config, mode, rows) * slot_cycles(config, mode)


def last_payload(config: CoreConfig, mode: str, rows: int) -> int:
    """Cycles from a tile's first payload to its last one, counted in the last of all lanes."""
    last_slot = (slots(config, mode, rows) - 1) * slot_cycles(config, mode)
    return last_slot + config.columns - 1 + lanes(config, mode) - 1
