"""Data hazards: whatever an instruction reads has been written, whatever the timing."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mla_hw.errors import ProgramError
from mla_hw.golden.dispatcher import Resolved, resolve
from mla_hw.hardware import CoreConfig
from mla_hw.program.instructions import FIELDS, Engine
from mla_hw.program.program import Program

__all__ = ["verify_hazards"]

_Key = TypeVar("_Key", bound=Hashable)
#: Tile counts for which loops are unrolled.
_TILES = (1, 2, 3)
#: Engines that take an instruction only when the one before has ended.
_SERIAL = (Engine.VECTOR, Engine.WRITER)


@dataclass(frozen=True, slots=True)
class _Access:
    """Entries of one on-chip memory that an instruction reads or writes."""

    memory: str
    entries: NDArray[np.int64]


def verify_hazards(program: Program, core: CoreConfig) -> None:
    """Check that semaphores order all uses of the on-chip memories.

    An instruction may read what another wrote only if the other has ended before this one starts,
    and overwrite it only if whoever reads it has ended, or reads it earlier by being ahead in the
    same engine. What is known to have ended follows from semaphores, the order within an engine,
    and from vector engine and writer taking one instruction at a time.

    Raises
    ------
    ProgramError
        Names both instructions and the memory.
    """
    for tiles in _TILES:
        position = (tiles - 1) * core.tile_tokens
        _Check(program, core, position).run()


class _Check:
    def __init__(self, program: Program, core: CoreConfig, position: int) -> None:
        self.core = core
        self.commands = list(
            resolve(
                program.instructions,
                position=position,
                tile_tokens=core.tile_tokens,
                bases=[0] * 7,
                port_bytes=core.port_bytes,
            )
        )
        # Number of the last command that wrote each entry, or of the last of an engine to read it.
        self.writers: dict[str, NDArray[np.int64]] = {}
        self.readers: dict[tuple[str, Engine], NDArray[np.int64]] = {}
        # Numbers of commands known to have ended, per engine, when a command starts.
        self.ended: list[dict[Engine, int]] = []
        self.known: dict[Engine, dict[Engine, int]] = {}
        self.latest: dict[Engine, int] = {}
        self.gives: dict[int, list[int]] = {}

    def run(self) -> None:
        for number, command in enumerate(self.commands):
            if command.engine is Engine.DISPATCHER:
                self.ended.append({})
                continue
            self._start(number, command)
            for access in _reads(command, self.core):
                self._read(number, command, access)
            for access in _writes(command, self.core):
                self._write(number, command, access)

    def _start(self, number: int, command: Resolved) -> None:
        ended = dict(self.known.get(command.engine, {}))
        before = self.latest.get(command.engine)
        if before is not None and command.engine in _SERIAL:
            ended[command.engine] = before
        for semaphore in _bits(command.wait):
            giver = self.gives[semaphore].pop(0)
            engine = self.commands[giver].engine
            for other, last in {**self.ended[giver], engine: giver}.items():
                ended[other] = max(ended.get(other, -1), last)
        self.ended.append(ended)
        self.known[command.engine] = ended
        self.latest[command.engine] = number
        for semaphore in _bits(command.post):
            self.gives.setdefault(semaphore, []).append(number)

    def _read(self, number: int, command: Resolved, access: _Access) -> None:
        for writer in _users(self.writers, access.memory, access.entries):
            if not self._has_ended(number, writer):
                raise self._error(command, "reads", access, writer, "writes")
        _note(self.readers, (access.memory, command.engine), access.entries, number)

    def _write(self, number: int, command: Resolved, access: _Access) -> None:
        rivals = [
            (writer, "writes") for writer in _users(self.writers, access.memory, access.entries)
        ]
        for engine in Engine:
            readers = _users(self.readers, (access.memory, engine), access.entries)
            rivals += [(reader, "reads") for reader in readers]
        for rival, does in rivals:
            # Within an engine reads and writes keep the order of the instructions.
            same = self.commands[rival].engine is command.engine
            if not same and not self._has_ended(number, rival):
                raise self._error(command, "overwrites", access, rival, does)
        _note(self.writers, access.memory, access.entries, number)

    def _has_ended(self, number: int, other: int) -> bool:
        return self.ended[number].get(self.commands[other].engine, -1) >= other

    def _error(
        self, command: Resolved, does: str, access: _Access, other: int, did: str
    ) -> ProgramError:
        rival = self.commands[other]
        return ProgramError(
            f"instruction {command.index} ({command.name}) {does} {access.memory} that instruction "
            f"{rival.index} ({rival.name}) {did}, without waiting for it"
        )


def _bits(mask: int) -> list[int]:
    return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]


def _users(
    table: Mapping[_Key, NDArray[np.int64]], key: _Key, entries: NDArray[np.int64]
) -> list[int]:
    """Return the commands that are noted for any of the entries."""
    noted = table.get(key)
    if noted is None:
        return []
    users = np.unique(noted[entries[entries < len(noted)]])
    return [int(user) for user in users if user >= 0]


def _note(
    table: dict[_Key, NDArray[np.int64]], key: _Key, entries: NDArray[np.int64], number: int
) -> None:
    if not len(entries):
        return
    noted = table.get(key, np.zeros(0, np.int64))
    missing = int(entries.max()) + 1 - len(noted)
    table[key] = np.concatenate([noted, np.full(max(0, missing), -1, np.int64)])
    table[key][entries] = number


def _range(memory: str, start: int, count: int) -> _Access:
    return _Access(memory, np.arange(start, start + count))


def _spread(core: CoreConfig, half: str, element: int, count: int) -> _Access:
    elements = np.arange(element, element + count)
    bits = core.spread_bits
    return _Access(half, (elements >> bits) * core.rows + (elements & ((1 << bits) - 1)))


def _lanes(core: CoreConfig, half: str, element: int, count: int, lanes: int = 1) -> _Access:
    """``count`` addresses of ``lanes`` lanes from the element's on."""
    lane = element & ((1 << core.lane_bits) - 1)
    addresses = (element >> core.lane_bits) + np.arange(count)
    entries = addresses[:, None] * core.rows + lane + np.arange(lanes)
    return _Access(half, entries.ravel())


