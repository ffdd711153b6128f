"""How far the core counts: every size of a layer that an instruction or a register holds.

All bounds are widths of the instruction table or of the register map.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mla_hw.config import ModelConfig
from mla_hw.errors import ConfigError
from mla_hw.hardware import HardwareConfig, tile_limit
from mla_hw.program.instructions import (
    ADDRESS_OFFSET_BITS,
    FIELDS,
    INSTRUCTION_WORDS,
    VECTOR_COUNT_BITS,
)
from mla_hw.registers import register
from mla_hw.schedule.placement import Placement
from mla_hw.schedule.schedule import WeightTiles

__all__ = [
    "Quantity",
    "check_quantities",
    "first_exceeded",
    "layer_quantities",
    "pass_quantities",
    "program_length",
    "program_quantities",
    "row_beats",
]

_WORD_BYTES = 4
#: Dimensions whose product is the size of each placed tensor, per pass and group where it is so.
_TENSORS = {
    "x": ("hidden_size",),
    "q_down": ("q_lora_rank",),
    "c_q": ("q_lora_rank",),
    "kv_latent": ("kv_lora_rank",),
    "k_pe": ("qk_rope_head_dim",),
    "q_pe": ("num_attention_heads", "qk_rope_head_dim"),
    "q_rope": ("num_attention_heads", "qk_rope_head_dim"),
    "q_nope": ("num_attention_heads", "qk_nope_head_dim"),
    "q_lat": ("kv_lora_rank",),
    "P": ("tile_tokens",),
    "ctx": ("kv_lora_rank",),
    "o": ("num_attention_heads", "v_head_dim"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantity:
    """Something that is counted.

    Parameters
    ----------
    source : str
        Where it comes from, with the value: ``"hidden_size = 7168"``.
    field : str
        Field of the instruction, or register, that holds it; ``address`` for a, b and c.
    demand, bound : int
        The count, and the largest one that there is.
    unit : str
        What is counted, in the plural.
    hint : str
        What would mend it; may be empty.
    """

    source: str
    field: str
    demand: int
    bound: int
    unit: str
    hint: str = ""

    def __str__(self) -> str:
        needed = "" if self.source.endswith(f"= {self.demand}") else f", not to {self.demand}"
        hint = f"; {self.hint}" if self.hint else ""
        return f"{self.source}: the core counts to {self.bound} {self.unit}{needed}{hint}"


def first_exceeded(quantities: Iterable[Quantity]) -> Quantity | None:
    """Return the first quantity that is beyond its bound."""
    return next((item for item in quantities if item.demand > item.bound), None)


def check_quantities(quantities: Iterable[Quantity]) -> None:
    """Refuse the first quantity that is beyond its bound.

    Raises
    ------
    ConfigError
        Names the dimension, the bound and what is counted.
    """
    if exceeded := first_exceeded(quantities):
        raise ConfigError(str(exceeded))


def row_beats(config: ModelConfig, hardware: HardwareConfig) -> int:
    """Beats of the memory port per cache row."""
    columns, port = hardware.columns, hardware.port_bytes
    words = -(-config.kv_lora_rank // columns) + -(-config.qk_rope_head_dim // columns)
    return -(-(words * columns + 2) // max(port, columns)) * max(port, columns) // port


def layer_quantities(config: ModelConfig, hardware: HardwareConfig) -> Iterator[Quantity]:
    """Yield what depends neither on the passes over the cache nor on where buffers lie."""
    port = hardware.port_bytes
    for name in ("kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim"):
        yield _count(config, (name,), "k", "array steps")
    for name, unit in (("num_attention_heads", "heads"), ("qk_rope_head_dim", "elements")):
        yield _count(config, (name,), "n", unit, bits=VECTOR_COUNT_BITS)
    query = ("hidden_size",) if config.q_lora_rank is None else ("q_lora_rank",)
    output = ("num_attention_heads", "v_head_dim")
    projections = {
        "kv_latent": ("hidden_size",),
        "k_pe": ("hidden_size",),
        "q_pe": query,
        "q_nope": query,
    }
    if config.q_lora_rank is not None:
        projections["q_down"] = ("hidden_size",)
    for name, steps in projections.items():
        yield from _projection(config, hardware, name, _TENSORS[name], steps)
    yield from _projection(config, hardware, "y", ("hidden_size",), output)
    yield _count(config, ("v_head_dim",), "n", "output channels")

    for name, field in (("qk_nope_head_dim", "a_stride0"), ("v_head_dim", "c_stride0")):
        yield _count(config, (name,), field, "elements of a head")
    for name, field in (("hidden_size", "n"), ("qk_rope_head_dim", "a_stride2")):
        size = 2 * getattr(config, name)
        yield _beats(f"{name} = {size // 2}", field, -(-size // port), f"beats of {size} bytes")
    source = f"kv_lora_rank + qk_rope_head_dim = {config.cache_row}"
    beats = row_beats(config, hardware)
    yield _beats(source, "a_stride2", beats, "beats of a cache row")
    yield _beats(
        source,
        "a_stride0",
        beats * hardware.tile_tokens,
        f"beats of a tile of {hardware.tile_tokens} cache rows",
        "lower tile_tokens or raise port_bytes (--hardware)",
    )


def pass_quantities(
    config: ModelConfig, hardware: HardwareConfig, placement: Placement, pass_groups: int
) -> Iterator[Quantity]:
    """Yield what depends on where buffers lie, and on the head groups of a pass."""
    bits = {
        "linear": 0,
        "spread": hardware.rows.bit_length() - 1,
        "lanes": (hardware.rows - 1).bit_length(),
    }
    for memory, what in (
        ("projection", "a half of the activation buffer"),
        ("vector", "a half of the activation buffer"),
        ("scratch", "scratch"),
    ):
        buffers = [buffer for buffer in placement.buffers if buffer.memory == memory]
        largest = max(buffers, key=lambda buffer: buffer.words)
        yield _address(
            _source(config, _TENSORS[largest.name], hardware),
            max(buffer.end << bits[buffer.layout] for buffer in buffers),
            f"elements of {what}",
        )
    heads = min(pass_groups * hardware.rows, config.num_attention_heads)
    source = f"num_attention_heads = {config.num_attention_heads}"
    yield Quantity(
        source=source,
        field="group",
        demand=pass_groups,
        bound=1 << FIELDS["group"].width,
        unit=f"groups of {hardware.rows} heads in a pass",
        hint="raise rows (--hardware)",
    )
    slots, lanes = pass_groups * hardware.rows, hardware.lanes
    yield _address(source, slots * tile_limit(hardware.tile_tokens), "scores of a tile")
    yield _address(
        _source(config, ("kv_lora_rank",)),
        slots // lanes * config.kv_lora_rank << (lanes - 1).bit_length(),
        "context sums",
    )
    for names, steps in (
        (("kv_lora_rank",), ("qk_nope_head_dim",)),
        (("v_head_dim",), ("kv_lora_rank",)),
    ):
        yield _stream(config, hardware, names, steps, heads)


def program_quantities(
    config: ModelConfig, hardware: HardwareConfig, pass_groups: int
) -> Iterator[Quantity]:
    """Yield the sizes of the program, which LOAD brings to the core as words."""
    length = program_length(config, hardware, pass_groups)
    source = f"num_attention_heads = {config.num_attention_heads}"
    hint = "raise rows or activation_bytes (--hardware)"
    port = hardware.port_bytes
    beats = -(-_WORD_BYTES * INSTRUCTION_WORDS * length // port)
    depth = next(field for field in register("limits").fields if field.name == "program_depth")
    for field, demand, bits, unit in (
        ("k", beats * port // _WORD_BYTES, FIELDS["k"].width, "words of a program"),
        ("program_beats", beats, register("program_beats").mask.bit_length(), "program beats"),
        ("limits", length, depth.width, "instructions"),
        (
            "error_program_counter",
            length,
            register("error_program_counter").mask.bit_length(),
            "instructions",
        ),
    ):
        yield Quantity(
            source=source, field=field, demand=demand, bound=_largest(bits), unit=unit, hint=hint
        )


def program_length(config: ModelConfig, hardware: HardwareConfig, pass_groups: int) -> int:
    """Count the instructions of a layer's program."""
    heads, width = config.num_attention_heads, pass_groups * hardware.rows
    # Constants, RoPE row and x; a STREAM and a MATMUL per projection of a whole vector; NORM, ROPE,
    # PACK and STORE of the row, ROPE of the queries; STORE of y, HALT.
    fixed = 3 + 2 * 5 + 5 + 2
    if config.q_lora_rank is not None:
        fixed += 3

    def of_pass(members: int) -> int:
        groups, slots = -(-members // hardware.rows), -(-members // hardware.lanes)
        # W_UK: a STREAM, a loop of a MATMUL per group. Attention: a loop of TILE and three
        # instructions per group. W_UV: a STREAM, a loop of NORMALIZE and MATMUL per slot.
        return (1 + 3 * groups) + (3 + 3 * groups) + (1 + 4 * slots)

    whole, rest = divmod(heads, width)
    return fixed + whole * of_pass(width) + (of_pass(rest) if rest else 0)


def _largest(bits: int) -> int:
    return (1 << bits) - 1


def _source(
    config: ModelConfig, names: tuple[str, ...], hardware: HardwareConfig | None = None
) -> str:
    return f"{' * '.join(names)} = {_product(config, names, hardware)}"


def _product(
    config: ModelConfig, names: tuple[str, ...], hardware: HardwareConfig | None = None
) -> int:
    return math.prod(getattr(config if hasattr(config, name) else hardware, name) for name in names)


def _count(
    config: ModelConfig, names: tuple[str, ...], field: str, unit: str, *, bits: int | None = None
) -> Quantity:
    return Quantity(
        source=_source(config, names),
        field=field,
        demand=_product(config, names),
        bound=_largest(FIELDS[field].width if bits is None else bits),
        unit=unit,
    )


def _beats(source: str, field: str, demand: int, unit: str, hint: str = "") -> Quantity:
    return Quantity(
        source=source,
        field=field,
        demand=demand,
        bound=_largest(FIELDS[field].width),
        unit=unit,
        hint=hint or "raise port_bytes (--hardware)",
    )


def _address(source: str, demand: int, unit: str) -> Quantity:
    # Counted are the elements; the last one's address has to fit.
    return Quantity(
        source=source, field="address", demand=demand, bound=1 << ADDRESS_OFFSET_BITS, unit=unit
    )


def _projection(
    config: ModelConfig,
    hardware: HardwareConfig,
    name: str,
    channels: tuple[str, ...],
    steps: tuple[str, ...],
) -> Iterator[Quantity]:
    yield _count(config, steps, "k", "array steps")
    yield _count(config, channels, "n", "output channels")
    yield _stream(config, hardware, channels, steps)


def _stream(
    config: ModelConfig,
    hardware: HardwareConfig,
    channels: tuple[str, ...],
    steps: tuple[str, ...],
    heads: int = 1,
) -> Quantity:
    """Count the beats of a STREAM: of a projection, or of one per head."""
    tiles = WeightTiles(
        projection="",
        head=None,
        channels=_product(config, channels),
        steps=_product(config, steps),
    )
    size = heads * tiles.bytes(hardware.columns)
    return _beats(
        _source(config, (*channels, *steps)),
        "n",
        -(-size // hardware.port_bytes),
        "beats of weights",
    )
