"""Golden model of :class:`rtl_gen.units.dispatcher.Dispatcher`: a program with plain numbers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import mul

from mla_hw.errors import ProgramError
from mla_hw.hardware import tile_limit
from mla_hw.program.instructions import (
    ADDRESS_OFFSET_BITS,
    LOOP_DEPTH,
    MEMORY_ADDRESS_BITS,
    Engine,
)
from mla_hw.program.program import Instruction
from mla_hw.registers import POSITION_BITS

__all__ = ["Resolved", "resolve"]

_LOCAL_MASK = (1 << ADDRESS_OFFSET_BITS) - 1
_BYTE_ADDRESS_MASK = (1 << MEMORY_ADDRESS_BITS) - 1
_RESOLVED_AWAY = ("wait", "once", "post", "final", "base", "tile_k", "tile_n", "query_row")


@dataclass(frozen=True, slots=True)
class Resolved:
    """An executed instruction whose operands are plain numbers.

    Parameters
    ----------
    index : int
        Place in the program.
    iteration : tuple of int
        Indices of the loops around it, outermost first.
    name : str
        Mnemonic.
    engine : Engine
        Who executes it.
    fields : dict of str to int
        Fields of its kind by name, 0 where the program says nothing: ``a``, ``b`` and ``c`` with
        their strides added; ``k`` and ``n`` with the tile's token count in its place. An operand
        in memory is ``address``, in bytes, instead of ``a``. SOFTMAX has ``first``, 1 for the
        first tile.
    wait, post : int
        Masks of the semaphores that are taken before the start and given at the end.
    """

    index: int
    iteration: tuple[int, ...]
    name: str
    engine: Engine
    fields: dict[str, int]
    wait: int = 0
    post: int = 0


@dataclass(slots=True)
class _Loop:
    start: int
    left: int
    step: int = 1
    longest: int = 1
    tiled: bool = False
    index: int = 0

    @property
    def last(self) -> bool:
        return self.left <= self.longest


class _Loops:
    """The loops around the current instruction, and their indices, outermost first."""

    def __init__(self, tile_tokens: int) -> None:
        self.stack: list[_Loop] = []
        self.indices: tuple[int, ...] = ()
        self.tile: _Loop | None = None
        self.tile_tokens = tile_tokens

    def tokens(self, where: str) -> int:
        """Count the cached tokens of the current tile."""
        if self.tile is None:
            raise ProgramError(f"{where}: a tile's token count needs a LOOP tile_n around it")
        return self.tile.left if self.tile.last else self.tile.step

    def enter(self, start: int, count: int, tokens: int, tiled: int, where: str) -> None:
        if len(self.stack) == LOOP_DEPTH:
            raise ProgramError(f"{where}: loops nest at most {LOOP_DEPTH} deep")
        if tiled:
            if self.tile is not None:
                raise ProgramError(f"{where}: a loop over tiles within a loop over tiles")
            longest = tile_limit(self.tile_tokens)
            self.tile = _Loop(start, tokens, self.tile_tokens, longest, tiled=True)
            self.stack.append(self.tile)
        elif 0 < count < 1 << POSITION_BITS:
            self.stack.append(_Loop(start, count))
        else:
            raise ProgramError(
                f"{where}: n must be from 1 to {(1 << POSITION_BITS) - 1} iterations, not {count}"
            )
        self.indices += (0,)

    def next(self, counter: int, where: str) -> int:
        """Return the instruction that follows NEXT at ``counter``."""
        if not self.stack:
            raise ProgramError(f"{where}: there is no loop to end")
        loop = self.stack[-1]
        outer = self.indices[:-1]
        if loop.last:
            if loop.tiled:
                self.tile = None
            self.stack.pop()
            self.indices = outer
            return counter + 1
        loop.index += 1
        loop.left -= loop.step
        self.indices = (*outer, loop.index)
        return loop.start


def resolve(
    program: Sequence[Instruction],
    *,
    position: int | Sequence[int],
    tile_tokens: int,
    bases: Sequence[int],
    port_bytes: int,
    caches: Sequence[int] = (),
) -> Iterator[Resolved]:
    """Execute a program's control flow; yield every instruction with plain numbers.

    Parameters
    ----------
    program : sequence of Instruction
    position : int or sequence of int
        Tokens that are cached already, by query row, or of all; the new token is row ``position``
        and belongs to the last tile.
    tile_tokens : int
        Cached tokens per tile.
    bases : sequence of int
        Base registers, byte addresses, in the order of the field ``base``.
    port_bytes : int
        Bytes per beat.
    caches : sequence of int
        Base registers of the cache by query row; empty: the one in ``bases`` is that of all.

    Yields
    ------
    Resolved
        In program order, LOOP, NEXT, POST and HALT included; the last one is HALT. An engine
        executes its own ones in this order.

    Raises
    ------
    ProgramError
        Where the core would stop with an error: loops that nest too deep or do not match, a
        tile's token count outside a loop over tiles, a loop without iterations, no HALT. For a
        query row that there is not.
    """
    rows = _QueryRows(position, caches)
    loops = _Loops(tile_tokens)
    known: dict[int, _Prepared] = {}
    counter = 0
    while counter < len(program):
        if counter not in known:
            known[counter] = _Prepared(counter, program[counter])
        prepared = known[counter]
        resolved = prepared.resolve(loops, rows, bases, port_bytes)
        name, where = prepared.name, prepared.where
        if name == "HALT" and loops.stack:
            raise ProgramError(f"{where}: a loop around it has no NEXT")
        yield resolved
        if name == "HALT":
            return
        if name == "LOOP":
            given = prepared.given
            tokens = rows.position(prepared.row, where) + 1
            loops.enter(counter + 1, given.get("n", 0), tokens, given.get("tile_n", 0), where)
        counter = loops.next(counter, where) if name == "NEXT" else counter + 1
    raise ProgramError(f"The program of {len(program)} instructions ends without HALT")


class _QueryRows:
    """Positions and caches of the query rows."""

    def __init__(self, position: int | Sequence[int], caches: Sequence[int]) -> None:
        self.shared = isinstance(position, int)
        self.positions = (position,) if isinstance(position, int) else tuple(position)
        self.caches = caches
        for row in self.positions:
            if not 0 <= row < 1 << POSITION_BITS:
                raise ProgramError(
                    f"position must be from 0 to {(1 << POSITION_BITS) - 1}, not {row}"
                )

    def position(self, row: int, where: str) -> int:
        """Return the tokens of a row that are cached already."""
        if self.shared:
            return self.positions[0]
        if row >= len(self.positions):
            raise ProgramError(f"{where}: there is no query row {row}")
        return self.positions[row]


class _Prepared:
    """An instruction, and what of it is the same whenever it is executed."""

    def __init__(self, counter: int, instruction: Instruction) -> None:
        self.counter, self.name = counter, instruction.name
        self.where = f"instruction {counter} ({instruction.name})"
        self.given = given = dict(instruction.values)
        kind = instruction.kind
        self.engine = kind.engine
        self.row, self.base = given.get("query_row", 0), given.get("base", 0)
        self.in_memory = "base" in kind.fields
        self.in_cache = self.in_memory and instruction.choice("base") == "cache"
        self.fields = {
            name: given.get(name, 0)
            for name in kind.fields
            if name not in _RESOLVED_AWAY and "_stride" not in name
        }
        #: Offset and strides of each operand.
        self.operands = {
            name: (
                self.fields.pop(name),
                [given.get(f"{name}_stride{level}", 0) for level in range(LOOP_DEPTH)],
            )
            for name in ("a", "b", "c")
            if name in self.fields
        }
        self.address = self.operands.pop("a") if self.in_memory else (0, [0] * LOOP_DEPTH)
        self.counts = [
            count
            for count in ("k", "n")
            if given.get(f"tile_{count}") and instruction.name != "LOOP"
        ]

    def resolve(
        self, loops: _Loops, rows: _QueryRows, bases: Sequence[int], port_bytes: int
    ) -> Resolved:
        """Execute it within these loops."""
        indices, given = loops.indices, self.given
        fields = dict(self.fields)
        for name, (offset, strides) in self.operands.items():
            fields[name] = offset + sum(map(mul, strides, indices)) & _LOCAL_MASK
        if self.in_memory:
            offset, (*strides, by_position) = self.address
            offset += sum(map(mul, strides, indices))
            # In place of the index of the innermost loop.
            offset += by_position * rows.position(self.row, self.where)
            base = bases[self.base]
            if rows.caches and self.in_cache:
                base = rows.caches[self.row]
            fields["address"] = base + offset * port_bytes & _BYTE_ADDRESS_MASK
        for count in self.counts:
            fields[count] = loops.tokens(self.where)
        if self.name == "SOFTMAX":
            fields["first"] = int(loops.tile is None or loops.tile.index == 0)
        wait, post = given.get("wait", 0), given.get("post", 0)
        if not any(indices):
            wait |= given.get("once", 0)
        if not loops.stack or loops.stack[-1].last:
            post |= given.get("final", 0)
        return Resolved(self.counter, indices, self.name, self.engine, fields, wait, post)
