"""The instruction set as one table of data.

Encoder, decoder, text form, RTL field layout and the documentation page all come from
:data:`INSTRUCTIONS`. An instruction is twelve 32-bit words.
"""

from dataclasses import dataclass
from enum import Enum

__all__ = [
    "ADDRESS_OFFSET_BITS",
    "ADDRESS_STRIDE_BITS",
    "FIELDS",
    "INSTRUCTIONS",
    "INSTRUCTION_WORDS",
    "LOOP_DEPTH",
    "MEMORY_ADDRESS_BITS",
    "VECTOR_COUNT_BITS",
    "Engine",
    "Field",
    "InstructionKind",
]

INSTRUCTION_WORDS = 12
LOOP_DEPTH = 3
ADDRESS_OFFSET_BITS = 24
ADDRESS_STRIDE_BITS = 16
#: Byte addresses in memory, which the base registers hold.
MEMORY_ADDRESS_BITS = 32
#: What the vector engine takes of n: heads, tokens or elements of the RoPE key.
VECTOR_COUNT_BITS = 16


class Engine(Enum):
    """Who executes an instruction."""

    READER = "reader"
    ARRAY = "array"
    VECTOR = "vector"
    WRITER = "writer"
    DISPATCHER = "dispatcher"

    # There is one object of each, and the default goes by the name, in Python.
    __hash__ = object.__hash__


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the instruction word.

    Parameters
    ----------
    name : str
    lsb, width : int
        Place within the twelve words, least significant word first.
    doc : str
        What it means where the instruction does not say more.
    choices : tuple of str
        Names of the values 0, 1, …; empty for a number.
    signed : bool
        Two's complement.
    """

    name: str
    lsb: int
    width: int
    doc: str
    choices: tuple[str, ...] = ()
    signed: bool = False


def _address(name: str, lsb: int, doc: str) -> tuple[Field, ...]:
    """Offset and one stride per loop level, outermost first."""
    strides = tuple(
        Field(
            f"{name}_stride{level}",
            lsb + ADDRESS_OFFSET_BITS + ADDRESS_STRIDE_BITS * level,
            ADDRESS_STRIDE_BITS,
            f"added to {name} once per iteration of loop level {level}",
        )
        for level in range(LOOP_DEPTH)
    )
    return (Field(name, lsb, ADDRESS_OFFSET_BITS, doc), *strides)


_ALL = (
    Field("opcode", 0, 8, "which instruction"),
    Field("mode", 8, 2, "what the array multiplies", ("project", "score", "context", "expand")),
    Field(
        "source",
        10,
        2,
        "half and layout of the activation buffer that is read",
        ("projection_spread", "projection_lanes", "vector_spread", "vector_lanes"),
    ),
    Field(
        "target",
        12,
        3,
        "where the result goes",
        ("scratch", "output", "spread", "lanes", "row", "table", "constants"),
    ),
    Field(
        "base",
        15,
        3,
        "base address register",
        ("program", "weights", "constants", "rope", "x", "y", "cache"),
    ),
    Field("tile_k", 18, 1, "k is the tile's token count instead"),
    Field("tile_n", 19, 1, "n is the tile's token count instead (LOOP: one iteration per tile)"),
    Field("release", 20, 1, "the tile's blocks of the latent ring are free afterwards"),
    Field("product", 21, 1, "the streamed operand comes from product rows, not from weights"),
    Field("constant", 24, 8, "index of the first layer constant that is used"),
    Field("wait", 32, 16, "semaphores that are taken before the start"),
    Field("once", 48, 16, "the same, but only while all loop indices are 0"),
    Field("post", 64, 16, "semaphores that are given at the end"),
    Field("final", 80, 16, "the same, but only in the last iteration of the innermost loop"),
    Field("k", 96, 16, "array steps, or elements"),
    Field("rows", 112, 8, "rows of the array that take part"),
    Field("group", 120, 8, "head group within the pass"),
    Field("query_row", 120, 8, "query row whose position and cache count"),
    Field("n", 128, 24, "output channels, tokens, heads, beats, or iterations"),
    *_address("a", 152, "source address"),
    *_address("b", 224, "second source address"),
    *_address("c", 296, "destination address"),
)
FIELDS = {field.name: field for field in _ALL}

_SEMAPHORE_FIELDS = ("wait", "once", "post", "final")


def _expand(*names: str) -> tuple[str, ...]:
    """Give every address its strides."""
    out: list[str] = []
    for name in names:
        out.append(name)
        if name in ("a", "b", "c"):
            out.extend(f"{name}_stride{level}" for level in range(LOOP_DEPTH))
    return tuple(out)


@dataclass(frozen=True, slots=True)
class InstructionKind:
    """One row of the instruction set.

    Parameters
    ----------
    name : str
        Mnemonic.
    opcode : int
    engine : Engine
    fields : tuple of str
        Fields of :data:`FIELDS` that it uses, besides the opcode; all others must be 0.
    action : str
        What it does.
    notes : str
        What each address and number means.
    """

    name: str
    opcode: int
    engine: Engine
    fields: tuple[str, ...]
    action: str
    notes: str


_TABLE = (
    InstructionKind(
        "LOAD",
        1,
        Engine.READER,
        _expand(*_SEMAPHORE_FIELDS, "target", "base", "k", "query_row", "n", "a", "c"),
        "Copy n beats from memory to activation buffer (spread, lanes), RoPE row or constants.",
        "a: beats from the base register; its third stride counts the position instead of a loop. "
        "c: address in the projection half times the lanes of all query rows (target spread), "
        "element address there (target lanes), else first entry. "
        "k: elements (int16 for spread, of each query row; 32-bit entries otherwise); the rest of "
        "the last beat is dropped. "
        "lanes: k elements of int8 that are widened; consecutive ones go to consecutive lanes, "
        "those beyond the array's rows nowhere.",
    ),
    InstructionKind(
        "STREAM",
        2,
        Engine.READER,
        _expand(*_SEMAPHORE_FIELDS, "k", "n"),
        "Move the next n beats of the weights region to the weight FIFO.",
        "Continues where the last STREAM ended; the first starts at the base register. "
        "k: words of C bytes at the end of the last beat that are padding.",
    ),
    InstructionKind(
        "TILE",
        3,
        Engine.READER,
        _expand(*_SEMAPHORE_FIELDS, "base", "tile_n", "query_row", "n", "a"),
        "Move n cache rows to the latent ring, block by block.",
        "a: beats from the base register; its third stride counts the position instead of a loop.",
    ),
    InstructionKind(
        "MATMUL",
        4,
        Engine.ARRAY,
        _expand(
            *_SEMAPHORE_FIELDS,
            "mode",
            "source",
            "target",
            "tile_k",
            "tile_n",
            "release",
            "product",
            "constant",
            "k",
            "rows",
            "group",
            "n",
            "a",
            "b",
            "c",
        ),
        "Accumulate tiles of rows × C sums of k products each and drain them.",
        "project: n output channels of k steps from the weight FIFO (product: from the first k "
        "product rows, by row), row t reads element a + step of query row t; drains through the "
        "requantiser (constant: shifts) to c + b·t. "
        "score: n tokens of the tile from the latent ring by column; queries at a (latent part, "
        "projection half) and b (RoPE part, vector half), scores to c (constant: shifts). "
        "context: k tokens of the tile from the latent ring by row; probabilities at a; n latent "
        "channels are joined to the context sums from c on in each lane. "
        "expand: all rows read lanes of the projection half from a on; drains through the "
        "requantiser (constant: shifts, factor in bits 30…16) as int8 to product rows from c on. "
        "Target lanes: k latent channels by column, n tokens of the tile, array row r is channel "
        "r of each token's product row. Target row: k tokens by row, n channels from latent "
        "channel b on, array row r is product row r. "
        "In a core that expands keys and values, score and context read those of product rows in "
        "the place of latents.",
    ),
    InstructionKind(
        "NORM",
        5,
        Engine.VECTOR,
        _expand(*_SEMAPHORE_FIELDS, "target", "constant", "k", "a", "c"),
        "RMSNorm without weights of k elements of scratch.",
        "a: scratch. c: element address in the vector half (target spread), or in the row being "
        "packed (target row). constant: epsilon, low 32 bits and then high bits.",
    ),
    InstructionKind(
        "ROPE",
        6,
        Engine.VECTOR,
        _expand(*_SEMAPHORE_FIELDS, "target", "k", "n", "a", "b", "c"),
        "Rotate the adjacent pairs of n heads of k elements each by a loaded RoPE row.",
        "a: scratch, head after head. b: first entry of the table. c: element address of head 0 in "
        "the vector half (target lanes), or in the row being packed (target row, n = 1).",
    ),
    InstructionKind(
        "SOFTMAX",
        7,
        Engine.VECTOR,
        _expand(*_SEMAPHORE_FIELDS, "tile_n", "rows", "group", "n", "a", "c"),
        "Turn the scores of one head group and tile into probabilities; update exponent and sum.",
        "a: score memory. c: element address of row 0's first token in the vector half (lanes).",
    ),
    InstructionKind(
        "NORMALIZE",
        8,
        Engine.VECTOR,
        _expand(*_SEMAPHORE_FIELDS, "constant", "k", "a", "b", "c"),
        "Divide the k context sums of one head by its softmax sum.",
        "a: element address in the context memory. b: head, as group and row. c: element address "
        "in the vector half (lanes; spread where there are several query rows). constant: shift.",
    ),
    InstructionKind(
        "PACK",
        9,
        Engine.VECTOR,
        _expand(*_SEMAPHORE_FIELDS, "constant", "k", "n"),
        "Quantise the row of k latents and n RoPE key elements to a cache row with its scale.",
        "constant: ratio in bits 15…0, its shift in bits 20…16.",
    ),
    InstructionKind(
        "STORE",
        10,
        Engine.WRITER,
        _expand(*_SEMAPHORE_FIELDS, "target", "base", "query_row", "n", "a"),
        "Write n beats of the packed row (target row) or of the output buffer (target output).",
        "a: beats from the base register; its third stride counts the position instead of a loop. "
        "Complete when the last write has been acknowledged.",
    ),
    InstructionKind(
        "LOOP",
        11,
        Engine.DISPATCHER,
        ("tile_n", "query_row", "n"),
        "Begin a loop of n iterations, or of one iteration per tile of the row's cached tokens.",
        "Loops nest three deep; the loop level is the depth.",
    ),
    InstructionKind("NEXT", 12, Engine.DISPATCHER, (), "End the innermost loop's body.", ""),
    InstructionKind(
        "POST", 13, Engine.DISPATCHER, ("post",), "Give semaphores their initial credit.", ""
    ),
    InstructionKind(
        "HALT",
        14,
        Engine.DISPATCHER,
        (),
        "End when all engines are idle and every write has been acknowledged.",
        "",
    ),
)
INSTRUCTIONS = {kind.name: kind for kind in _TABLE}
