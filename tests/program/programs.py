"""Scheduled programs, and how to spoil them."""

import functools
import itertools
from collections import defaultdict, deque

from mla_hw.golden.dispatcher import resolve
from mla_hw.hardware import SEMAPHORES, HardwareConfig
from mla_hw.presets import find_preset
from mla_hw.program.instructions import FIELDS
from mla_hw.program.lower import lower
from mla_hw.program.program import Instruction, Program
from mla_hw.schedule import schedule_layer

__all__ = [
    "QUERY_ROWS",
    "SHAPES",
    "change",
    "find",
    "index_of",
    "insert",
    "matched_sites",
    "move",
    "neighbour",
    "remove",
    "scheduled",
    "sites",
    "without",
]

#: Preset, hardware, head groups per pass, scheme where it is not absorb.
SHAPES = {
    "one pass": ("tiny-v3", HardwareConfig(rows=4, columns=8), None),
    "two passes": (
        "tiny-v3",
        HardwareConfig(rows=2, columns=4, port_bytes=4, accumulator_lanes=1, tile_tokens=16),
        1,
    ),
    "one row": ("tiny-v3", HardwareConfig(rows=1, columns=4, port_bytes=4), 1),
    "two passes of two groups": (
        "small-v2lite",
        HardwareConfig(rows=2, columns=4, accumulator_lanes=1),
        2,
    ),
    "wide port": ("small-v2lite", HardwareConfig(rows=8, columns=16, port_bytes=64), None),
    "uneven groups": (
        "small-v2lite",
        HardwareConfig(rows=3, columns=4, port_bytes=4, accumulator_lanes=1, tile_tokens=12),
        2,
    ),
    "five groups": ("minicpm3-4b", HardwareConfig(rows=8, columns=16, accumulator_lanes=4), None),
    "two query rows": ("tiny-v3", HardwareConfig(rows=4, columns=8), None),
    "three query rows in passes": (
        "small-v2lite",
        HardwareConfig(rows=5, columns=4, port_bytes=4, accumulator_lanes=1, tile_tokens=20),
        1,
    ),
    "reuse, two passes": (
        "tiny-v3",
        HardwareConfig(rows=2, columns=4, port_bytes=4, accumulator_lanes=1, tile_tokens=16),
        1,
        "reuse",
    ),
    "reuse, one pass": ("small-v2lite", HardwareConfig(rows=3, columns=4), None, "reuse"),
    "recompute, two passes": (
        "tiny-v3",
        HardwareConfig(rows=2, columns=4, port_bytes=4, accumulator_lanes=1, tile_tokens=16),
        1,
        "recompute",
    ),
    "recompute, two words": (
        "small-v2lite",
        HardwareConfig(rows=5, columns=32, port_bytes=16),
        None,
        "recompute",
    ),
    "naive": ("tiny-v3", HardwareConfig(rows=3, columns=8), None, "naive"),
    "naive, wide": ("small-v2lite", HardwareConfig(rows=32, columns=16), None, "naive"),
}
#: Query rows of shapes that have several.
QUERY_ROWS = {"two query rows": 2, "three query rows in passes": 3}
_SEMAPHORE_FIELDS = ("wait", "once", "post", "final")


@functools.cache
def scheduled(shape):
    """Return program and core."""
    name, hardware, groups, *scheme = SHAPES[shape]
    schedule = schedule_layer(
        find_preset(name).config,
        hardware,
        pass_groups=groups,
        query_rows=QUERY_ROWS.get(shape, 1),
        scheme=(*scheme, "absorb")[0],
    )
    return lower(schedule), schedule.core


def with_instructions(program, instructions):
    return Program(tuple(instructions), program.semaphores)


def change(program, index, **fields):
    """Give an instruction other fields."""
    instructions = list(program.instructions)
    old = instructions[index]
    instructions[index] = Instruction.make(old.name, **{**dict(old.values), **fields})
    return with_instructions(program, instructions)


def insert(program, index, *new):
    """Put instructions ahead of one."""
    instructions = program.instructions
    return with_instructions(program, [*instructions[:index], *new, *instructions[index:]])


def remove(program, index):
    instructions = program.instructions
    return with_instructions(program, [*instructions[:index], *instructions[index + 1 :]])


def move(program, index, target):
    """Put an instruction ahead of a later one."""
    return remove(insert(program, target, program.instructions[index]), index)


def find(program, name, **choices):
    """Return the indices of instructions by mnemonic and fields, whose choices have names."""
    return [
        index
        for index, instruction in enumerate(program.instructions)
        if instruction.name == name
        and all(
            (instruction.choice(field) if FIELDS[field].choices else instruction[field]) == value
            for field, value in choices.items()
        )
    ]


def index_of(program, name, **choices):
    """Return the index of the first such instruction."""
    return find(program, name, **choices)[0]


def sites(program):
    """Give (instruction, field, semaphore) for each bit that is set."""
    return [
        (index, field, semaphore)
        for index, instruction in enumerate(program.instructions)
        for field, semaphore in itertools.product(_SEMAPHORE_FIELDS, range(SEMAPHORES))
        if instruction[field] >> semaphore & 1
    ]


def without(program, removed):
    """Remove semaphore bits."""
    for index, field, semaphore in removed:
        bits = program.instructions[index][field]
        program = change(program, index, **{field: bits & ~(1 << semaphore)})
    return program


def matched_sites(program, core):
    """Group the sites: what gives and what takes of what it gave. Without a group counts fit."""
    partners = {site: {site} for site in sites(program)}
    for tiles in (1, 2, 4):
        gives = defaultdict(deque)
        for command in resolve(
            program.instructions,
            position=tiles * core.tile_tokens - 1,
            tile_tokens=core.tile_tokens,
            bases=[0] * 7,
            port_bytes=core.port_bytes,
        ):
            instruction = program.instructions[command.index]
            for semaphore in range(SEMAPHORES):
                if command.wait >> semaphore & 1:
                    field = "wait" if instruction["wait"] >> semaphore & 1 else "once"
                    site = (command.index, field, semaphore)
                    joined = partners[site] | partners[gives[semaphore].popleft()]
                    partners |= dict.fromkeys(joined, joined)
                if command.post >> semaphore & 1:
                    field = "post" if instruction["post"] >> semaphore & 1 else "final"
                    gives[semaphore].append((command.index, field, semaphore))
    return {tuple(sorted(group)) for group in partners.values()}


def neighbour(program, site):
    """Return the site one instruction of the engine later (waits) or earlier (gives), or None."""
    index, field, semaphore = site
    step = 1 if field in ("wait", "once") else -1
    engine = program.instructions[index].engine
    while 0 <= (index := index + step) < len(program):
        instruction = program.instructions[index]
        if instruction.name in ("LOOP", "NEXT"):
            return None
        if instruction.engine is engine:
            return None if instruction[field] >> semaphore & 1 else (index, field, semaphore)
    return None
