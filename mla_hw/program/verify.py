"""Rules that make a program free of deadlock, whatever the timing."""

from collections import Counter

from mla_hw.errors import ProgramError
from mla_hw.golden.dispatcher import resolve
from mla_hw.hardware import QUEUE_DEPTH
from mla_hw.program.instructions import Engine
from mla_hw.program.program import Program

__all__ = ["SEMAPHORE_CAP", "verify_program"]

#: Highest count in program order. The counters end at 15, and an engine may be ahead of program
#: order by what its queue holds.
SEMAPHORE_CAP = 15 - QUEUE_DEPTH
#: Tile counts for which loops are unrolled: one, two, and several.
_TILES = (1, 2, 5)


def verify_program(program: Program) -> None:
    """Check the rules of the instruction set.

    Every semaphore has exactly one engine that gives it and one that takes it. Executed in
    program order no counter leaves 0 … cap, every loop over tiles is net zero whatever the number
    of tiles, and all counters end at zero. Then no queue depth deadlocks, as long as the reader
    brings what the array takes (:mod:`mla_hw.program.array_inputs`).

    Raises
    ------
    ProgramError
        Names the instruction and the semaphore.
    """
    _check_owners(program)
    for tiles in _TILES:
        _execute(program, tiles)


def _name(program: Program, semaphore: int) -> str:
    if semaphore < len(program.semaphores):
        return program.semaphores[semaphore]
    return f"s{semaphore}"


def _bits(mask: int) -> list[int]:
    return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]


def _check_owners(program: Program) -> None:
    givers: dict[int, Engine] = {}
    takers: dict[int, Engine] = {}
    for index, instruction in enumerate(program.instructions):
        for owners, verb, fields in (
            (givers, "given", ("post", "final")),
            (takers, "taken", ("wait", "once")),
        ):
            for bit in _bits(instruction[fields[0]] | instruction[fields[1]]):
                owner = owners.setdefault(bit, instruction.engine)
                if owner is not instruction.engine:
                    raise ProgramError(
                        f"instruction {index} ({instruction.name}): semaphore "
                        f"{_name(program, bit)} is {verb} by {owner.value} and "
                        f"{instruction.engine.value}; it may have one engine on each side"
                    )


def _execute(program: Program, tiles: int) -> None:
    counters: Counter[int] = Counter()
    # A tile of two tokens: the number of tiles is all that matters here.
    for command in resolve(
        program.instructions,
        position=2 * tiles - 1,
        tile_tokens=2,
        bases=[0] * 7,
        port_bytes=4,
    ):
        where = f"instruction {command.index} ({command.name})"
        for bit in _bits(command.wait):
            counters[bit] -= 1
            if counters[bit] < 0:
                raise ProgramError(
                    f"{where} takes semaphore {_name(program, bit)} before it is given"
                )
        for bit in _bits(command.post):
            counters[bit] += 1
            if counters[bit] > SEMAPHORE_CAP:
                raise ProgramError(
                    f"{where} gives semaphore {_name(program, bit)} more than "
                    f"{SEMAPHORE_CAP} times ahead"
                )
    left = [_name(program, bit) for bit, count in counters.items() if count]
    if left:
        raise ProgramError(f"semaphores {', '.join(left)} do not end at zero")
