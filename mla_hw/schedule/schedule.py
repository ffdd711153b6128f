"""The schedule: steps bound to engines, in program order, with what each waits for.

Before buffers are placed, operands are elements of buffers (:class:`At`); a :class:`Schedule` has
numbers in their place.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mla_hw.hardware import CoreConfig
from mla_hw.program.instructions import INSTRUCTIONS, Engine
from mla_hw.schedule.placement import Placement

__all__ = [
    "OPERANDS",
    "At",
    "Body",
    "Event",
    "Loop",
    "OperandRows",
    "Schedule",
    "Step",
    "WeightTiles",
    "streams",
    "walk",
]

#: What :class:`At` calls the operand rows, counted in beats; they lie behind all tiles of weights.
OPERANDS = "operands"


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


@dataclass(frozen=True, slots=True)
class At:
    """An element of a buffer, counted as the buffer's layout does.

    Parameters
    ----------
    buffer : str
    element : int
    strides : tuple of int
        Elements further per iteration of each loop around it, outermost first.
    side_by_side : bool
        Elements of all query rows are counted, as LOAD does.
    """

    buffer: str
    element: int = 0
    strides: tuple[int, ...] = ()
    side_by_side: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One instruction-to-be.

    Parameters
    ----------
    instruction : str
        Mnemonic.
    fields : dict
        Its fields, without semaphores; ``a``, ``b`` and ``c`` may be elements of buffers.
    phase : str
        Phase of the decode step that the work belongs to.
    what : str
        For the reader of a printed schedule.
    waits, tells : tuple of Event
    weights : tuple of WeightTiles
        What a STREAM reads.
    looped : bool
        Each iteration of the loop around it reads one of these.
    """

    instruction: str
    phase: str
    what: str
    fields: dict[str, "int | str | At"] = field(default_factory=dict)
    waits: tuple[Event, ...] = ()
    tells: tuple[Event, ...] = ()
    weights: tuple["WeightTiles", ...] = ()
    looped: bool = False

    @property
    def engine(self) -> Engine:
        """Who does it."""
        return INSTRUCTIONS[self.instruction].engine

    @property
    def numbers(self) -> dict[str, int | str]:
        """Its fields when all buffers have been placed."""
        numbers: dict[str, int | str] = {}
        for name, value in self.fields.items():
            assert not isinstance(value, At), "operands are resolved before"
            numbers[name] = int(value) if isinstance(value, int) else value
        return numbers


@dataclass(frozen=True, kw_only=True, slots=True)
class Loop:
    """Steps that are repeated: ``count`` times, or once per tile of a query row's cached tokens."""

    body: tuple["Step | Loop", ...]
    count: int | None
    index: str
    row: int = 0


#: Steps and loops in program order.
Body = Sequence[Step | Loop]


def walk(body: Body) -> Iterator[Step]:
    """Yield all steps in program order, those of a loop once."""
    for item in body:
        if isinstance(item, Loop):
            yield from walk(item.body)
        else:
            yield item


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


@dataclass(frozen=True, kw_only=True, slots=True)
class OperandRows:
    """Rows of weights that are multiplied from the activation buffer, or that a tile is made of.

    Parameters
    ----------
    projection : str
        Tensor that they belong to.
    head : int
    rows, steps : int
        Rows, and elements of each.
    ring : bool
        They lie as cache rows do, for TILE; else in groups of the array's rows, as they go to its
        lanes.
    beats : int
        Beats that they take in memory.
    """

    projection: str
    head: int
    rows: int
    steps: int
    ring: bool
    beats: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Schedule:
    """Everything that the program, the memory image and the gateware follow from.

    Parameters
    ----------
    core : CoreConfig
    placement : Placement
    body : tuple of Step and Loop
        Program order.
    constants : dict
        Index of each layer constant.
    passes : tuple of range
        Heads of each pass over the cache.
    operands : tuple of OperandRows
        In the order of memory.
    """

    core: CoreConfig
    placement: Placement
    body: tuple[Step | Loop, ...]
    constants: dict[str, int]
    passes: tuple[range, ...]
    operands: tuple[OperandRows, ...] = ()

    def steps(self) -> Iterator[Step]:
        """All steps in program order, loop bodies once."""
        return walk(self.body)

    @property
    def streams(self) -> tuple[tuple[WeightTiles, ...], ...]:
        """What each STREAM reads."""
        return streams(self.body)

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


def streams(body: Body) -> tuple[tuple[WeightTiles, ...], ...]:
    """Return what each STREAM reads, in each iteration that reads something else."""
    found: list[tuple[WeightTiles, ...]] = []
    for step in walk(body):
        if step.looped:
            found += [(tiles,) for tiles in step.weights]
        elif step.weights:
            found.append(step.weights)
    return tuple(found)


def _event(event: Event) -> str:
    return event.name if event.when == "each" else f"{event.name} ({event.when})"
