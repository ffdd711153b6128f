"""The schedule: steps bound to engines, in program order, with what each waits for."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mla_hw.hardware import CoreConfig
from mla_hw.program.instructions import INSTRUCTIONS, Engine
from mla_hw.schedule.placement import Placement

__all__ = ["Event", "Loop", "Schedule", "Step", "WeightTiles"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that one engine tells another; becomes a semaphore.

    Parameters
    ----------
    name : str
    when : str
        ``each`` iteration; ``first``: waited for only in the first iteration of all loops;
        ``last``: told only in the last iteration of the innermost loop.
    """

    name: str
    when: str = "each"


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One instruction-to-be.

    Parameters
    ----------
    instruction : str
        Mnemonic.
    fields : dict
        Its fields, without semaphores.
    phase : str
        Phase of the decode step that the work belongs to.
    what : str
        For the reader of a printed schedule.
    waits, tells : tuple of Event
    """

    instruction: str
    phase: str
    what: str
    fields: dict[str, int | str] = field(default_factory=dict)
    waits: tuple[Event, ...] = ()
    tells: tuple[Event, ...] = ()

    @property
    def engine(self) -> Engine:
        """Who does it."""
        return INSTRUCTIONS[self.instruction].engine


@dataclass(frozen=True, kw_only=True, slots=True)
class Loop:
    """Steps that are repeated: ``count`` times, or once per tile of cached tokens."""

    body: tuple["Step | Loop", ...]
    count: int | None
    index: str


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightTiles:
    """A piece of the weights region, in the order in which the array consumes it.

    Parameters
    ----------
    projection : str
        Tensor that it makes.
    head : int or None
        Head, for a projection per head.
    channels, steps : int
        True output channels and steps.
    """

    projection: str
    head: int | None
    channels: int
    steps: int

    def bytes(self, columns: int) -> int:
        """Requantise constants and weights, padded to whole tiles."""
        return -(-self.channels // columns) * (2 + self.steps) * columns


@dataclass(frozen=True, kw_only=True, eq=False)
class Schedule:
    """Everything that the program, the memory image and the gateware follow from.

    Parameters
    ----------
    core : CoreConfig
    placement : Placement
    body : tuple of Step and Loop
        Program order.
    streams : tuple of tuple of WeightTiles
        What each STREAM reads.
    constants : dict
        Index of each layer constant.
    passes : tuple of range
        Heads of each pass over the cache.
    """

    core: CoreConfig
    placement: Placement
    body: tuple[Step | Loop, ...]
    streams: tuple[tuple[WeightTiles, ...], ...]
    constants: dict[str, int]
    passes: tuple[range, ...]

    def steps(self) -> Iterator[Step]:
        """All steps in program order, loop bodies once."""

        def walk(body: tuple[Step | Loop, ...]) -> Iterator[Step]:
            for item in body:
                if isinstance(item, Loop):
                    yield from walk(item.body)
                else:
                    yield item

        return walk(self.body)

    def __str__(self) -> str:
        lines = ["# buffers: memory, addresses, layout, tensor, alive", str(self.placement)]
        lines.append("# steps: engine, instruction, phase, what, < waits for, > tells")

        def show(body: tuple[Step | Loop, ...], depth: int) -> None:
            pad = "  " * depth
            for item in body:
                if isinstance(item, Loop):
                    count = "tiles" if item.count is None else item.count
                    lines.append(f"{pad}for {item.index} in {count}:")
                    show(item.body, depth + 1)
                    continue
                waits = "".join(f" < {_event(e)}" for e in item.waits)
                tells = "".join(f" > {_event(e)}" for e in item.tells)
                lines.append(
                    f"{pad}{item.engine.value:<7} {item.instruction:<9} {item.phase:<9} "
                    f"{item.what}{waits}{tells}"
                )

        show(self.body, 0)
        return "\n".join(lines) + "\n"


def _event(event: Event) -> str:
    return event.name if event.when == "each" else f"{event.name} ({event.when})"
