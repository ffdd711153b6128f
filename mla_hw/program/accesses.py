"""What each instruction reads and writes, memory by memory, and the ports that it shares."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from mla_hw.errors import ProgramError
from mla_hw.golden.activation_buffer import row_offset
from mla_hw.golden.dispatcher import Resolved
from mla_hw.golden.loader import ELEMENT_BYTES, LOAD_TARGETS
from mla_hw.hardware import CoreConfig
from mla_hw.program.instructions import ADDRESS_OFFSET_BITS, FIELDS
from mla_hw.program.memories import (
    Entries,
    beat_entries,
    consecutive,
    context_entries,
    head_entries,
    lane_entries,
    loaded_entries,
    product_entries,
    rotated_entries,
    row_entries,
    scale_entries,
    score_entries,
    spread_entries,
)

__all__ = ["HOST", "Read", "Write", "ports", "reads", "writes"]

#: Who made what lies in memory before the run.
HOST = "host"
#: A LOAD of weights for the rows of the array.
LANES = "LOAD of lanes"


@dataclass(frozen=True, slots=True)
class Read:
    """Entries that an instruction reads.

    Parameters
    ----------
    memory : str
    entries : [n] int
    makers : frozenset of str
        What they may come from: mnemonics, modes of MATMUL, :data:`HOST`.
    mixed : bool
        They may belong to several tensors; else they are one operand.
    """

    memory: str
    entries: Entries
    makers: frozenset[str]
    mixed: bool = False


@dataclass(frozen=True, slots=True)
class Write:
    """Entries that an instruction writes.

    Parameters
    ----------
    memory : str
    entries : [n] int
    maker : str
        Mnemonic, or mode of a MATMUL.
    tensor : int
        Tells what the same maker makes for different readers.
    """

    memory: str
    entries: Entries
    maker: str
    tensor: int = 0


def ports(command: Resolved) -> Iterator[str]:
    """Give the ports that instructions of several engines use, whatever the address.

    The table in :mod:`mla_hw.program.hazards` says why these.
    """
    f = command.fields
    match command.name:
        case "LOAD" if _choice(f, "target") in ("spread", "lanes"):
            yield "write port of projection"
        case "MATMUL" if _choice(f, "mode") == "context":
            yield "read port of context"
        case "MATMUL" if _choice(f, "mode") == "project":
            if _choice(f, "target") in ("spread", "lanes"):
                yield "write port of projection"
        case "NORMALIZE":
            yield "read port of context"


def reads(command: Resolved, core: CoreConfig, base: str, *, joins: bool) -> Iterator[Read]:
    """Give what an instruction reads.

    Parameters
    ----------
    command : Resolved
        With base registers of 0.
    core : CoreConfig
    base : str
        Region that its address counts from, if it has one.
    joins : bool
        Of a context product: it adds to sums of tiles before.
    """
    f = command.fields
    match command.name:
        case "LOAD" | "TILE" if base == "weights" and core.product_blocks:
            # As of STREAM: nothing writes there.
            return
        case "LOAD":
            yield _read(f"memory.{base}", beat_entries(core, f, f["n"]), HOST)
        case "TILE":
            beats = beat_entries(core, f, f["n"] * core.row_beats)
            yield _read(f"memory.{base}", beats, HOST, "STORE", mixed=True)
        case "MATMUL":
            yield from _matmul_reads(f, core, joins=joins)
        case "NORM":
            yield _read("scratch", consecutive(f["a"], f["k"]), "project")
            yield _read("constants", consecutive(f["constant"], 2), "LOAD")
        case "ROPE":
            yield _read("scratch", consecutive(f["a"], f["k"] * f["n"]), "project")
            yield _read("table", consecutive(f["b"], f["k"] // 2), "LOAD")
        case "SOFTMAX":
            by_head = head_entries(core, f)
            yield _read("scores", score_entries(core, f["a"], f), "score")
            yield _read("scales", scale_entries(core, f), "score")
            yield _read("maxima", by_head, "score")
            if not f["first"]:
                yield _read("state", by_head, "SOFTMAX")
        case "NORMALIZE":
            step = 1 << core.context_lane_bits
            yield _read("context", consecutive(f["a"], f["k"], step), "context")
            yield _read("state", consecutive(f["b"], 1), "SOFTMAX")
            yield _read("constants", consecutive(f["constant"], 1), "LOAD")
        case "PACK":
            yield _read("staging", consecutive(0, f["k"]), "NORM")
            yield _read("staging", consecutive(core.kv_lora_rank, f["n"]), "ROPE")
            yield _read("constants", consecutive(f["constant"], 1), "LOAD")
        case "STORE" if _choice(f, "target") == "row":
            yield _read("row", consecutive(0, f["n"]), "PACK")
        case "STORE" if _choice(f, "target") == "output":
            yield _read("output", consecutive(0, f["n"]), "project")
        case "STORE":
            raise _no_target(command)


def _matmul_reads(f: Mapping[str, int], core: CoreConfig, *, joins: bool) -> Iterator[Read]:
    match _choice(f, "mode"):
        case "context":
            yield _read("vector", row_entries(core, f["a"], f["k"], f["rows"]), "SOFTMAX")
            yield _read("controls", head_entries(core, f), "SOFTMAX")
            if joins:
                yield _read("context", context_entries(core, f), "context")
            if core.product_values:
                yield _read("products", product_entries(core, 0, f["k"], f["n"]), "expand")
        case "score":
            yield _read("constants", consecutive(f["constant"], 1), "LOAD")
            queries = row_entries(core, f["a"], core.key_channels, f["rows"])
            if core.product_keys:
                keys = product_entries(core, core.product_values, f["n"], core.product_keys)
                yield _read("products", keys, "expand")
            yield _read("projection", queries, "project")
            yield _read(
                "vector", row_entries(core, f["b"], core.qk_rope_head_dim, f["rows"]), "ROPE"
            )
        case "expand":
            yield _read("constants", consecutive(f["constant"], 1), "LOAD")
            # All lanes are read, whatever becomes of those beyond the rows.
            yield _read("projection", row_entries(core, f["a"], f["k"], core.rows), LANES)
        case _:
            if f["product"]:
                yield _read("products", product_entries(core, 0, f["k"], f["n"]), "expand")
            yield _read("constants", consecutive(f["constant"], 1), "LOAD")
            half, layout = _choice(f, "source").split("_")
            makers = {"projection": ("LOAD", "project"), "vector": ("NORM", "NORMALIZE")}[half]
            if layout == "lanes" and core.query_rows > 1:
                raise ProgramError("several query rows are projected from the layout spread only")
            place = spread_entries if layout == "spread" else lane_entries
            for row in range(core.query_rows):
                start = f["a"] + row_offset(core.query_rows, row)
                yield _read(half, place(core, start, f["k"]), *makers)


def writes(command: Resolved, core: CoreConfig, base: str) -> Iterator[Write]:
    """Give what an instruction writes; parameters as in :func:`reads`."""
    f, name = command.fields, command.name
    target = _choice(f, "target") if "target" in f else ""
    match name:
        case "LOAD" if target not in LOAD_TARGETS or (
            target == "lanes" and not core.product_blocks
        ):
            raise _no_target(command)
        case "LOAD":
            count = min(f["k"], f["n"] * core.port_bytes // ELEMENT_BYTES[target])
            if target == "spread":
                count = min(f["k"], f["n"] * core.port_bytes // 2 >> core.query_bits)
                yield Write("projection", loaded_entries(core, f["c"], count), name)
            elif target == "lanes":
                elements = f["c"] + np.arange(count)
                there = (elements & ((1 << core.lane_bits) - 1)) < core.rows
                yield Write("projection", elements[there], LANES)
            else:
                yield Write(target, consecutive(f["c"], count), name, f["c"])
        case "MATMUL":
            yield from _matmul_writes(command, core)
        case "NORM" | "ROPE" if target == "row":
            yield Write("staging", consecutive(f["c"], f["k"]), name)
        case "NORM":
            yield Write("vector", spread_entries(core, f["c"], f["k"]), name)
        case "ROPE":
            yield Write("vector", rotated_entries(core, f), name)
        case "SOFTMAX":
            by_head = head_entries(core, f)
            probabilities = np.add.outer(lane_entries(core, f["c"], f["n"]), np.arange(f["rows"]))
            yield Write("vector", probabilities.ravel(), name, f["group"])
            yield Write("controls", by_head, name)
            yield Write("state", by_head, name)
        case "NORMALIZE":
            place = lane_entries if core.query_rows == 1 else spread_entries
            yield Write("vector", place(core, f["c"], f["k"]), name, f["b"])
        case "PACK":
            # Whole: nobody ever writes the words that only padding meets, they stay 0.
            yield Write("row", consecutive(0, core.row_beats), name)
        case "STORE":
            yield Write(f"memory.{base}", beat_entries(core, f, f["n"]), name)


def _matmul_writes(command: Resolved, core: CoreConfig) -> Iterator[Write]:
    f = command.fields
    match _choice(f, "mode"):
        case "score":
            by_head, group = head_entries(core, f), f["group"]
            yield Write("scores", score_entries(core, f["c"], f), "score", group)
            yield Write("scales", scale_entries(core, f), "score", group)
            yield Write("maxima", by_head, "score", group)
        case "context":
            yield Write("context", context_entries(core, f), "context", f["group"])
        case "expand":
            yield _expanded(command, core)
        case mode:
            for row in range(core.query_rows):
                yield _projected(command, core, mode, row)


def _expanded(command: Resolved, core: CoreConfig) -> Write:
    """Return what goes to the product rows."""
    f, target = command.fields, _choice(command.fields, "target")
    if not core.product_blocks:
        raise ProgramError(
            f"instruction {command.index} (MATMUL) expands, which this core has no rows for"
        )
    if target not in ("lanes", "row"):
        raise _no_target(command)
    rows, channels = (f["n"], f["rows"]) if target == "lanes" else (f["rows"], f["n"])
    return Write("products", product_entries(core, f["c"], rows, channels), "expand", f["constant"])


def _projected(command: Resolved, core: CoreConfig, mode: str, row: int) -> Write:
    """Return what a projection writes of a query row."""
    f = command.fields
    start, count = (f["c"] + row * f["b"]) & ((1 << ADDRESS_OFFSET_BITS) - 1), f["n"]
    # Each projection has a layer constant of its own, which tells the tensors apart.
    tensor = f["constant"] * core.query_rows + row
    match _choice(f, "target"):
        case "spread":
            return Write("projection", spread_entries(core, start, count), mode, tensor)
        case "lanes":
            return Write("projection", lane_entries(core, start, count), mode, tensor)
        case "output":
            per_beat = core.port_bytes // 2
            first = start // per_beat
            beats = -(-(start + count) // per_beat) - first
            # Rows follow each other as one tensor.
            return Write("output", consecutive(first, beats), mode, f["constant"])
        case "scratch":
            return Write("scratch", consecutive(start, count), mode, tensor)
        case _:
            raise _no_target(command)


def _read(memory: str, entries: Entries, *makers: str, mixed: bool = False) -> Read:
    return Read(memory, entries, frozenset(makers), mixed)


def _no_target(command: Resolved) -> ProgramError:
    target = _choice(command.fields, "target")
    return ProgramError(f"instruction {command.index} ({command.name}) has no target {target}")


def _choice(fields: Mapping[str, int], name: str) -> str:
    """Return the name of a choice field's value."""
    return FIELDS[name].choices[fields[name]]
