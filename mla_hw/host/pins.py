"""A serial line at the pins of a simulated link, for any simulator with an event loop."""

from collections.abc import Awaitable, Callable

__all__ = ["PinListener", "PinTransport", "Wait"]

#: Lets so many bits of time pass.
Wait = Callable[[float], Awaitable[object]]

_DATA_BITS = 8
_BITS_PER_BYTE = 10


class PinListener:
    """Collects the bytes that a link sends.

    Parameters
    ----------
    sample : callable
        Returns ``tx``.
    edge : callable
        Waits until ``tx`` falls.
    wait : callable

    Attributes
    ----------
    received : bytearray
        What nobody has taken yet.
    """

    def __init__(
        self, *, sample: Callable[[], int], edge: Callable[[], Awaitable[object]], wait: Wait
    ) -> None:
        self._sample, self._edge, self._wait = sample, edge, wait
        self.received = bytearray()

    async def listen(self) -> None:
        """Collect for ever; to run beside the operations."""
        while True:
            await self._edge()
            await self._wait(1.5)
            byte = 0
            for place in range(_DATA_BITS):
                byte |= self._sample() << place
                await self._wait(1)
            # Without its stop bit it was none.
            if self._sample():
                self.received.append(byte)


class PinTransport:
    """Bytes to and from a link; an :class:`~mla_hw.host.operation.AsyncTransport`.

    Parameters
    ----------
    drive : callable
        Sets ``rx``.
    wait : callable
    listener : PinListener
        Runs in a task of its own.
    baud : int
        Bits per second, in which timeouts are.
    """

    def __init__(
        self, *, drive: Callable[[int], object], wait: Wait, listener: PinListener, baud: float
    ) -> None:
        self._drive, self._wait = drive, wait
        self.listener, self.baud = listener, baud

    async def write(self, data: bytes) -> None:
        """Send bytes."""
        for byte in data:
            for bit in (0, *(byte >> place & 1 for place in range(_DATA_BITS)), 1):
                self._drive(bit)
                await self._wait(1)

    async def read(self, timeout: float) -> bytes:
        """Return what has been received, at least a byte, or nothing after ``timeout`` seconds."""
        received, bits = self.listener.received, 0
        while not received and bits < timeout * self.baud:
            await self._wait(_BITS_PER_BYTE)
            bits += _BITS_PER_BYTE
        data = bytes(received)
        received.clear()
        return data
