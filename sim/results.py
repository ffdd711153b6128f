"""What a simulation leaves behind: log of events, contents of memories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Dump", "Event", "LogReader", "TokenLog", "TokenResult", "Write"]


@dataclass(frozen=True, slots=True)
class Event:
    """Start or end of an instruction.

    Parameters
    ----------
    kind : str
        ``start`` or ``end``.
    engine : int
        Index of the engine's queue.
    tag : int
        Index of the instruction in the program.
    cycle : int
        Cycles since the start bit took effect.
    """

    kind: str
    engine: int
    tag: int
    cycle: int


@dataclass(frozen=True, slots=True)
class Write:
    """One beat that was written: byte address, little-endian data, and which bytes count."""

    address: int
    data: bytes
    strobes: int


@dataclass(slots=True)
class TokenLog:
    """Events of one token.

    ``begun`` tells whether the start bit has taken effect, ``halt`` is the cycle of the end,
    ``violation`` a rule of the bus that was broken.
    """

    events: list[Event] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    begun: bool = False
    halt: int | None = None
    violation: str | None = None


@dataclass(frozen=True, slots=True)
class Dump:
    """Content of a memory of the core.

    Parameters
    ----------
    width : int
        Bits per word.
    words : array of uint8 [depth, bytes]
        Least significant byte first.
    unknown : array of int
        Indices of words that are not all 0 and 1.
    """

    width: int
    words: NDArray[np.uint8]
    unknown: NDArray[np.intp]

    @classmethod
    def read(cls, path: Path, width: int) -> "Dump":
        """Read a file of ``$writememh``."""
        digits = -(-width // 8) * 2
        lines = [
            line.rjust(digits, "0")
            for line in path.read_text(encoding="ascii").split("\n")
            if line and line[0] not in "/@"
        ]
        unknown = [i for i, line in enumerate(lines) if not set(line.lower()).isdisjoint("xz")]
        for index in unknown:
            lines[index] = "0" * digits
        words = np.frombuffer(bytes.fromhex("".join(lines)), np.uint8)
        words = words.reshape(len(lines), digits // 2)[:, ::-1]
        return cls(width, np.ascontiguousarray(words), np.array(unknown, np.intp))

    def head(self, count: int) -> "Dump":
        """Return the first words."""
        return Dump(self.width, self.words[:count], self.unknown[self.unknown < count])

    def first_difference(self, expected: NDArray[Any]) -> tuple[tuple[int, ...], int, str] | None:
        """Compare with signed or unsigned integers.

        Parameters
        ----------
        expected : array [depth] or [depth, elements]
            Words; or the elements that a word consists of, from its least significant bit. Masked
            entries of a masked array are not compared.

        Returns
        -------
        (index, expected, got) or None
            The first entry that differs, its expected value and what the memory has in its place
            as text; None if all are equal.

        Raises
        ------
        ValueError
            If the memory has another depth, or its words do not consist of so many elements.
        """
        elements = expected.shape[1] if expected.ndim == 2 else 1
        if len(expected) != len(self.words) or self.width % elements:
            raise ValueError(
                f"{len(self.words)} words of {self.width} bits are not an array of "
                f"shape {expected.shape}"
            )
        bits = self.width // elements
        got = self._entries(elements)
        wanted = np.ma.getdata(expected).reshape(len(expected), elements)
        mask = (1 << bits) - 1
        if got.dtype == object:
            wanted = wanted.astype(object) & mask
        else:
            wanted = wanted.astype(np.int64).view(np.uint64) & np.uint64(mask)
        differs = got != wanted
        differs[self.unknown] = True
        differs &= ~np.ma.getmaskarray(expected).reshape(differs.shape)
        places = np.argwhere(differs)
        if not len(places):
            return None
        row, column = (int(i) for i in places[0])
        value = int(got[row, column])
        if expected.dtype.kind == "i" and value >> (bits - 1):
            value -= 1 << bits
        text = "unknown" if row in self.unknown else str(value)
        index = (row, column) if expected.ndim == 2 else (row,)
        return index, int(expected[index]), text

    def _entries(self, elements: int) -> NDArray[Any]:
        """Return unsigned elements [depth, elements]; Python's integers where they are wide."""
        bits = self.width // elements
        if bits % 8 == 0 and bits <= 64:
            size = bits // 8
            padded = np.zeros((len(self.words), elements, 8), np.uint8)
            padded[..., :size] = self.words.reshape(len(self.words), elements, size)
            return padded.view(np.uint64)[..., 0]
        if elements == 1 and self.width <= 64:
            padded = np.zeros((len(self.words), 8), np.uint8)
            padded[:, : self.words.shape[1]] = self.words
            return padded.view(np.uint64)
        numbers = [int.from_bytes(word.tobytes(), "little") for word in self.words]
        mask = (1 << bits) - 1
        return np.array(
            [[number >> bits * i & mask for i in range(elements)] for number in numbers], object
        ).reshape(len(numbers), elements)


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenResult:
    """What the simulation of one token has given.

    Parameters
    ----------
    index : int
        Number of the token in its job.
    stopped : str or None
        Why the simulation went no further; None if the core has interrupted.
    registers : mapping of str to int
        The job's reads.
    seconds : float
        Wall time within the simulator.
    limit : int
        Cycles that it was given.
    log : TokenLog
    memories : mapping of str to Dump
        Contents of the dumped memories at the end.
    """

    index: int
    stopped: str | None
    registers: Mapping[str, int]
    seconds: float
    limit: int
    log: TokenLog
    memories: Mapping[str, Dump]

    def without_memories(self) -> "TokenResult":
        """Return everything but the contents of memories, which are large."""
        return replace(self, memories={})

    @property
    def cycles(self) -> int:
        """Cycles from start to halt, or that were waited in vain."""
        return self.limit if self.log.halt is None else self.log.halt


class LogReader:
    """Reads the simulation's log token by token while it is being written."""

    def __init__(self, path: Path, widths: int) -> None:
        self.path = path
        self.position = 0
        #: Bits per word of every dumped memory; known with the first token.
        self.widths: list[int] = [0] * widths

    def token(self) -> TokenLog:
        """Return the next token, which must be complete."""
        log = TokenLog()
        with self.path.open(encoding="ascii") as file:
            file.seek(self.position)
            while line := file.readline():
                kind, *rest = line.split()
                if kind == "end_of_token":
                    break
                self._take(log, kind, rest)
            self.position = file.tell()
        return log

    def _take(self, log: TokenLog, kind: str, rest: Sequence[str]) -> None:
        match kind:
            case "start" | "end":
                log.events.append(Event(kind, *(int(number) for number in rest)))
            case "write":
                address, data, strobes = rest
                content = bytes.fromhex(data)[::-1]
                log.writes.append(Write(int(address, 16), content, int(strobes, 16)))
            case "begin":
                log.begun = True
                # What came before belongs to a run that was ended with instructions under way.
                log.events.clear()
            case "halt":
                log.halt = int(rest[0])
            case "violation":
                log.violation = f"{' '.join(rest[1:])} (cycle {rest[0]})"
            case "width":
                self.widths[int(rest[0])] = int(rest[1])
