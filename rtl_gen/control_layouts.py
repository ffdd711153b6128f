"""Payload layouts of the control side: instructions on their way, errors, base registers.

And what an engine looks at of an opcode.
"""

from collections.abc import Iterable
from itertools import count

from amaranth import *
from amaranth.lib import data

from mla_hw.hardware import SEMAPHORES, TAG_BITS, CoreConfig
from mla_hw.program.instructions import FIELDS, INSTRUCTION_WORDS, INSTRUCTIONS, Engine
from mla_hw.registers import ErrorCode
from rtl_gen.layouts import (
    ADDRESS_BITS,
    array_command_layout,
    reader_command_layout,
    vector_command_layout,
    writer_command_layout,
)

__all__ = [
    "ENGINE_COMMANDS",
    "PROGRAM_TARGET",
    "bases_layout",
    "entry_layout",
    "error_layout",
    "fault_layout",
    "place_layout",
    "program_write_layout",
    "short_opcodes",
]

#: Target of the LOAD that fills the program memory; the instruction table has no such choice.
PROGRAM_TARGET = len(FIELDS["target"].choices)
#: Command layout of each engine, in the order of every bit mask and array over engines.
ENGINE_COMMANDS = {
    Engine.READER: reader_command_layout(),
    Engine.ARRAY: array_command_layout(),
    Engine.VECTOR: vector_command_layout(),
    Engine.WRITER: writer_command_layout(),
}


def entry_layout(command: data.Layout) -> data.StructLayout:
    """Return what carries a resolved instruction to the engine that takes ``command``."""
    return data.StructLayout({
        "command": command,
        "wait": SEMAPHORES,
        "post": SEMAPHORES,
        "tag": TAG_BITS,
    })


def bases_layout(config: CoreConfig) -> data.ArrayLayout:
    """All base registers, byte addresses; behind them those of the other query rows' caches."""
    return data.ArrayLayout(ADDRESS_BITS, len(FIELDS["base"].choices) + config.query_rows - 1)


def place_layout(config: CoreConfig) -> data.StructLayout:
    """Where an instruction is: its first word in the program memory, and its index."""
    words = (config.program_depth + 1) * INSTRUCTION_WORDS
    return data.StructLayout({"word": range(words), "index": TAG_BITS})


def program_write_layout(config: CoreConfig) -> data.StructLayout:
    """Write of one word of the program."""
    words = config.program_depth * INSTRUCTION_WORDS
    return data.StructLayout({"en": 1, "address": range(words), "data": 32})


def fault_layout() -> data.StructLayout:
    """Refused memory access: a level, and the byte address of the burst."""
    return data.StructLayout({"en": 1, "address": ADDRESS_BITS})


def error_layout() -> data.StructLayout:
    """Why the core stops."""
    return data.StructLayout({
        "en": 1,
        "code": ErrorCode,
        "program_counter": TAG_BITS,
        "address": ADDRESS_BITS,
    })


def short_opcodes(names: Iterable[str]) -> dict[str, Const]:
    """Return the low bits of each instruction's opcode that tell it from the others given."""
    opcodes = {name: INSTRUCTIONS[name].opcode for name in names}
    bits = next(
        n for n in count(1) if len({o % (1 << n) for o in opcodes.values()}) == len(opcodes)
    )
    return {name: Const(opcode % (1 << bits), bits) for name, opcode in opcodes.items()}
