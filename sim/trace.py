"""Start and end of every instruction: simulated beside predicted."""

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from mla_hw.cycles.timeline import TimedInstruction
from mla_hw.hardware import PROGRAM_LOAD
from sim.bench import ENGINES
from sim.results import Event

__all__ = ["Trace", "TracedInstruction", "pair"]


@dataclass(frozen=True, slots=True)
class TracedInstruction:
    """One executed instruction; ``start`` or ``end`` is None if the core has not come so far."""

    predicted: TimedInstruction
    start: int | None
    end: int | None


@dataclass(frozen=True, slots=True)
class Trace:
    """What the core has executed.

    Parameters
    ----------
    instructions : tuple of TracedInstruction
        Those that the program has, in its order.
    unexpected : tuple of Event
        Starts and ends beyond these.
    """

    instructions: tuple[TracedInstruction, ...]
    unexpected: tuple[Event, ...]

    def problem(self) -> str | None:
        """Say which instruction the core has executed too often or not at all."""
        for event in self.unexpected:
            return (
                f"{event.kind} of instruction {event.tag} in {ENGINES[event.engine]} at cycle "
                f"{event.cycle}, which the program does not have"
            )
        for item in self.instructions:
            if item.start is None or item.end is None:
                missing = "start" if item.start is None else "end"
                index, iteration = item.predicted.index, item.predicted.iteration
                return f"no {missing} of instruction {index}, iteration {list(iteration)}"
        return None


def pair(predicted: Sequence[TimedInstruction], events: Sequence[Event]) -> Trace:
    """Give every predicted instruction its simulated start and end.

    An engine executes in order, so the iterations of an instruction are told apart by their order.
    The dispatcher's load of the program is no instruction of it.
    """
    waiting: dict[tuple[str, str, int], deque[Event]] = defaultdict(deque)
    for event in events:
        if event.tag != PROGRAM_LOAD:
            waiting[event.kind, ENGINES[event.engine], event.tag].append(event)

    def take(kind: str, instruction: TimedInstruction) -> int | None:
        queue = waiting[kind, instruction.engine, instruction.index]
        return queue.popleft().cycle if queue else None

    instructions = tuple(
        TracedInstruction(item, take("start", item), take("end", item)) for item in predicted
    )
    left = sorted((event for queue in waiting.values() for event in queue), key=lambda e: e.cycle)
    return Trace(instructions, tuple(left))
