"""Data hazards: whatever an instruction reads has been written for it, whatever the timing.

Memories of the gateware and the engines that use them:

=======================  ======================  ===============================
memory                   written by              read by
=======================  ======================  ===============================
projection half          reader, array: 1 port   array
vector half              vector                  array
scratch                  array                   vector
RoPE table               reader                  vector
constants, two copies    reader                  array; vector
scores, scales, maxima   array                   vector
softmax state            vector                  vector
shift controls           vector                  array
product rows             array                   array
context sums             array                   array, vector: 1 port per lane
row being packed         vector                  vector
packed row               vector                  writer
output buffer            array                   writer
memory behind AXI        writer                  reader
=======================  ======================  ===============================

At a port with users in two engines a coincidence loses a write or a read whatever the addresses, so
all its uses are ordered (:func:`mla_hw.program.accesses.ports`); there are two. All other ports
have users in one engine. Several instructions of the vector engine share the ports of scratch,
constants, state and row, the write port of the vector half and the multipliers; it executes one at
a time. What goes through the loader, the requantizer or the score unit comes in order and takes the
same number of cycles.

Three kinds of memories are not in the table. Weights and latent ring are counted by hardware, see
:mod:`mla_hw.program.array_inputs`. The requantizer's banks, the array's shadow registers, the score
unit's running maxima (which each product begins anew), queues and counters are used by one unit,
which keeps its own distances. The program memory is written by the dispatcher's own load, before
the first instruction; no LOAD has it as its target.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from mla_hw.errors import ProgramError
from mla_hw.golden.dispatcher import Resolved, resolve
from mla_hw.hardware import CoreConfig
from mla_hw.program.accesses import HOST, Read, Write, ports, reads, writes
from mla_hw.program.array_inputs import ArrayInputs
from mla_hw.program.instructions import FIELDS, Engine
from mla_hw.program.memories import (
    ABSENT,
    EMPTY,
    HOSTED,
    Entries,
    contents_at_start,
)
from mla_hw.program.order import Order
from mla_hw.program.program import Program

__all__ = ["verify_hazards"]

#: Tile counts for which loops are unrolled: the first iteration is the last one, is followed by the
#: last one, or by others that follow each other. Longer loops bring no other neighbours, and what
#: is known to have ended is never forgotten.
_TILES = (1, 2, 4)
#: Memories of which an instruction reads each entry before it writes it.
_UPDATED = ("context", "state")


def verify_hazards(program: Program, core: CoreConfig) -> None:
    """Check that semaphores order all uses of the memories.

    An instruction may read what another wrote only if the other has ended before this one starts,
    and overwrite it only if whoever uses it has ended, or is ahead of it in the same engine. Users
    of a shared port must have ended, whatever the entry. What has ended follows from semaphores and
    from the order within an engine alone (:class:`~mla_hw.program.order.Order`).

    In program order, which is thereby enforced, each operand is one tensor that the right kind of
    instruction has made, and nothing is overwritten before it has been read: buffers that are
    needed do not overlap. Nothing is made that is not read. Weights and the latent ring are counted
    (:class:`~mla_hw.program.array_inputs.ArrayInputs`).

    Parameters
    ----------
    program : Program
        One that :func:`~mla_hw.program.verify.verify_program` accepts: each semaphore has one
        engine that gives it and one that takes it.
    core : CoreConfig

    Raises
    ------
    ProgramError
        Names the instructions and the memory.
    """
    cache: dict[Hashable, _Uses] = {}
    # One token; then a last tile that is whole, the longest, the shortest, about half its size.
    tile, longest, rows = core.tile_tokens, core.tile_limit, core.query_rows
    lasts = dict.fromkeys((tile, longest, longest - tile + 1, tile // 2 + 1))
    positions = [0, *((tiles - 1) * tile + last - 1 for last in lasts for tiles in _TILES)]
    for number, position in enumerate(positions):
        _Check(program, core, _Caches((position,) * rows), cache).run()
        if rows == 1:
            continue
        # One sequence; then rows whose numbers of tiles differ, as do those of their neighbours.
        consecutive = tuple(position + row for row in range(rows))
        _Check(program, core, _Caches(consecutive, shared=True), cache).run()
        others = tuple(positions[(number + row) % len(positions)] for row in range(rows))
        _Check(program, core, _Caches(others), cache).run()


@dataclass(frozen=True, slots=True)
class _Caches:
    """Rows that are cached by query row, in caches that follow each other, or in one."""

    positions: tuple[int, ...]
    shared: bool = False

    @property
    def starts(self) -> list[int]:
        if self.shared:
            return [0] * len(self.positions)
        return [0, *accumulate(position + 1 for position in self.positions[:-1])]


class _Use:
    """An access, with its entries as a slice where they are evenly spaced, which is faster."""

    __slots__ = ("access", "largest", "memory", "place")

    def __init__(self, access: Read | Write) -> None:
        self.access, self.memory, entries = access, access.memory, access.entries
        self.largest = int(entries.max(initial=-1))
        self.place: slice | Entries = entries
        steps = np.diff(entries)
        if not len(entries):
            return
        step = int(steps[0]) if len(steps) else 1
        if step > 0 and (steps == step).all():
            self.place = slice(int(entries[0]), self.largest + 1, step)


#: What an instruction reads, and what it writes.
_Uses = tuple[tuple[_Use, ...], tuple[_Use, ...]]


class _User:
    """An engine's last command at each entry of a memory, -1 if none, and at any of them."""

    __slots__ = ("latest", "numbers")

    def __init__(self, size: int) -> None:
        self.numbers, self.latest = np.full(size, -1), -1


