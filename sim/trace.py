"""Start and end of every instruction: simulated beside predicted."""

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from mla_hw.cycles.timeline import TimedInstruction
from sim.bench import ENGINES
from sim.results import Event

__all__ = ["TracedInstruction", "pair"]


@dataclass(frozen=True, slots=True)
class TracedInstruction:
    """One executed instruction; ``start`` or ``end`` is None if the core has not come so far."""

    predicted: TimedInstruction
    start: int | None
    end: int | None


def pair(predicted: Sequence[TimedInstruction], events: Sequence[Event]) -> list[TracedInstruction]:
    """Give every predicted instruction its simulated start and end.

    An engine executes in order, so the iterations of an instruction are told apart by their order.
    """
    cycles: dict[tuple[str, str, int], deque[int]] = defaultdict(deque)
    for event in events:
        cycles[event.kind, ENGINES[event.engine], event.tag].append(event.cycle)

    def take(kind: str, instruction: TimedInstruction) -> int | None:
        waiting = cycles[kind, instruction.engine, instruction.index]
        return waiting.popleft() if waiting else None

    return [TracedInstruction(item, take("start", item), take("end", item)) for item in predicted]
