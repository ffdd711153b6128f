"""Timeline of a run: start and end of every instruction, and the phases that follow from them."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["NO_STALLS", "Phase", "Stalls", "TimedInstruction", "Timeline", "split_phases"]


@dataclass(frozen=True, slots=True)
class Stalls:
    """Cycles for which the array waits within a MATMUL, as the core's counters count them.

    Parameters
    ----------
    weights, latents : int
        For a word of the weight FIFO, for a block of the ring.
    drain : int
        Until the sums before are drained when the tile's are complete.
    """

    weights: int = 0
    latents: int = 0
    drain: int = 0


NO_STALLS = Stalls()


@dataclass(frozen=True, slots=True)
class TimedInstruction:
    """One executed instruction.

    Parameters
    ----------
    index : int
        Place in the program.
    iteration : tuple of int
        Loop indices.
    name : str
        Mnemonic.
    engine : str
    start, end : int
        Cycles after the start of the run.
    cause : str
        What it started after: ``dispatcher``, ``order`` (the instructions before it in its
        engine), or ``semaphore`` with the name.
    stalls : Stalls
        0 but for MATMUL.
    """

    index: int
    iteration: tuple[int, ...]
    name: str
    engine: str
    start: int
    end: int
    cause: str
    stalls: Stalls = NO_STALLS


@dataclass(frozen=True, slots=True)
class Phase:
    """Cycles of one phase."""

    name: str
    cycles: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """Result of :func:`mla_hw.cycles.predict.predict`.

    Parameters
    ----------
    instructions : tuple of TimedInstruction
        In program order, those of the dispatcher left out.
    total : int
        Cycles from start to halt.
    """

    instructions: tuple[TimedInstruction, ...]
    total: int

    def phases(self, names: Sequence[str]) -> tuple[Phase, ...]:
        """Split the run at the last array step of each phase.

        Parameters
        ----------
        names : sequence of str
            Phase of each instruction of the program.
        """
        return split_phases(
            [(item.index, item.end) for item in self.instructions if item.name == "MATMUL"],
            names,
            self.total,
        )


def split_phases(
    matmuls: Sequence[tuple[int, int]], names: Sequence[str], total: int
) -> tuple[Phase, ...]:
    """Split a run by the phases of its array instructions.

    Each phase runs from the last array step of the one before (the first: from start) to its own
    (the last: to the halt). An instruction's end follows its last step by a constant, so the ends
    stand for the steps, all alike.

    Parameters
    ----------
    matmuls : sequence of (index, end)
        In order of execution.
    names : sequence of str
        Phase of each instruction of the program.
    total : int
    """
    cycles: dict[str, int] = {}
    before = 0
    for number, (index, end) in enumerate(matmuls):
        phase = names[index]
        last = number + 1 == len(matmuls)
        if not last and names[matmuls[number + 1][0]] == phase:
            continue
        boundary = total if last else end
        cycles[phase] = cycles.get(phase, 0) + boundary - before
        before = boundary
    return tuple(Phase(name, count) for name, count in cycles.items())
