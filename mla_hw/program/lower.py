"""From a schedule to a program: events become semaphores, loops become LOOP and NEXT."""

from mla_hw.program.program import Instruction, Program
from mla_hw.schedule.schedule import Event, Loop, Schedule, Step

__all__ = ["lower"]


def lower(schedule: Schedule) -> Program:
    """Turn a schedule into the program that the core executes."""
    names: dict[str, int] = {}
    for step in schedule.steps():
        for event in (*step.tells, *step.waits):
            names.setdefault(event.name, len(names))
    instructions: list[Instruction] = []

    def emit(body: tuple[Step | Loop, ...]) -> None:
        for item in body:
            if isinstance(item, Step):
                instructions.append(_instruction(item, names))
                continue
            tiled = {"tile_n": 1, "query_row": item.row}
            count = tiled if item.count is None else {"n": item.count}
            instructions.append(Instruction.make("LOOP", **count))
            emit(item.body)
            instructions.append(Instruction.make("NEXT"))

    emit(schedule.body)
    instructions.append(Instruction.make("HALT"))
    return Program(tuple(instructions), tuple(names))


def _instruction(step: Step, names: dict[str, int]) -> Instruction:
    def mask(events: tuple[Event, ...], when: str) -> int:
        return sum(1 << names[event.name] for event in events if event.when == when)

    return Instruction.make(
        step.instruction,
        **step.numbers,
        wait=mask(step.waits, "each"),
        once=mask(step.waits, "first"),
        post=mask(step.tells, "each"),
        final=mask(step.tells, "last"),
    )
