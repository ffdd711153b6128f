"""The memory image: regions, and the bytes of everything but the cache."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mla_hw.config import ModelConfig
from mla_hw.golden.loader import x_elements
from mla_hw.hardware import BURST_BEATS, CoreConfig
from mla_hw.program.program import Program
from mla_hw.quant.quantize import QuantizedLayer, rope_rows
from mla_hw.schedule.schedule import OperandRows, Schedule, WeightTiles

__all__ = [
    "LAYER_REGIONS",
    "REGIONS",
    "MemoryMap",
    "Region",
    "TensorPlace",
    "build_image",
    "map_memory",
    "place_regions",
    "put_layer",
]

#: Regions in the order of the base address registers.
REGIONS = ("program", "weights", "constants", "rope", "x", "y", "cache")
#: Regions that each layer of an image has for itself; it shares the others.
LAYER_REGIONS = ("weights", "constants", "cache")


@dataclass(frozen=True, slots=True)
class Region:
    """A piece of memory.

    Parameters
    ----------
    offset, size : int
        In bytes; the offset is a multiple of a burst.
    """

    offset: int
    size: int

    @property
    def end(self) -> int:
        """First byte behind."""
        return self.offset + self.size


@dataclass(frozen=True, slots=True)
class TensorPlace:
    """Where one projection (of one head) lies in the weights region."""

    projection: str
    head: int | None
    offset: int
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryMap:
    """Where everything lies.

    Parameters
    ----------
    regions : dict
        Of one layer by name, in the order of :data:`REGIONS`.
    layers : tuple of dict
        The same of every layer of the image.
    tensors : tuple of TensorPlace
        Within the weights region.
    context : int
        Cached tokens that the RoPE region and each cache hold.
    query_rows : int
        Tokens per run.
    cache_stride : int
        Bytes from the cache of a query row to that of the next one; 0 if they share one.
    y_stride : int
        Bytes from a query row's y to the next one's.
    """

    regions: dict[str, Region]
    layers: tuple[dict[str, Region], ...]
    tensors: tuple[TensorPlace, ...]
    context: int
    query_rows: int = 1
    cache_stride: int = 0
    y_stride: int = 0

    def of_layer(self, index: int) -> Self:
        """Return where everything lies for a layer, by its place in the image."""
        return replace(self, regions=self.layers[index])

    @property
    def same_sequence(self) -> bool:
        """Whether the query rows are consecutive tokens of one sequence."""
        return self.query_rows > 1 and not self.cache_stride

    def cache_base(self, row: int) -> int:
        """Byte address of the cache of a query row."""
        return self.regions["cache"].offset + row * self.cache_stride

    @property
    def cache_bases(self) -> tuple[int, ...]:
        """Byte addresses of the caches by query row."""
        return tuple(self.cache_base(row) for row in range(self.query_rows))

    def positions(self, step: int) -> tuple[int, ...]:
        """Position of each query row in a step, if all of them began with an empty cache."""
        if self.same_sequence:
            return tuple(step * self.query_rows + row for row in range(self.query_rows))
        return (step,) * self.query_rows

    def y_rows(self, memory: NDArray[np.uint8], first: int = 0) -> NDArray[np.int64]:
        """Return y out of a memory, or of a part of it from byte `first` on.

        Returns
        -------
        [query_rows, hidden_size] int64
        """
        region = self.regions["y"]
        size = region.size - (self.query_rows - 1) * self.y_stride
        begin = region.offset - first
        starts = [begin + row * self.y_stride for row in range(self.query_rows)]
        return np.array([memory[start : start + size].view("<i2") for start in starts], np.int64)

    @property
    def size(self) -> int:
        """Bytes in all, the caches included."""
        return max(region.end for regions in self.layers for region in regions.values())

    @property
    def image_size(self) -> int:
        """Bytes that are stored: all but the caches."""
        return min(regions["cache"].offset for regions in self.layers)


def rope_row_bytes(core: CoreConfig) -> int:
    """Bytes of one row of the RoPE table, padded to a beat."""
    return -(-2 * core.qk_rope_head_dim // core.port_bytes) * core.port_bytes


def place_regions(
    sizes: Mapping[str, int], burst: int, layers: int
) -> tuple[dict[str, Region], ...]:
    """Place regions one behind another, each at the start of a burst.

    The first layer's come first, then what the others do not share with it, and all caches behind
    what is stored.

    Parameters
    ----------
    sizes : mapping of str to int
        Bytes of each of :data:`REGIONS`.
    burst : int
        Bytes.
    layers : int

    Returns
    -------
    tuple of dict
        Regions of each layer by name, in the order of :data:`REGIONS`.
    """
    stored = [name for name in LAYER_REGIONS if name != "cache"]
    order = [
        *((0, name) for name in REGIONS if name != "cache"),
        *((layer, name) for layer in range(1, layers) for name in stored),
        *((layer, "cache") for layer in range(layers)),
    ]
    places, offset = {}, 0
    for layer, name in order:
        places[layer, name] = Region(offset, sizes[name])
        offset = -(-(offset + sizes[name]) // burst) * burst
    return tuple(
        {name: places[layer if name in LAYER_REGIONS else 0, name] for name in REGIONS}
        for layer in range(layers)
    )


def map_memory(
    schedule: Schedule,
    program: Program,
    hidden_size: int,
    context: int,
    *,
    same_sequence: bool = False,
    layers: int = 1,
) -> MemoryMap:
    """Lay out the regions for a context of ``context`` tokens.

    Parameters
    ----------
    schedule : Schedule
    program : Program
    hidden_size, context : int
    same_sequence : bool
        Whether the query rows share one cache.
    layers : int
        How many the image holds; the map is that of the first.
    """
    core = schedule.core
    burst = BURST_BEATS * core.port_bytes
    following = core.query_rows - 1
    cache_size = context * core.row_bytes
    cache_stride = 0 if same_sequence or not following else -(-cache_size // burst) * burst
    y_stride = -(-2 * hidden_size // core.port_bytes) * core.port_bytes if following else 0
    tensors, weights = [], 0
    for stream in schedule.streams:
        for tiles in stream:
            size = tiles.bytes(core.columns)
            tensors.append(TensorPlace(tiles.projection, tiles.head, weights, size))
            weights += size
        weights = -(-weights // core.port_bytes) * core.port_bytes
    for rows in schedule.operands:
        size = rows.beats * core.port_bytes
        tensors.append(TensorPlace(rows.projection, rows.head, weights, size))
        weights += size
    sizes = {
        "program": 4 * len(program.encode()),
        "weights": weights,
        "constants": 4 * core.constants,
        "rope": context * rope_row_bytes(core),
        "x": 2 * x_elements(core, hidden_size),
        "y": following * y_stride + 2 * hidden_size,
        "cache": following * cache_stride + cache_size,
    }
    places = place_regions(sizes, burst, layers)
    return MemoryMap(
        regions=places[0],
        layers=places,
        tensors=tuple(tensors),
        context=context,
        query_rows=core.query_rows,
        cache_stride=cache_stride,
        y_stride=y_stride,
    )


def build_image(
    schedule: Schedule, program: Program, config: ModelConfig, memory: MemoryMap
) -> NDArray[np.uint8]:
    """Make the image and fill what layers share: program and RoPE table; x and y stay 0.

    Returns
    -------
    [image_size] uint8
        For :func:`put_layer`.
    """
    image = np.zeros(memory.image_size, np.uint8)
    _put(image, memory.regions["program"].offset, program.encode().astype("<u4"))
    table = rope_rows(config, memory.context)
    rows = np.zeros((memory.context, rope_row_bytes(schedule.core) // 2), "<i2")
    rows[:, : table.shape[1]] = table
    _put(image, memory.regions["rope"].offset, rows)
    return image


def put_layer(
    image: NDArray[np.uint8], schedule: Schedule, layer: QuantizedLayer, memory: MemoryMap
) -> None:
    """Fill weights and constants of a layer.

    Parameters
    ----------
    image : [image_size] uint8
        Changed in place.
    schedule : Schedule
    layer : QuantizedLayer
    memory : MemoryMap
        Of this layer.
    """
    core = schedule.core
    start = memory.regions["weights"].offset
    places = iter(memory.tensors)
    for tiles in _all_tiles(schedule):
        _put(image, start + next(places).offset, _tile_bytes(layer, tiles, core.columns))
    for operand in schedule.operands:
        data = _cache_rows if operand.ring else _lane_groups
        _put(image, start + next(places).offset, data(layer, operand, core))
    words = constant_words(schedule, layer).astype("<u4")
    _put(image, memory.regions["constants"].offset, words)


def _put(image: NDArray[np.uint8], start: int, data: NDArray[np.generic]) -> None:
    raw = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
    image[start : start + len(raw)] = raw


def _all_tiles(schedule: Schedule) -> Iterator[WeightTiles]:
    for stream in schedule.streams:
        yield from stream


def _tile_bytes(layer: QuantizedLayer, tiles: WeightTiles, columns: int) -> NDArray[np.uint8]:
    """[tile][C requantise constants, then step][C] bytes."""
    projection = layer.projections[tiles.projection]
    weights, multiplier = projection.weights, projection.multiplier
    if tiles.head is not None:
        weights, multiplier = weights[tiles.head], multiplier[tiles.head]
    count = -(-tiles.channels // columns)
    padded = np.zeros((count * columns, tiles.steps), np.int8)
    padded[: tiles.channels] = weights
    constants = np.zeros(count * columns, "<u2")
    constants[: tiles.channels] = multiplier
    body = padded.reshape(count, columns, tiles.steps).transpose(0, 2, 1).view(np.uint8)
    head = constants.reshape(count, columns).view(np.uint8).reshape(count, 2, columns)
    return np.concatenate([head, body], axis=1)


def _lane_groups(layer: QuantizedLayer, rows: OperandRows, core: CoreConfig) -> NDArray[np.uint8]:
    """[rows of the array][step][lane] bytes, each group padded to a beat."""
    groups, lanes = -(-rows.rows // core.rows), 1 << core.lane_bits
    padded = np.zeros((groups * core.rows, rows.steps), np.int8)
    padded[: rows.rows] = layer.operands[rows.projection][rows.head]
    by_lane = np.zeros((groups, rows.steps, lanes), np.int8)
    by_lane[..., : core.rows] = padded.reshape(groups, core.rows, -1).transpose(0, 2, 1)
    stored = np.zeros((groups, rows.beats * core.port_bytes // groups), np.uint8)
    stored[:, : rows.steps * lanes] = by_lane.reshape(groups, -1).view(np.uint8)
    return stored


def _cache_rows(layer: QuantizedLayer, rows: OperandRows, core: CoreConfig) -> NDArray[np.uint8]:
    """Return rows as TILE reads them: weights in the place of latents, no key, no scale."""
    stored = np.zeros((rows.rows, core.row_bytes), np.uint8)
    stored[:, : rows.steps] = layer.operands[rows.projection][rows.head].view(np.uint8)
    return stored


def constant_words(schedule: Schedule, layer: QuantizedLayer) -> NDArray[np.uint32]:
    """32-bit layer constants in the order of the schedule's table."""
    values, words = layer.constants, {}
    for name, projection in layer.projections.items():
        words[name] = projection.pre | projection.post << 8
    if "product_factor" in values:
        words["products"] = (
            values["product_pre"] | values["product_post"] << 8 | values["product_factor"] << 16
        )
    words["score"] = values["score_pre"] | values["score_post"] << 8
    words["context"] = values["context_shift"]
    words["key"] = values["key_ratio"] | values["key_ratio_shift"] << 16
    for name in ("epsilon_q", "epsilon_kv"):
        if name in values:
            words[name] = values[name] & 0xFFFFFFFF
            words[f"{name}+"] = values[name] >> 32
    table = np.zeros(len(schedule.constants), np.uint32)
    for name, index in schedule.constants.items():
        table[index] = words[name]
    return table
