"""Payload layouts and memory-port signatures that units share: one function per payload."""

from amaranth import *
from amaranth.lib import data
from amaranth.lib.wiring import In, Out, Signature

from mla_hw.hardware import CONSTANT_BANKS, CoreConfig
from mla_hw.program.instructions import (
    ADDRESS_OFFSET_BITS,
    FIELDS,
    MEMORY_ADDRESS_BITS,
    VECTOR_COUNT_BITS,
)

__all__ = [
    "ADDRESS_BITS",
    "activation_write_layout",
    "array_command_layout",
    "context_sum_layout",
    "element_layout",
    "multiplier_signature",
    "read_port_signature",
    "reader_command_layout",
    "requantize_layout",
    "result_layout",
    "score_layout",
    "shift_control_layout",
    "step_layout",
    "vector_command_layout",
    "vector_write_layout",
    "writer_command_layout",
]

#: Memory addresses, in bytes.
ADDRESS_BITS = MEMORY_ADDRESS_BITS
_LOCAL = ADDRESS_OFFSET_BITS


def _width(name: str) -> int:
    """Bits of a field of the instruction."""
    return FIELDS[name].width


def reader_command_layout() -> data.StructLayout:
    """LOAD, STREAM and TILE with plain numbers."""
    return data.StructLayout({
        "opcode": _width("opcode"),
        "target": _width("target"),
        "address": ADDRESS_BITS,
        "beats": _width("n"),
        "elements": _width("k"),
        "tokens": 16,
        "destination": _LOCAL,
    })


def writer_command_layout() -> data.StructLayout:
    """STORE with plain numbers."""
    return data.StructLayout({
        "target": _width("target"),
        "address": ADDRESS_BITS,
        "beats": _width("n"),
    })


def array_command_layout() -> data.StructLayout:
    """MATMUL with plain numbers."""
    return data.StructLayout({
        "mode": _width("mode"),
        "source": _width("source"),
        "target": _width("target"),
        "release": _width("release"),
        "product": _width("product"),
        "constant": _width("constant"),
        "k": _width("k"),
        "rows": _width("rows"),
        "group": _width("group"),
        "n": _width("n"),
        "a": _LOCAL,
        "b": _LOCAL,
        "c": _LOCAL,
    })


def vector_command_layout() -> data.StructLayout:
    """NORM, ROPE, SOFTMAX, NORMALIZE and PACK with plain numbers.

    ``first`` marks the first tile of a pass.
    """
    return data.StructLayout({
        "opcode": _width("opcode"),
        "target": _width("target"),
        "constant": _width("constant"),
        "k": _width("k"),
        "n": VECTOR_COUNT_BITS,
        "rows": _width("rows"),
        "group": _width("group"),
        "first": 1,
        "a": _LOCAL,
        "b": _LOCAL,
        "c": _LOCAL,
    })


def step_layout(config: CoreConfig) -> data.StructLayout:
    """One array step: ``acc[r, c] += a[r] * b[c]``."""
    return data.StructLayout({
        "en": 1,
        "first": 1,
        "last": 1,
        "a": data.ArrayLayout(signed(16), config.rows),
        "b": data.ArrayLayout(signed(8), config.columns),
    })


def result_layout(config: CoreConfig) -> data.ArrayLayout:
    """Left-most shadow register of each row of the array."""
    return data.ArrayLayout(signed(config.acc_width), config.rows)


def activation_write_layout(config: CoreConfig) -> data.StructLayout:
    """Write of up to one element per lane at one address of the projection half."""
    return data.StructLayout({
        "en": config.rows,
        "address": range(config.activation_depth),
        "data": data.ArrayLayout(signed(16), config.rows),
    })


def vector_write_layout() -> data.StructLayout:
    """Write of one element by its element address; ``lanes`` names the layout, else spread."""
    return data.StructLayout({"en": 1, "lanes": 1, "element": _LOCAL, "data": signed(16)})


def requantize_layout(config: CoreConfig) -> data.StructLayout:
    """One drained projection sum and what becomes of it; of a product row, with its constant."""
    return data.StructLayout({
        "en": 1,
        "acc": signed(config.acc_width),
        "column": range(config.columns),
        "bank": range(CONSTANT_BANKS),
        "pre": 5,
        "post": 5,
        "target": _width("target"),
        "element": _LOCAL,
        **({"factor": 15} if config.product_blocks else {}),
    })


def element_layout() -> data.StructLayout:
    """One requantised element on its way to a buffer."""
    return data.StructLayout({
        "en": 1,
        "target": _width("target"),
        "element": _LOCAL,
        "data": signed(16),
    })


def score_layout(config: CoreConfig) -> data.StructLayout:
    """One drained score sum; ``en`` only for true tokens and heads.

    ``block_token`` addresses the token's scale in the latent ring, ``token`` is its index in the
    tile, ``head`` is group and row (``group << lane_bits | row``). ``first`` marks the first
    token of the tile for this head.
    """
    return data.StructLayout({
        "en": 1,
        "acc": signed(config.acc_width),
        "pre": 5,
        "post": 5,
        "block_token": range(config.ring_blocks * config.columns),
        "token": range(config.tile_blocks * config.columns),
        "group": _width("group"),
        "head": 16,
        "address": range(config.score_depth),
        "first": 1,
    })


def context_sum_layout(config: CoreConfig) -> data.StructLayout:
    """One drained context sum for one lane of the accumulator."""
    return data.StructLayout({
        "en": 1,
        "acc": signed(config.acc_width),
        "head": 16,
        "address": range(config.context_depth),
    })


def shift_control_layout() -> data.StructLayout:
    """:class:`mla_hw.golden.softmax.ShiftControl` of one head."""
    return data.StructLayout({"first": 1, "swap": 1, "shift": 6, "halve": 1})


def read_port_signature(shape: object, depth: int) -> Signature:
    """Read port of a memory, seen from the reader; data come ``MEMORY_READ_LATENCY`` later."""
    return Signature({"address": Out(range(depth)), "data": In(shape)})


def multiplier_signature() -> Signature:
    """Shared 16×16 signed multiplier, seen from its user; see ``Multiplier`` for the latency."""
    return Signature({"a": Out(signed(16)), "b": Out(signed(16)), "p": In(signed(32))})
