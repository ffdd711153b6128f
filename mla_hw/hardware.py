"""Hardware parameters: what the user chooses, and what a core is elaborated from."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from mla_hw.errors import ConfigError

__all__ = [
    "BURST_BEATS",
    "CONSTANT_BANKS",
    "MOST_TILE_TOKENS",
    "MULTIPLIER_KINDS",
    "PROGRAM_LOAD",
    "QUEUE_DEPTH",
    "SCALE_BYTES",
    "SEMAPHORES",
    "TAG_BITS",
    "CoreConfig",
    "HardwareConfig",
    "cache_row_bytes",
    "memory_slices",
    "padded",
    "spread_bits",
    "tile_limit",
]

#: Longest AXI burst, in beats; every region of the memory image is aligned to one.
BURST_BEATS = 16
#: Widest memory port.
MOST_PORT_BYTES = 64
#: Cycles from a read address to its data in the memory that cycles are predicted for.
NOMINAL_LATENCY = 32
#: Instructions that wait in front of each engine.
QUEUE_DEPTH = 4
SEMAPHORES = 16
#: Width of an instruction's index in the program.
TAG_BITS = 16
#: What stands in the place of an index for the dispatcher's load of the program.
PROGRAM_LOAD = (1 << TAG_BITS) - 1
#: Bytes of a cached token's scale, behind its latent and its RoPE key.
SCALE_BYTES = 2
#: Tiles whose constants the requantiser holds.
CONSTANT_BANKS = 8

#: Forms of multipliers and accumulators: left to synthesis, or with a family's primitives.
MULTIPLIER_KINDS = ("portable", "ecp5", "ice40", "gowin", "nexus")
_MULTIPLIERS = ("auto", *MULTIPLIER_KINDS)

#: Longest tile, which the width of a softmax sum allows.
_LONGEST_TILE = 256


def tile_limit(tile_tokens: int) -> int:
    """Tokens of the longest tile: a rest of at most an eighth of a tile joins the last whole one.

    A tile of few tokens costs nearly as much as a whole one: the drain of its context product and
    the latency of its softmax.
    """
    return tile_tokens + tile_tokens // 8


#: Bits of a block of RAM, and its entries at the greatest and at the least width.
_BLOCK_BITS, _LEAST_SLICE, _DEEPEST_SLICE = 18432, 512, 16384


def memory_slices(depth: int, width: int) -> list[int]:
    """Return the depths of the slices that a memory is built from.

    Synthesis builds a depth that is a power of two from blocks side by side; any other one from
    blocks behind a multiplexer, which makes the way out of a slow memory longer still. So there is
    a slice per power of two, or one of the next higher power where that wastes less than a third.

    Parameters
    ----------
    depth : int
        At least 1; one entry would have no address, so there are two.
    width : int
        Bits of an entry: what fits a block is one slice.
    """
    slices = list[int]()
    least = max(_LEAST_SLICE, 1 << (_BLOCK_BITS // width).bit_length() - 1)
    while depth > least:
        above = 1 << (depth - 1).bit_length()
        part = above if 4 * depth > 3 * above else above // 2
        part = min(part, _DEEPEST_SLICE)
        slices.append(part)
        depth -= part
    return slices if depth <= 0 else [*slices, max(depth, 2)]


def cache_row_bytes(elements: int, columns: int, port_bytes: int) -> int:
    """Return the bytes of a cache row in memory: elements, scale, padding to port and word."""
    unit = max(port_bytes, columns)
    return -(-(elements + SCALE_BYTES) // unit) * unit


def padded(length: int, columns: int) -> int:
    """Return a length that is filled up to whole words of the array's columns."""
    return -(-length // columns) * columns


def spread_bits(rows: int, query_rows: int) -> int:
    """Return floor(log2(R / N)): each of N query rows has two to this power of the R lanes."""
    return (rows // query_rows).bit_length() - 1


#: Largest ``tile_tokens``.
MOST_TILE_TOKENS = max(n for n in range(_LONGEST_TILE) if tile_limit(n) <= _LONGEST_TILE)


def _is_power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


@dataclass(frozen=True, kw_only=True, slots=True)
class HardwareConfig:
    """What the user chooses; the keys of ``--hardware FILE.yaml``.

    Parameters
    ----------
    rows : int
        Rows R of the array: heads that share one streamed latent.
    columns : int
        Columns C of the array, a power of two: output channels or tokens at once.
    port_bytes : int
        Width of the memory port in bytes, a power of two from 4 to 64.
    tile_tokens : int
        Cached tokens between two updates of the softmax state, or up to an eighth more in the last
        tile (:func:`tile_limit`); a multiple of ``columns``. The only key that the integers of the
        result depend on.
    accumulator_lanes : int or None
        Lanes of the context accumulator, a divisor of ``rows``, all of them by default; each
        reads, shifts, adds and writes one sum per cycle.
    activation_bytes : int
        Size of the activation buffer, both halves together.
    outstanding_reads : int
        Read bursts under way at once.
    multiplier : str
        Form of multipliers and accumulators: one of :data:`MULTIPLIER_KINDS`, or ``auto``, what
        suits the board's device.
    """

    rows: int = 4
    columns: int = 8
    port_bytes: int = 8
    tile_tokens: int = 64
    accumulator_lanes: int | None = None
    activation_bytes: int = 65536
    outstanding_reads: int = 8
    multiplier: str = "auto"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "multiplier" or (field.name == "accumulator_lanes" and value is None):
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"{field.name} must be a positive integer, not {value!r}")
        if self.multiplier not in _MULTIPLIERS:
            raise ConfigError(
                f"multiplier must be one of {', '.join(_MULTIPLIERS)}, not {self.multiplier!r}"
            )
        if not _is_power_of_two(self.columns) or not 2 <= self.columns <= 64:
            raise ConfigError(f"columns must be a power of two from 2 to 64, not {self.columns}")
        if self.rows > 64:
            raise ConfigError(f"rows must be at most 64, not {self.rows}")
        if not _is_power_of_two(self.port_bytes) or not 4 <= self.port_bytes <= MOST_PORT_BYTES:
            raise ConfigError(
                f"port_bytes must be a power of two from 4 to {MOST_PORT_BYTES}, not "
                f"{self.port_bytes}"
            )
        if self.tile_tokens % self.columns or self.tile_tokens > MOST_TILE_TOKENS:
            raise ConfigError(
                f"tile_tokens must be a multiple of columns = {self.columns}, at most "
                f"{MOST_TILE_TOKENS}, not {self.tile_tokens}"
            )
        if self.rows % self.lanes:
            raise ConfigError(
                f"accumulator_lanes must divide rows = {self.rows}, not {self.accumulator_lanes}"
            )
        if self.rows // self.lanes * self.columns > self.tile_tokens:
            raise ConfigError(
                f"accumulator_lanes must be at least rows * columns / tile_tokens = "
                f"{-(-self.rows * self.columns // self.tile_tokens)}, not {self.lanes}"
            )
        if not 4 <= self.outstanding_reads <= 64:
            raise ConfigError(
                f"outstanding_reads must be from 4 to 64, not {self.outstanding_reads}"
            )

    @property
    def lanes(self) -> int:
        """Lanes of the context accumulator."""
        return self.rows if self.accumulator_lanes is None else self.accumulator_lanes

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from a mapping; an unknown key is an error."""
        known = {field.name for field in fields(cls)}
        for key in values:
            if key not in known:
                raise ConfigError(
                    f"Unknown hardware key {key!r}; known are {', '.join(sorted(known))}"
                )
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return the keys in their order."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class CoreConfig:
    """Everything that the gateware is elaborated from; the scheduler makes it.

    Parameters
    ----------
    rows, columns, port_bytes, tile_tokens, accumulator_lanes, outstanding_reads : int
        As in :class:`HardwareConfig`.
    multiplier : str
        One of :data:`MULTIPLIER_KINDS`.
    acc_width : int
        Bits of the array's signed accumulators, from the longest sum.
    kv_lora_rank, qk_rope_head_dim : int
        True lengths of a cache row's parts; the geometry of the latent ring follows from them.
    activation_depth : int
        Words per lane and half of the activation buffer.
    scratch_depth : int
        int16 elements between requantiser and vector engine.
    heads : int
        Heads per pass: entries of softmax state and of the shift table. A multiple of ``rows``.
    ring_blocks : int
        Blocks of ``columns`` tokens that the latent ring holds.
    output_words : int
        Port words of the output buffer (y).
    weight_fifo_depth : int
        Port words of the weight FIFO, a power of two.
    program_depth : int
        Instructions that the program memory holds.
    constants : int
        32-bit layer constants.
    product_blocks : int
        Blocks of ``columns`` product rows beside the latent ring: what the array makes of a tile
        and reads again. 0, and no such path in the core, unless the scheme needs them.
    product_words : int
        Words of ``columns`` bytes that a product row takes, a power of two.
    product_values, product_keys : int
        Channels of a product row that are a token's value and, behind it, its key, where scores
        and context sums are of these. 0 where they are of the latents.
    query_rows : int
        Query rows N that share the weight stream, at most ``rows``: in a projection array row t
        multiplies the elements of query row t.
    """

    rows: int
    columns: int
    port_bytes: int
    tile_tokens: int
    accumulator_lanes: int
    outstanding_reads: int
    multiplier: str
    acc_width: int
    kv_lora_rank: int
    qk_rope_head_dim: int
    activation_depth: int
    scratch_depth: int
    heads: int
    ring_blocks: int
    output_words: int
    weight_fifo_depth: int
    program_depth: int
    constants: int
    product_blocks: int = 0
    product_words: int = 0
    product_values: int = 0
    product_keys: int = 0
    query_rows: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.query_rows <= self.rows:
            raise ConfigError(
                f"query_rows must be from 1 to rows = {self.rows}, not {self.query_rows}"
            )

    @property
    def groups(self) -> int:
        """Groups of ``rows`` heads in a pass."""
        return self.heads // self.rows

    @property
    def tile_limit(self) -> int:
        """Tokens of the longest tile."""
        return tile_limit(self.tile_tokens)

    @property
    def tile_blocks(self) -> int:
        """Blocks of ``columns`` tokens of the longest tile."""
        return -(-self.tile_limit // self.columns)

    @property
    def lane_bits(self) -> int:
        """Bits of the lane within an element address of the layout *head lane*: ceil(log2 R)."""
        return (self.rows - 1).bit_length()

    @property
    def spread_bits(self) -> int:
        """Bits of the lane within an element address of the layout *spread*: floor(log2(R / N))."""
        return spread_bits(self.rows, self.query_rows)

    @property
    def query_bits(self) -> int:
        """Bits of the query row, the upper ones of an element address of the layout *spread*."""
        return (self.query_rows - 1).bit_length()

    @property
    def load_bits(self) -> int:
        """Bits of the lane among all query rows' lanes: elements of x that lie side by side."""
        return self.spread_bits + self.query_bits

    @property
    def table_entries(self) -> int:
        """RoPE pairs that are loaded, of all query rows."""
        return self.query_rows * (self.qk_rope_head_dim // 2)

    @property
    def latent_words(self) -> int:
        """Words of ``columns`` bytes that a token's latents take, padded."""
        return -(-self.kv_lora_rank // self.columns)

    @property
    def key_words(self) -> int:
        """Words of ``columns`` bytes that a token's RoPE key takes, padded."""
        return -(-self.qk_rope_head_dim // self.columns)

    @property
    def token_words(self) -> int:
        """Words of ``columns`` bytes per token in the latent ring: D / C."""
        return self.latent_words + self.key_words

    @property
    def row_bytes(self) -> int:
        """Bytes of a cache row in memory: latents, RoPE key, scale, padding to port and word."""
        return cache_row_bytes(self.token_words * self.columns, self.columns, self.port_bytes)

    @property
    def row_beats(self) -> int:
        """Beats of the memory port per cache row."""
        return self.row_bytes // self.port_bytes

    @property
    def ring_depth(self) -> int:
        """Bytes per bank of the latent ring."""
        return self.ring_blocks * self.token_words * self.columns

    @property
    def score_depth(self) -> int:
        """Scores that the score memory holds."""
        return self.heads * self.tile_limit

    @property
    def context_depth(self) -> int:
        """Sums per lane of the context memory."""
        return self.heads // self.accumulator_lanes * self.value_channels

    @property
    def key_channels(self) -> int:
        """Channels of a cached token's key ahead of its RoPE part."""
        return self.product_keys or self.kv_lora_rank

    @property
    def value_channels(self) -> int:
        """Channels of a head's context sums."""
        return self.product_values or self.kv_lora_rank

    @property
    def product_depth(self) -> int:
        """Bytes per bank of the product rows."""
        return self.product_blocks * self.product_words * self.columns

    @property
    def product_bits(self) -> int:
        """Bits of the channel within an element address of the product rows."""
        return (self.product_words * self.columns - 1).bit_length() if self.product_words else 0

    @property
    def context_lane_bits(self) -> int:
        """Bits of the lane within an element address of the context memory: ceil(log2 L)."""
        return (self.accumulator_lanes - 1).bit_length()

    def to_dict(self) -> dict[str, Any]:
        """Return all fields in their order."""
        return asdict(self)
