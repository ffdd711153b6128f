"""Operations that know nothing of how bytes travel, and what runs them.

An operation is a generator that says what it wants and ends with its result. So the same code runs
over a serial port, and over simulated pins whose time passes in a simulator's event loop.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol, TypeVar

__all__ = [
    "AsyncTransport",
    "Operation",
    "Receive",
    "Send",
    "Transport",
    "perform",
    "perform_async",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Send:
    """Wants bytes to be sent; goes on at once."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Receive:
    """Wants what has been received, as soon as there is any; nothing after so many seconds."""

    timeout: float


#: Yields what it wants, is given what was received (nothing for :class:`Send`), returns a result.
Operation = Generator[Send | Receive, bytes, T]


class Transport(Protocol):
    """Bytes to and from a link."""

    def write(self, data: bytes) -> None:
        """Send bytes."""

    def read(self, timeout: float) -> bytes:
        """Return what has been received, at least a byte, or nothing after ``timeout`` seconds."""


class AsyncTransport(Protocol):
    """The same within an event loop."""

    async def write(self, data: bytes) -> None:
        """Send bytes."""

    async def read(self, timeout: float) -> bytes:
        """Return what has been received, at least a byte, or nothing after ``timeout`` seconds."""


def perform(operation: Operation[T], transport: Transport) -> T:
    """Run an operation to its end."""
    received = b""
    try:
        wanted = next(operation)
        while True:
            if isinstance(wanted, Send):
                transport.write(wanted.data)
                received = b""
            else:
                received = transport.read(wanted.timeout)
            wanted = operation.send(received)
    except StopIteration as end:
        result: T = end.value
        return result


async def perform_async(operation: Operation[T], transport: AsyncTransport) -> T:
    """Run an operation to its end, within an event loop."""
    received = b""
    try:
        wanted = next(operation)
        while True:
            if isinstance(wanted, Send):
                await transport.write(wanted.data)
                received = b""
            else:
                received = await transport.read(wanted.timeout)
            wanted = operation.send(received)
    except StopIteration as end:
        result: T = end.value
        return result
