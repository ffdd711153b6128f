"""Serial ports of the machine that this runs on."""

import contextlib
import errno
from types import TracebackType
from typing import Self

import serial

from mla_hw.errors import ConfigError
from mla_hw.host.link import LinkError

__all__ = ["SerialTransport"]

_BUSY = {errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK}
_REASONS = {
    errno.ENOENT: "does not exist",
    errno.ENODEV: "has no device",
    errno.ENXIO: "has no device",
    errno.EACCES: "may not be opened: the user lacks the permission",
    errno.EPERM: "may not be opened: the user lacks the permission",
    errno.ENOTTY: "is no serial port",
    errno.EISDIR: "is no serial port",
    **dict.fromkeys(_BUSY, "is busy: another program has it open"),
}
#: Bytes that are written in one piece, and the seconds that such a piece may be stuck.
_PIECE, _STUCK = 4096, 10.0


class SerialTransport:
    """A serial port as a :class:`~mla_hw.host.operation.Transport`; a context manager.

    Nobody else can open the port meanwhile.

    Parameters
    ----------
    port : str
        Device, or what pySerial takes for one.
    baud : int

    Raises
    ------
    ConfigError
        If the port cannot be opened or set to the baud rate.
    """

    def __init__(self, port: str, baud: int) -> None:
        self.port = port
        try:
            self._serial = serial.Serial(
                port, baud, timeout=0, write_timeout=_STUCK, exclusive=True
            )
        except serial.SerialException as error:
            raise ConfigError(f"--port {port}: {_reason(error)}") from None
        except (ValueError, OverflowError):
            raise ConfigError(f"--baud: {port} has no {baud} bits per second") from None
        except OSError as error:
            # Of the terminal's settings; pySerial passes these on.
            reason = _REASONS.get(error.errno or 0, "is no serial port")
            raise ConfigError(f"--port {port}: {reason}") from None
        # A USB bridge holds bytes back, by default for 16 ms; not every driver can be told.
        with contextlib.suppress(AttributeError, NotImplementedError, OSError, ValueError):
            self._serial.set_low_latency_mode(True)
        self._serial.reset_input_buffer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let others have the port."""
        self._serial.close()

    def write(self, data: bytes) -> None:
        """Send bytes.

        Raises
        ------
        LinkError
            If the port is gone or takes nothing.
        """
        try:
            for start in range(0, len(data), _PIECE):
                self._serial.write(data[start : start + _PIECE])
        except serial.SerialTimeoutException:
            raise LinkError(f"--port {self.port}: takes no bytes") from None
        except (OSError, TypeError) as error:
            raise self._gone(error) from None

    def read(self, timeout: float) -> bytes:
        """Return what has been received, at least a byte, or nothing after ``timeout`` seconds.

        Raises
        ------
        LinkError
            If the port is gone.
        """
        try:
            self._serial.timeout = timeout
            first = self._serial.read(1)
            return first + self._serial.read(self._serial.in_waiting) if first else b""
        except (OSError, TypeError) as error:
            raise self._gone(error) from None

    def _gone(self, error: Exception) -> LinkError:
        return LinkError(f"--port {self.port}: is gone ({' '.join(str(error).split())})")


def _reason(error: serial.SerialException) -> str:
    """Say why a port cannot be opened."""
    # pySerial keeps these numbers to itself.
    if "exclusively lock" in str(error):
        return _REASONS[errno.EBUSY]
    if "configure port" in str(error):
        return _REASONS[errno.ENOTTY]
    return _REASONS.get(error.errno or 0, f"cannot be opened ({' '.join(str(error).split())})")