def _heads(core: CoreConfig, memory: str, group: int, rows: int) -> _Access:
    return _range(memory, group << core.lane_bits, rows)


def _scores(core: CoreConfig, start: int, rows: int, tokens: int) -> _Access:
    entries = start + np.arange(rows)[:, None] * core.tile_tokens + np.arange(tokens)
    return _Access("scores", entries.ravel())


def _reads(command: Resolved, core: CoreConfig) -> Iterator[_Access]:
    f = command.fields
    match command.name:
        case "MATMUL":
            yield from _matmul_reads(f, core)
        case "NORM":
            yield _range("scratch", f["a"], f["k"])
            yield _range("constants", f["constant"], 2)
        case "ROPE":
            yield _range("scratch", f["a"], f["k"] * f["n"])
            yield _range("table", 0, f["k"] // 2)
        case "SOFTMAX":
            yield _scores(core, f["a"], f["rows"], f["n"])
            yield _heads(core, "maxima", f["group"], f["rows"])
        case "NORMALIZE":
            yield _context(core, f["a"], f["k"])
            yield _range("constants", f["constant"], 1)
        case "PACK":
            yield _range("staging", 0, f["k"] + f["n"])
            yield _range("constants", f["constant"], 1)
        case "STORE":
            yield _range(FIELDS["target"].choices[f["target"]], 0, f["n"])


def _matmul_reads(f: Mapping[str, int], core: CoreConfig) -> Iterator[_Access]:
    mode = FIELDS["mode"].choices[f["mode"]]
    if mode == "context":
        yield _lanes(core, "vector", f["a"], f["k"], f["rows"])
        yield _heads(core, "controls", f["group"], f["rows"])
        return
    yield _range("constants", f["constant"], 1)
    if mode == "score":
        yield _lanes(core, "projection", f["a"], core.kv_lora_rank, f["rows"])
        yield _lanes(core, "vector", f["b"], core.qk_rope_head_dim, f["rows"])
        return
    half, layout = FIELDS["source"].choices[f["source"]].split("_")
    yield (_spread if layout == "spread" else _lanes)(core, half, f["a"], f["k"])


def _context(core: CoreConfig, element: int, count: int) -> _Access:
    lane = element & ((1 << core.context_lane_bits) - 1)
    start = element >> core.context_lane_bits
    return _Access("context", (start + np.arange(count)) * core.accumulator_lanes + lane)


def _writes(command: Resolved, core: CoreConfig) -> Iterator[_Access]:
    f = command.fields
    target = FIELDS["target"].choices[f.get("target", 0)]
    match command.name:
        case "LOAD" if target == "spread":
            yield _spread(core, "projection", f["c"], f["k"])
        case "LOAD":
            yield _range(target, f["c"], f["k"])
        case "MATMUL":
            yield from _matmul_writes(f, core, target)
        case "NORM" | "ROPE" if target == "row":
            yield _range("staging", f["c"], f["k"])
        case "NORM":
            yield _spread(core, "vector", f["c"], f["k"])
        case "ROPE":
            for head in range(f["n"]):
                group, lane = divmod(head, core.rows)
                yield _lanes(
                    core, "vector", f["c"] + (group * f["k"] << core.lane_bits) + lane, f["k"]
                )
        case "SOFTMAX":
            yield _lanes(core, "vector", f["c"], f["n"], f["rows"])
            yield _heads(core, "controls", f["group"], f["rows"])
        case "NORMALIZE":
            yield _lanes(core, "vector", f["c"], f["k"])
        case "PACK":
            yield _range("row", 0, core.row_beats)


def _matmul_writes(f: Mapping[str, int], core: CoreConfig, target: str) -> Iterator[_Access]:
    match FIELDS["mode"].choices[f["mode"]]:
        case "score":
            yield _scores(core, f["c"], f["rows"], f["n"])
            yield _heads(core, "maxima", f["group"], f["rows"])
        case "context":
            lanes = core.accumulator_lanes
            for row in range(f["rows"]):
                slot, lane = divmod(row, lanes)
                start = f["c"] + slot * core.kv_lora_rank
                yield _context(core, start << core.context_lane_bits | lane, f["n"])
        case _ if target == "spread":
            yield _spread(core, "projection", f["c"], f["n"])
        case _ if target == "lanes":
            yield _lanes(core, "projection", f["c"], f["n"])
        case _ if target == "output":
            per_beat = core.port_bytes // 2
            yield _range("output", f["c"] // per_beat, -(-f["n"] // per_beat))
        case _:
            yield _range("scratch", f["c"], f["n"])
