"""Instructions in binary and text form, and the rules of programs."""

import itertools
import re

import numpy as np
import pytest

from mla_hw.errors import ProgramError
from mla_hw.hardware import HardwareConfig
from mla_hw.presets import PRESETS, find_preset
from mla_hw.program.instructions import FIELDS, INSTRUCTION_WORDS, INSTRUCTIONS
from mla_hw.program.lower import lower
from mla_hw.program.program import Instruction, Program
from mla_hw.program.verify import verify_program
from mla_hw.schedule import schedule_layer


def make(*instructions, semaphores=("one", "two")):
    return Program(tuple(instructions), semaphores)


HALT = Instruction.make("HALT")


def test_fields_do_not_overlap():
    for kind in INSTRUCTIONS.values():
        fields = [FIELDS[name] for name in ("opcode", *kind.fields)]
        fields.sort(key=lambda field: field.lsb)
        for field, following in itertools.pairwise(fields):
            assert field.lsb + field.width <= following.lsb, kind.name
    for field in FIELDS.values():
        assert field.lsb + field.width <= 32 * INSTRUCTION_WORDS
    assert len({kind.opcode for kind in INSTRUCTIONS.values()}) == len(INSTRUCTIONS)


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_random_instructions_round_trip(name):
    rng = np.random.default_rng(0)
    semaphores = tuple(f"s{i}" for i in range(16))
    for _ in range(20):
        values = {}
        for field_name in INSTRUCTIONS[name].fields:
            field = FIELDS[field_name]
            bound = len(field.choices) or 1 << field.width
            values[field_name] = int(rng.integers(bound))
        instruction = Instruction.make(name, **values)
        assert Instruction.decode(instruction.encode()) == instruction
        program = Program((instruction,), semaphores)
        assert Program.parse(str(program)) == program
        assert Program.decode(program.encode(), semaphores) == program


@pytest.mark.parametrize("name", PRESETS)
def test_scheduled_programs_round_trip(name):
    hardware = HardwareConfig(rows=8, columns=16, activation_bytes=1 << 21)
    program = lower(schedule_layer(find_preset(name).config, hardware))
    verify_program(program)
    assert Program.parse(str(program)) == program
    assert Program.decode(program.encode(), program.semaphores) == program


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("MOVE", {}, "Unknown instruction 'MOVE'"),
        ("HALT", {"n": 1}, "HALT has no field 'n'"),
        ("LOOP", {"n": 1 << 24}, "does not fit its 24 bits"),
        ("NORM", {"target": "attic"}, "target must be one of scratch, "),
        ("MATMUL", {"target": 7}, "does not fit"),
    ],
)
def test_rejects_fields(name, values, message):
    with pytest.raises(ProgramError, match=re.escape(message)):
        Instruction.make(name, **values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 MOVE", "line 1: Unknown instruction 'MOVE'"),
        (".semaphores one\n0 STREAM wait=two", "line 2: Unknown semaphore 'two'"),
        ("0 STREAM n=many", "line 1: "),
        ("0 STORE a=3*i2", "line 1: STORE knows the indices i0, i1, position"),
        ("0 STREAM depth=1", "line 1: STREAM has no field 'depth'"),
    ],
)
def test_parse_names_the_line(text, message):
    with pytest.raises(ProgramError, match=re.escape(message)):
        Program.parse(text)


def test_decode_rejects_what_no_instruction_is():
    with pytest.raises(ProgramError, match="Unknown opcode 200"):
        Instruction.decode(200)
    with pytest.raises(ProgramError, match="outside its fields"):
        Instruction.decode(HALT.encode() | 1 << 128)
    with pytest.raises(ProgramError, match="multiple of 12 words"):
        Program.decode([0] * 5)


def stream(**values):
    return Instruction.make("STREAM", n=1, **values)


def norm(**values):
    return Instruction.make("NORM", k=1, target="row", **values)


def loop(*body):
    return (Instruction.make("LOOP", tile_n=1), *body, Instruction.make("NEXT"))


def test_verify_accepts_first_and_last_iterations():
    verify_program(make(stream(post=1), *loop(norm(once=1)), HALT))
    verify_program(make(*loop(stream(final=2)), norm(wait=2), HALT))


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (make(norm(wait=1), stream(post=1), HALT), "takes semaphore one before it is given"),
        (make(stream(post=2), HALT), "semaphores two do not end at zero"),
        (make(stream(post=1), norm(post=1), HALT), "is given by reader and vector"),
        (
            make(stream(post=1), norm(wait=1), stream(wait=1), HALT),
            "is taken by vector and reader",
        ),
        (make(stream(post=1), *loop(norm(wait=1)), HALT), "before it is given"),
        (make(*[stream(post=1)] * 16, HALT), "more than 11 times ahead"),
    ],
)
def test_verify_rejects(program, message):
    with pytest.raises(ProgramError, match=re.escape(message)):
        verify_program(program)
