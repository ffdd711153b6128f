"""Instructions and programs: binary form, text form, and back."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mla_hw.errors import ProgramError
from mla_hw.hardware import SEMAPHORES
from mla_hw.program.instructions import (
    FIELDS,
    INSTRUCTION_WORDS,
    INSTRUCTIONS,
    LOOP_DEPTH,
    Engine,
    Field,
    InstructionKind,
)

__all__ = ["Instruction", "Program"]

_BY_OPCODE = {kind.opcode: kind for kind in INSTRUCTIONS.values()}
_SEMAPHORE_FIELDS = ("wait", "once", "post", "final")
_ADDRESSES = ("a", "b", "c")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its kind and the fields that are not 0.

    Parameters
    ----------
    name : str
        Mnemonic, a key of :data:`~mla_hw.program.instructions.INSTRUCTIONS`.
    values : tuple of (str, int)
        Field values in the order of the table; use :meth:`make` to build it.
    """

    name: str
    values: tuple[tuple[str, int], ...] = ()

    @classmethod
    def make(cls, name: str, **values: int | str) -> Self:
        """Build from keyword fields; a choice may be given by its name.

        Raises
        ------
        ProgramError
            For an unknown mnemonic, a field that the instruction does not have, or a value that
            does not fit its field.
        """
        if name not in INSTRUCTIONS:
            raise ProgramError(f"Unknown instruction {name!r}; known are {', '.join(INSTRUCTIONS)}")
        kind = INSTRUCTIONS[name]
        numbers = {}
        for field_name, value in values.items():
            if field_name not in kind.fields:
                raise ProgramError(f"{name} has no field {field_name!r}")
            number = _number(name, FIELDS[field_name], value)
            if number:
                numbers[field_name] = number
        return cls(name, tuple((key, numbers[key]) for key in kind.fields if key in numbers))

    @property
    def kind(self) -> InstructionKind:
        """Row of the instruction table."""
        return INSTRUCTIONS[self.name]

    @property
    def engine(self) -> Engine:
        """Who executes it."""
        return self.kind.engine

    def __getitem__(self, field: str) -> int:
        """Value of a field, 0 when it is not set."""
        return dict(self.values).get(field, 0)

    def choice(self, field: str) -> str:
        """Name of a choice field's value."""
        return FIELDS[field].choices[self[field]]

    def encode(self) -> int:
        """All twelve words as one number, least significant word first."""
        word = self.kind.opcode
        for name, value in self.values:
            word |= value << FIELDS[name].lsb
        return word

    @classmethod
    def decode(cls, word: int) -> Self:
        """Invert :meth:`encode`.

        Raises
        ------
        ProgramError
            For an unknown opcode, or a bit set outside the instruction's fields.
        """
        opcode = word & 0xFF
        if opcode not in _BY_OPCODE:
            raise ProgramError(f"Unknown opcode {opcode}")
        kind = _BY_OPCODE[opcode]
        values = {
            name: word >> FIELDS[name].lsb & ((1 << FIELDS[name].width) - 1) for name in kind.fields
        }
        instruction = cls.make(kind.name, **values)
        if instruction.encode() != word:
            raise ProgramError(f"{kind.name} sets bits outside its fields: {word:#x}")
        return instruction

    def text(self, semaphores: tuple[str, ...]) -> str:
        """One line: mnemonic, then fields as ``name=value``; addresses with their strides."""
        parts = [f"{self.name:<9}"]
        for name in self.kind.fields:
            value, field = self[name], FIELDS[name]
            if name in _ADDRESSES:
                if (term := self._address_text(name)) != "0":
                    parts.append(f"{name}={term}")
            elif "_stride" in name:
                continue
            elif field.choices:
                parts.append(f"{name}={field.choices[value]}")
            elif name in _SEMAPHORE_FIELDS:
                if value:
                    names = [semaphores[i] for i in range(SEMAPHORES) if value >> i & 1]
                    parts.append(f"{name}={'+'.join(names)}")
            elif value:
                parts.append(name if field.width == 1 else f"{name}={value}")
        return " ".join(parts).rstrip()

    def _address_text(self, name: str) -> str:
        terms = [str(self[name])] if self[name] else []
        terms += [
            f"{stride}*{_index_name(self.name, level)}"
            for level in range(LOOP_DEPTH)
            if (stride := self[f"{name}_stride{level}"])
        ]
        return "+".join(terms) or "0"


def _index_name(mnemonic: str, level: int) -> str:
    memory = mnemonic in ("LOAD", "TILE", "STORE")
    return "position" if memory and level == LOOP_DEPTH - 1 else f"i{level}"