_Users = dict[Engine, _User]


class _Memory:
    """Contents of a memory (a tensor's number by entry) and its last users by engine."""

    def __init__(self, contents: Entries) -> None:
        self.contents = contents
        #: Some of it is not there, some was made by the host: nothing adds to either.
        self.partial, self.hosted = (contents == ABSENT).any(), (contents == HOSTED).any()
        #: Written, and not read since.
        self.unread = np.zeros(len(contents), np.bool_)
        self.writers: _Users = {}
        self.readers: _Users = {}

    def note(self, users: _Users, engine: Engine, place: slice | Entries, number: int) -> None:
        if engine not in users:
            users[engine] = _User(len(self.contents))
        users[engine].numbers[place] = users[engine].latest = number


class _Check:
    def __init__(
        self, program: Program, core: CoreConfig, caches: _Caches, cache: dict[Hashable, _Uses]
    ) -> None:
        self.program, self.core, self.cache = program, core, cache
        self.commands = list(
            resolve(
                program.instructions,
                position=caches.positions,
                tile_tokens=core.tile_tokens,
                bases=[0] * len(FIELDS["base"].choices),
                port_bytes=core.port_bytes,
                caches=[start * core.row_bytes for start in caches.starts],
            )
        )
        self.memories = {
            name: _Memory(contents)
            for name, contents in contents_at_start(core, caches.positions, caches.starts).items()
        }
        # By their numbers in the contents, and the other way round.
        self.tensors: list[tuple[str, int]] = [("", 0), (HOST, 0)]
        self.numbers = {tensor: number for number, tensor in enumerate(self.tensors)}
        self.port_users: dict[str, dict[Engine, int]] = {}
        self.ended: Mapping[Engine, int] = {}
        # By head: its next context sums overwrite what is held.
        self.first = np.zeros(core.groups << core.lane_bits, np.bool_)

    def run(self) -> None:
        order, inputs = Order(), ArrayInputs(self.core)
        for number, command in enumerate(self.commands):
            self.ended = order.start(command)
            for score in inputs.execute(number, command):
                if not self._has_ended(score):
                    raise self._error(command, "releases the tile that", score, "reads")
            self._use_ports(number, command)
            reading, writing = self._uses(command)
            for read in reading:
                self._read(number, command, read)
            for write in writing:
                self._write(number, command, write)
        inputs.finish()
        self._finish()

    def _finish(self) -> None:
        """Check that everything has been read: what is left was meant for somebody."""
        for name, memory in self.memories.items():
            if not name.startswith("memory.") and memory.unread.any():
                last = max(user.numbers[memory.unread].max() for user in memory.writers.values())
                raise _rule(self.commands[int(last)], f"writes {name} that nobody reads")

    def _uses(self, command: Resolved) -> _Uses:
        f, joins = command.fields, False
        if command.name == "SOFTMAX":
            self.first[self._heads(command)] = f["first"]
        elif command.name == "MATMUL":
            joins = not self.first[self._heads(command)].all()
        key = (command.index, joins, *f.values())
        if key not in self.cache:
            base = ""
            if "address" in command.fields:
                base = self.program.instructions[command.index].choice("base")
            self.cache[key] = (
                tuple(map(_Use, reads(command, self.core, base, joins=joins))),
                tuple(map(_Use, writes(command, self.core, base))),
            )
        return self.cache[key]

    def _heads(self, command: Resolved) -> slice:
        start = command.fields["group"] << self.core.lane_bits
        return slice(start, start + command.fields["rows"])

    def _use_ports(self, number: int, command: Resolved) -> None:
        for port in ports(command):
            users = self.port_users.setdefault(port, {})
            for engine, last in users.items():
                if engine is not command.engine and not self._has_ended(last):
                    raise self._error(command, f"uses the {port} that", last, "uses")
            users[command.engine] = number

    def _read(self, number: int, command: Resolved, use: _Use) -> None:
        memory = self._memory(command, use)
        self._check_operand(command, use, memory)
        # The array starts a product before the one ahead of it has drained, so that what its own
        # products make has to have ended, too.
        for last in self._unfinished(memory.writers, use.place):
            raise self._error(command, f"reads {use.memory} that", last, "writes")
        memory.unread[use.place] = False
        memory.note(memory.readers, command.engine, use.place, number)

    def _check_operand(self, command: Resolved, use: _Use, memory: _Memory) -> None:
        access, contents = use.access, memory.contents[use.place]
        assert isinstance(access, Read)
        smallest = contents.min()
        if smallest <= EMPTY:
            raise _rule(command, f"reads {access.memory} where nothing has been written")
        if not access.mixed and smallest != contents.max():
            raise _rule(command, f"reads {access.memory} where different tensors lie")
        for tensor in np.unique(contents) if access.mixed else contents[:1]:
            maker, _ = self.tensors[tensor]
            if maker not in access.makers:
                raise _rule(
                    command,
                    f"reads {access.memory} from {maker}, not from {' or '.join(access.makers)}",
                )

    def _write(self, number: int, command: Resolved, use: _Use) -> None:
        access, place, engine = use.access, use.place, command.engine
        assert isinstance(access, Write)
        memory = self._memory(command, use)
        if memory.partial and memory.contents[place].min() == ABSENT:
            raise _rule(command, f"writes beyond the lanes of {access.memory}")
        # Within an engine reads and writes keep the order of the instructions: of vector engine and
        # writer, because they are serial; of the loader, because it takes one LOAD after the other;
        # of the array, because operands are read when a step is issued, results are written long
        # after it, and all results for one memory take the same way. A tile of results may precede
        # the next tile's steps, so an instruction must not overwrite what it reads itself.
        for users, does in ((memory.writers, "writes"), (memory.readers, "reads")):
            others = {other: users[other] for other in users if other is not engine}
            for last in self._unfinished(others, place):
                raise self._error(command, f"overwrites {access.memory} that", last, does)
        own = {engine: memory.readers[engine]} if engine in memory.readers else {}
        if access.memory not in _UPDATED and number in self._unfinished(own, place):
            raise _rule(command, f"overwrites {access.memory} that it reads itself")
        if memory.unread[place].any():
            raise _rule(command, f"overwrites {access.memory} that nobody has read")
        if memory.hosted and (memory.contents[place] == HOSTED).any():
            raise _rule(command, f"overwrites {access.memory} that the host wrote")

        tensor = (access.maker, access.tensor)
        if tensor not in self.numbers:
            self.numbers[tensor] = len(self.tensors)
            self.tensors.append(tensor)
        memory.contents[place] = self.numbers[tensor]
        memory.unread[place] = True
        memory.note(memory.writers, engine, place, number)

    def _memory(self, command: Resolved, use: _Use) -> _Memory:
        if use.largest < 0:
            raise _rule(command, f"uses nothing of {use.memory}, which engines cannot")
        memory = self.memories.get(use.memory)
        if memory is None or use.largest >= len(memory.contents):
            raise _rule(command, f"leaves {use.memory}")
        return memory

    def _unfinished(self, users: _Users, place: slice | Entries) -> list[int]:
        """Return the last command of each engine that uses the entries and may be under way."""
        found = []
        for engine, user in users.items():
            ended = self.ended.get(engine, -1)
            if user.latest > ended and (last := int(user.numbers[place].max())) > ended:
                found.append(last)
        return found

    def _has_ended(self, other: int) -> bool:
        return self.ended.get(self.commands[other].engine, -1) >= other

    def _error(self, command: Resolved, does: str, other: int, did: str) -> ProgramError:
        rival = self.commands[other]
        return _rule(
            command,
            f"{does} instruction {rival.index} ({rival.name}) {did}, without waiting for it",
        )


def _rule(command: Resolved, problem: str) -> ProgramError:
    return ProgramError(f"instruction {command.index} ({command.name}) {problem}")
