"""Documentation page of the instruction set, from its table."""

import re

from mla_hw.hardware import SEMAPHORES
from mla_hw.markdown import markdown_table
from mla_hw.program.instructions import (
    FIELDS,
    INSTRUCTION_WORDS,
    INSTRUCTIONS,
    LOOP_DEPTH,
    Engine,
    Field,
    InstructionKind,
)

__all__ = ["instructions_markdown"]

_WORD_BITS = 32
_LAST_STRIDE = LOOP_DEPTH - 1
_SEMAPHORE_FIELDS = ("wait", "once", "post", "final")

_INTRODUCTION = f"""\
# Instructions

An instruction is {INSTRUCTION_WORDS} words of {_WORD_BITS} bits, the least significant word first:
bit b of the tables below is bit b mod {_WORD_BITS} of word b div {_WORD_BITS}. Fields that an
instruction does not have are 0. The dispatcher reads the program in order, counts loops, adds up
addresses and hands plain numbers to the engines, each of which works through a queue of its own.
"""

_OPERANDS = f"""\
## Addresses, counts, semaphores

- An address is `a + a_stride0·i0 + a_stride1·i1 + a_stride2·i2`, where i0 is the index of the
  outermost loop; the same for b and c. Where there is a base register, a counts beats (words of the
  port) from it, and the third stride counts the position instead of a loop.
- `query_row` says whose position counts, and whose cache the base register is. A projection takes
  all query rows at once; attention, norm, rotation and packing take one at a time.
- `tile_k` and `tile_n` replace k and n by the number of cached tokens in the current tile. They
  need a `LOOP tile_n` around them.
- There are {SEMAPHORES} semaphores, a bit each in `wait`, `once`, `post` and `final`. Each is given
  by one engine and taken by one. An instruction takes all of its semaphores when it starts, and
  gives when its last effect can be seen.
- In the text form (`program.txt`) a field is `name=value`, a flag its name alone, semaphores are
  joined by `+`, and an address shows its strides: `a=128+16*i0`, `a=6*position`.
"""


def instructions_markdown() -> str:
    """Return the documentation page of the instruction set."""
    kinds = INSTRUCTIONS.values()
    overview = markdown_table(
        ("engine", "instruction", "opcode", "action"),
        (
            (engine.value, f"[`{kind.name}`](#{kind.name.lower()})", str(kind.opcode), kind.action)
            for engine in Engine
            for kind in kinds
            if kind.engine is engine
        ),
    )
    layout = markdown_table(
        ("bits", "field", "meaning"),
        ((_bits(first, last), name, doc) for name, first, last, doc in _grouped(FIELDS)),
    )
    sections = [
        _INTRODUCTION,
        overview,
        _OPERANDS,
        f"## Layout of the word\n\n{layout}",
        *map(_section, kinds),
    ]
    return "\n".join(sections)


def _section(kind: InstructionKind) -> str:
    """Return the section of one instruction."""
    title = f"{kind.engine.value.capitalize()}, opcode {kind.opcode}."
    lines = [f"## {kind.name}", "", f"{title} {kind.action}"]
    if kind.notes:
        # One item per address, number or mode that the notes explain.
        lines += ["", *(f"- {note}" for note in re.split(r"(?<=\.) (?=\w+: )", kind.notes))]
    fields = {name: FIELDS[name] for name in kind.fields if name not in _SEMAPHORE_FIELDS}
    if fields:
        rows = ((name, _bits(first, last), doc) for name, first, last, doc in _grouped(fields))
        lines += ["", markdown_table(("field", "bits", "meaning"), rows).rstrip()]
    if semaphores := [f"`{name}`" for name in _SEMAPHORE_FIELDS if name in kind.fields]:
        lines += ["", f"Semaphores: {', '.join(semaphores)}."]
    return "\n".join(lines) + "\n"


def _grouped(fields: dict[str, Field]) -> list[tuple[str, int, int, str]]:
    """Return (name, first bit, last bit, meaning) of each field; an address' strides as one."""
    rows: list[tuple[str, int, int, str]] = []
    for name, field in fields.items():
        last = field.lsb + field.width - 1
        address, _, level = name.partition("_stride")
        if not level:
            rows.append((f"`{name}`", field.lsb, last, _meaning(field)))
        elif int(level) == _LAST_STRIDE:
            first = FIELDS[f"{address}_stride0"]
            rows.append((
                f"`{first.name}` … `{name}`",
                first.lsb,
                last,
                f"{LOOP_DEPTH} × {field.width} bits, added to {address} once per iteration of loop "
                f"level 0 … {_LAST_STRIDE}",
            ))
    return rows


def _meaning(field: Field) -> str:
    if not field.choices:
        return field.doc
    values = ", ".join(f"{value} `{name}`" for value, name in enumerate(field.choices))
    return f"{field.doc}: {values}"


def _bits(first: int, last: int) -> str:
    return f"{last}:{first}" if last > first else str(first)
