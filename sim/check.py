"""Comparison of a simulated core with the golden model, in every bit."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mla_hw.golden.interpreter import Machine
from mla_hw.registers import ERRORS, ErrorCode
from sim.bench import ENGINES
from sim.results import TokenResult, Write
from sim.trace import Trace

__all__ = ["Difference", "MemoryMirror", "core_contents", "first_difference"]

_PROGRAM = "dispatcher.memory"
#: Units in the order in which data come to them.
_WAY = (
    "array_constants",
    "vector_constants",
    "rope_row",
    "latent_ring",
    "requantizer",
    "scratch",
    "vector_engine",
    "row_buffer",
    "score_unit",
    "context_accumulator",
    "activation_buffer",
    "output_buffer",
)

#: Counter of the core for each place at which the golden model counts; all others are requantised.
_COUNTERS = {
    "scores": "saturated_score",
    "q_rope": "saturated_rope",
    "k_rope": "saturated_rope",
    "ctx": "saturated_normalize",
    "key": "saturated_pack",
}
_REQUANTIZED = "saturated_requantizer"
_SATURATION_COUNTERS = (_REQUANTIZED, *dict.fromkeys(_COUNTERS.values()))


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """Where core and golden model part first.

    Parameters
    ----------
    token : int
        Row of the hidden states.
    buffer : str
        Memory of the core by its hierarchical name, region of the memory, counter, or ``run`` where
        the program has not ended as it should.
    element : tuple of int
        Index in the buffer; bytes in a region.
    expected, got : str
        Values, or what was to happen and what has happened.
    """

    token: int
    buffer: str
    element: tuple[int, ...] = ()
    expected: str
    got: str

    def __str__(self) -> str:
        index = f"[{', '.join(map(str, self.element))}]" if self.element else ""
        return f"token {self.token}: {self.buffer}{index}: expected {self.expected}, got {self.got}"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields in JSON's types."""
        return {**asdict(self), "element": list(self.element)}


class MemoryMirror:
    """What the simulated memory holds: its content at the start, and every beat written since.

    Parameters
    ----------
    content : array of uint8
        Copied.
    """

    def __init__(self, content: NDArray[np.uint8]) -> None:
        self.content = content.copy()

    def write(self, writes: Sequence[Write]) -> set[int]:
        """Apply beats; return the addresses of all bytes that were written."""
        touched = set()
        for write in writes:
            for offset, value in enumerate(write.data):
                if write.strobes >> offset & 1:
                    self.content[write.address + offset] = value
                    touched.add(write.address + offset)
        return touched


def first_difference(
    machine: Machine,
    mirror: MemoryMirror,
    result: TokenResult,
    *,
    token: int,
    positions: Sequence[int],
    counted: Mapping[str, int],
    trace: Trace,
) -> Difference | None:
    """Compare the state after one token.

    Looks at the program, at how the run has ended, at all other buffers in the order of
    :func:`core_contents`, at every byte of memory that either side has written, at the saturation
    counters, and at which instructions were executed.

    Parameters
    ----------
    machine : Machine
        Golden model, after the token.
    mirror : MemoryMirror
        Simulated memory before the token; is brought up to date.
    result : TokenResult
        Of the simulation.
    token : int
        Number of the token.
    positions : sequence of int
        Its position by query row.
    counted : mapping of str to int
        Saturations of this token by place, of the golden model.
    trace : Trace
        Instructions of the simulation beside those of the program.
    """
    touched = mirror.write(result.log.writes)
    contents = core_contents(machine)
    program = {_PROGRAM: contents.pop(_PROGRAM)}
    return next(
        chain(
            _buffers(program, result, token),
            _run(result, token),
            _buffers(contents, result, token),
            _memory(machine, mirror, touched, token, positions),
            _saturations(result, counted, token),
            _instructions(trace, token),
        ),
        None,
    )


def core_contents(machine: Machine) -> dict[str, NDArray[Any]]:
    """Return the expected content of every memory of the core, in the order of the data's way.

    So the first that differs is the one nearest to the cause. The program memory may be deeper than
    the program; what lies behind does not count.
    """

    def place(name: str) -> int:
        unit = name.split(".", 1)[0]
        return _WAY.index(unit) if unit in _WAY else len(_WAY)

    buffers = machine.buffers()
    program = machine.program.encode().astype(np.int64)
    return {_PROGRAM: program, **{name: buffers[name] for name in sorted(buffers, key=place)}}


def _run(result: TokenResult, token: int) -> Iterator[Difference]:
    code = result.registers.get("error_code", 0)
    got = None
    if result.stopped == "overtime":
        last = {event.engine: event.tag for event in result.log.events if event.kind == "start"}
        started = ", ".join(f"{ENGINES[engine]} {tag}" for engine, tag in sorted(last.items()))
        got = f"no HALT after {result.cycles} cycles (last started: {started or 'nothing'})"
    elif result.stopped is not None:
        got = result.stopped
    elif code:
        address = result.registers["error_address"]
        where = f" at address {address:#x}" if code in (ErrorCode.READ, ErrorCode.WRITE) else ""
        counter = result.registers["error_program_counter"]
        got = f"{ERRORS[ErrorCode(code)]}{where} (program counter {counter})"
    if got is not None:
        yield Difference(token=token, buffer="run", expected="HALT", got=got)


def _buffers(
    contents: Mapping[str, NDArray[Any]], result: TokenResult, token: int
) -> Iterator[Difference]:
    for name, expected in contents.items():
        memory = result.memories[name]
        if name == _PROGRAM:
            memory = memory.head(len(expected))
        found = memory.first_difference(expected)
        if found is not None:
            element, wanted, got = found
            yield Difference(
                token=token, buffer=name, element=element, expected=str(wanted), got=got
            )


def _memory(
    machine: Machine,
    mirror: MemoryMirror,
    touched: set[int],
    token: int,
    positions: Sequence[int],
) -> Iterator[Difference]:
    regions, core = machine.map.regions, machine.core
    awaited = touched | set(range(regions["y"].offset, regions["y"].end))
    for cache, position in zip(machine.map.cache_bases, positions, strict=True):
        row = cache + position * core.row_bytes
        awaited.update(range(row, row + core.row_bytes))
    addresses = np.array(sorted(awaited))
    wrong = addresses[mirror.content[addresses] != machine.memory[addresses]]
    if len(wrong):
        address = int(wrong[0])
        # What belongs to other layers counts as part of the region before it.
        start, name = max(
            (region.offset, name) for name, region in regions.items() if region.offset <= address
        )
        yield Difference(
            token=token,
            buffer=name,
            element=(address - start,),
            expected=str(machine.memory[address]),
            got=str(mirror.content[address]),
        )


def _saturations(
    result: TokenResult, counted: Mapping[str, int], token: int
) -> Iterator[Difference]:
    expected = Counter(dict.fromkeys(_SATURATION_COUNTERS, 0))
    for place, count in counted.items():
        expected[_COUNTERS.get(place, _REQUANTIZED)] += count
    for name, count in expected.items():
        if result.registers[name] != count:
            yield Difference(
                token=token, buffer=name, expected=str(count), got=str(result.registers[name])
            )


def _instructions(trace: Trace, token: int) -> Iterator[Difference]:
    if problem := trace.problem():
        yield Difference(
            token=token, buffer="run", expected="the instructions of the program", got=problem
        )
