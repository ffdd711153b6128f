"""Placement of buffers in the on-chip memories."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

__all__ = ["Buffer", "Placement", "place"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Buffer:
    """A tensor's place in one memory.

    Parameters
    ----------
    name : str
    memory : str
        ``projection`` or ``vector`` (halves of the activation buffer), or ``scratch``.
    layout : str
        ``spread``, ``lanes`` or ``linear``.
    words : int
        Addresses that it takes.
    first, last : int
        First and last step of the schedule at which it is alive.
    address : int
        Where it starts.
    """

    name: str
    memory: str
    layout: str
    words: int
    first: int = 0
    last: int = 0
    address: int = 0

    @property
    def end(self) -> int:
        """Address behind the last word."""
        return self.address + self.words


@dataclass(frozen=True, slots=True)
class Placement:
    """All placed buffers."""

    buffers: tuple[Buffer, ...]

    def __getitem__(self, name: str) -> Buffer:
        return next(buffer for buffer in self.buffers if buffer.name == name)

    def depth(self, memory: str) -> int:
        """Addresses that a memory needs."""
        return max((b.end for b in self.buffers if b.memory == memory), default=0)

    def __str__(self) -> str:
        rows = [
            f"{b.memory:<11} {b.address:6d} … {b.end - 1:6d}  {b.layout:<7} {b.name:<10} "
            f"steps {b.first} … {b.last}"
            for b in sorted(self.buffers, key=lambda b: (b.memory, b.address, b.first))
        ]
        return "\n".join(rows) + "\n"


def place(buffers: Iterable[Buffer]) -> Placement:
    """Give every buffer the lowest address that no buffer alive at the same time takes.

    Larger buffers first, which keeps the depth close to the largest live set.
    """
    placed: list[Buffer] = []
    for buffer in sorted(buffers, key=lambda b: (-b.words, b.first, b.name)):
        rivals = sorted(
            (other.address, other.end)
            for other in placed
            if other.memory == buffer.memory
            and other.first <= buffer.last
            and buffer.first <= other.last
        )
        address = 0
        for start, end in rivals:
            if address + buffer.words <= start:
                break
            address = max(address, end)
        placed.append(replace(buffer, address=address))
    return Placement(tuple(placed))