def _number(mnemonic: str, field: Field, value: int | str) -> int:
    if isinstance(value, str):
        if value not in field.choices:
            raise ProgramError(
                f"{mnemonic} {field.name} must be one of {', '.join(field.choices)}, not {value!r}"
            )
        return field.choices.index(value)
    if not 0 <= value < 1 << field.width or (field.choices and value >= len(field.choices)):
        raise ProgramError(f"{mnemonic} {field.name} = {value} does not fit its {field.width} bits")
    return int(value)


@dataclass(frozen=True, slots=True)
class Program:
    """A program and the names of its semaphores.

    ``Program.parse(str(program)) == program``.
    """

    instructions: tuple[Instruction, ...]
    semaphores: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.semaphores) > SEMAPHORES:
            raise ProgramError(
                f"A program has at most {SEMAPHORES} semaphores, not {len(self.semaphores)}"
            )

    def __len__(self) -> int:
        return len(self.instructions)

    def encode(self) -> NDArray[np.uint32]:
        """Words of the program as the core fetches them, twelve per instruction."""
        words = []
        for instruction in self.instructions:
            word = instruction.encode()
            words += [word >> 32 * i & 0xFFFFFFFF for i in range(INSTRUCTION_WORDS)]
        return np.array(words, np.uint32)

    @classmethod
    def decode(cls, words: Iterable[int], semaphores: tuple[str, ...] = ()) -> Self:
        """Invert :meth:`encode`; semaphores without names are s0 to s15."""
        flat = [int(word) for word in words]
        if len(flat) % INSTRUCTION_WORDS:
            raise ProgramError(
                f"A program is a multiple of {INSTRUCTION_WORDS} words, not {len(flat)}"
            )
        instructions = tuple(
            Instruction.decode(sum(flat[start + i] << 32 * i for i in range(INSTRUCTION_WORDS)))
            for start in range(0, len(flat), INSTRUCTION_WORDS)
        )
        return cls(instructions, semaphores or tuple(f"s{i}" for i in range(SEMAPHORES)))

    def __str__(self) -> str:
        lines = [f".semaphores {' '.join(self.semaphores)}".rstrip()]
        depth = 0
        for index, instruction in enumerate(self.instructions):
            depth -= instruction.name == "NEXT"
            lines.append(f"{index:4d}  {'  ' * depth}{instruction.text(self.semaphores)}")
            depth += instruction.name == "LOOP"
        return "\n".join(lines) + "\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text form.

        Raises
        ------
        ProgramError
            Names the line.
        """
        semaphores: tuple[str, ...] = ()
        instructions = []
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split("#")[0].split()
            if not words:
                continue
            if words[0] == ".semaphores":
                semaphores = tuple(words[1:])
                continue
            if words[0].isdigit():
                words = words[1:]
            try:
                instructions.append(_parse_instruction(words, semaphores))
            except (ProgramError, ValueError) as error:
                raise ProgramError(f"line {number}: {error}") from None
        return cls(tuple(instructions), semaphores)


def _parse_instruction(words: list[str], semaphores: tuple[str, ...]) -> Instruction:
    name, *rest = words
    values: dict[str, Any] = {}
    for word in rest:
        key, _, value = word.partition("=")
        field = FIELDS.get(key)
        if field is None:
            raise ProgramError(f"{name} has no field {key!r}")
        if not value:
            values[key] = 1
        elif key in _ADDRESSES:
            values.update(_parse_address(name, key, value))
        elif key in _SEMAPHORE_FIELDS:
            for semaphore in value.split("+"):
                if semaphore not in semaphores:
                    raise ProgramError(f"Unknown semaphore {semaphore!r}")
            values[key] = sum(1 << semaphores.index(item) for item in value.split("+"))
        else:
            values[key] = value if field.choices else int(value)
    return Instruction.make(name, **values)


def _parse_address(mnemonic: str, key: str, text: str) -> Mapping[str, int]:
    values = {}
    for term in text.split("+"):
        stride, _, index = term.partition("*")
        if not re.fullmatch(r"\d+", stride):
            raise ProgramError(f"{key}={text} is not a sum of numbers and number*index")
        if not index:
            values[key] = int(stride)
            continue
        names = [_index_name(mnemonic, level) for level in range(LOOP_DEPTH)]
        if index not in names:
            raise ProgramError(f"{mnemonic} knows the indices {', '.join(names)}, not {index!r}")
        values[f"{key}_stride{names.index(index)}"] = int(stride)
    return values
