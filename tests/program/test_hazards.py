"""Every wait of a scheduled program is needed, and missing ones are found."""

import dataclasses

import pytest

from mla_hw.errors import ProgramError
from mla_hw.hardware import HardwareConfig
from mla_hw.presets import find_preset
from mla_hw.program.hazards import verify_hazards
from mla_hw.program.lower import lower
from mla_hw.program.program import Program
from mla_hw.program.verify import verify_program
from mla_hw.schedule import schedule_layer

SHAPES = {
    "tiny-v3": (HardwareConfig(rows=4, columns=8), None),
    "small-v2lite": (HardwareConfig(rows=2, columns=4, accumulator_lanes=1), 2),
    "minicpm3-4b": (HardwareConfig(rows=8, columns=16, accumulator_lanes=4), None),
}


def scheduled(name):
    hardware, groups = SHAPES[name]
    schedule = schedule_layer(find_preset(name).config, hardware, pass_groups=groups)
    return lower(schedule), schedule.core


@pytest.mark.parametrize("name", SHAPES)
def test_scheduled_programs_have_no_hazards(name):
    program, core = scheduled(name)
    verify_program(program)
    verify_hazards(program, core)


def without(program, semaphore):
    """Remove all uses of a semaphore."""
    bit = 1 << program.semaphores.index(semaphore)
    instructions = []
    for instruction in program.instructions:
        values = tuple(
            (name, value & ~bit if name in ("wait", "once", "post", "final") else value)
            for name, value in instruction.values
        )
        kept = tuple((name, value) for name, value in values if value)
        instructions.append(dataclasses.replace(instruction, values=kept))
    return Program(tuple(instructions), program.semaphores)


# All but "stored": the cache row is written and read in memory, which this check does not see.
ON_CHIP = [
    "x",
    "q_down",
    "kv",
    "c_q",
    "row",
    "q_pe",
    "q_rope",
    "drained",
    "scores",
    "probabilities",
    "context",
    "ctx",
    "y",
]


@pytest.mark.parametrize("semaphore", ON_CHIP)
def test_every_semaphore_is_needed(semaphore):
    program, core = scheduled("tiny-v3")
    assert semaphore in program.semaphores
    with pytest.raises(ProgramError, match="without waiting for it"):
        verify_hazards(without(program, semaphore), core)
