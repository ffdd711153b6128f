"""The memories that instructions use, and how their entries are numbered.

As the gateware addresses them: bits of the lane below the address in the activation buffer and in
the context memory, bits of the row below the group in memories by head; port words in the writer's
buffers, and beats from the base register in memory.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mla_hw.golden.activation_buffer import place_elements
from mla_hw.golden.loader import spread_places, x_elements
from mla_hw.hardware import CoreConfig

__all__ = [
    "ABSENT",
    "EMPTY",
    "HOSTED",
    "Entries",
    "beat_entries",
    "consecutive",
    "contents_at_start",
    "context_entries",
    "head_entries",
    "lane_entries",
    "loaded_entries",
    "product_entries",
    "rotated_entries",
    "row_entries",
    "scale_entries",
    "score_entries",
    "spread_entries",
]

Entries = NDArray[np.int64]
#: Contents of an entry: there is no such one, nothing has been written, the host has made it.
ABSENT, EMPTY, HOSTED = -1, 0, 1


def contents_at_start(
    core: CoreConfig, positions: Sequence[int], caches: Sequence[int]
) -> dict[str, Entries]:
    """Return the contents of every entry of every memory before a run.

    ``memory.*`` are regions in memory: as much of them as a run at the position may use, so that
    what stays within meets no other region. The weights region is not among them. STREAM reads it
    and nothing may write it.

    Parameters
    ----------
    core : CoreConfig
    positions, caches : sequence of int
        By query row, rows that its cache holds, and where that begins, in rows.

    Returns
    -------
    dict
        By memory: :data:`EMPTY`, :data:`HOSTED` (rows of earlier runs, too) or :data:`ABSENT`.
    """
    empty = {
        "scratch": core.scratch_depth,
        "table": core.table_entries,
        "constants": core.constants,
        "staging": core.kv_lora_rank + core.qk_rope_head_dim,
        "row": core.row_beats,
        "output": core.output_words,
        "scores": core.score_depth,
        "scales": core.groups * core.tile_limit,
        "memory.y": core.output_words,
        "products": core.product_blocks * core.columns << core.product_bits,
    }
    # Addresses, bits of the lane, lanes.
    rows = (core.lane_bits, core.rows)
    laned = {
        "projection": (core.activation_depth, *rows),
        "vector": (core.activation_depth, *rows),
        "maxima": (core.groups, *rows),
        "state": (core.groups, *rows),
        "controls": (core.groups, *rows),
        "context": (core.context_depth, core.context_lane_bits, core.accumulator_lanes),
    }
    longest = core.output_words * core.port_bytes // 2 // core.query_rows
    made = {
        "memory.constants": -(-4 * core.constants // core.port_bytes),
        "memory.rope": (max(positions) + 1) * -(-2 * core.qk_rope_head_dim // core.port_bytes),
        "memory.x": -(-2 * x_elements(core, longest) // core.port_bytes),  # as long as y
    }
    contents = {memory: np.full(size, EMPTY) for memory, size in empty.items()}
    contents |= {memory: np.full(size, HOSTED) for memory, size in made.items()}
    for memory, (depth, bits, lanes) in laned.items():
        lane = np.arange(depth << bits) & ((1 << bits) - 1)
        contents[memory] = np.where(lane < lanes, EMPTY, ABSENT)
    added = [cache + position for cache, position in zip(caches, positions, strict=True)]
    cache_rows = np.full((max(added) + 1, core.row_beats), HOSTED)
    cache_rows[added] = EMPTY
    contents["memory.cache"] = cache_rows.ravel()
    return contents


def consecutive(start: int, count: int, step: int = 1) -> Entries:
    """Return ``count`` entries from ``start`` on."""
    return np.arange(start, start + count * step, step)


def beat_entries(core: CoreConfig, fields: Mapping[str, int], count: int) -> Entries:
    """Return beats from an instruction's address on."""
    return consecutive(fields["address"] // core.port_bytes, count)


def spread_entries(core: CoreConfig, element: int, count: int) -> Entries:
    """Return consecutive elements of the layout *spread*."""
    lane, address = place_elements(core, consecutive(element, count), lanes=False)
    return np.asarray((address << core.lane_bits) + lane, np.int64)


def loaded_entries(core: CoreConfig, destination: int, count: int) -> Entries:
    """Return what LOAD writes of the layout *spread*: ``count`` elements of every query row."""
    _, address, lane = spread_places(core, destination, count)
    return np.asarray((address << core.lane_bits) + lane, np.int64)


def lane_entries(core: CoreConfig, element: int, count: int) -> Entries:
    """Return consecutive addresses of the element's lane."""
    return consecutive(element, count, 1 << core.lane_bits)


def row_entries(core: CoreConfig, element: int, count: int, rows: int) -> Entries:
    """Return consecutive addresses of lanes from 0 on, whatever the element's lane."""
    start = element >> core.lane_bits << core.lane_bits
    return np.add.outer(lane_entries(core, start, count), np.arange(rows)).ravel()


def rotated_entries(core: CoreConfig, fields: Mapping[str, int]) -> Entries:
    """Return what ROPE writes: head h to lane h mod rows, the heads of a lane one by one."""
    group, lane = np.divmod(np.arange(fields["n"]), core.rows)
    start = fields["c"] >> core.lane_bits << core.lane_bits
    first = start + (group * fields["k"] << core.lane_bits) + lane
    entries = np.add.outer(first, lane_entries(core, 0, fields["k"]))
    return np.asarray(entries, np.int64).ravel()


def head_entries(core: CoreConfig, fields: Mapping[str, int]) -> Entries:
    """Return the rows of an instruction's group in memories by head."""
    return consecutive(fields["group"] << core.lane_bits, fields["rows"])


def scale_entries(core: CoreConfig, fields: Mapping[str, int]) -> Entries:
    """Return the token scales of an instruction's group."""
    return consecutive(fields["group"] * core.tile_limit, fields["n"])


def score_entries(core: CoreConfig, start: int, fields: Mapping[str, int]) -> Entries:
    """Return the scores of an instruction's rows and tokens."""
    row_starts = consecutive(start, fields["rows"], core.tile_limit)
    return np.add.outer(row_starts, np.arange(fields["n"])).ravel()


def product_entries(core: CoreConfig, start: int, rows: int, channels: int) -> Entries:
    """Return channels of product rows: those of a row follow each other."""
    first = consecutive(start, rows, 1 << core.product_bits)
    return np.add.outer(first, np.arange(channels)).ravel()


def context_entries(core: CoreConfig, fields: Mapping[str, int]) -> Entries:
    """Return the context sums of a product: slot s lies s vectors of latents further."""
    slot, lane = np.divmod(np.arange(fields["rows"]), core.accumulator_lanes)
    address = np.add.outer(fields["c"] + slot * core.value_channels, np.arange(fields["n"]))
    return np.asarray((address << core.context_lane_bits) + lane[:, None], np.int64).ravel()
