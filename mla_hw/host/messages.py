"""Requests, responses, and what is known of a link, as values."""

from dataclasses import dataclass

from mla_hw.host.protocol import (
    REQUEST,
    RESPONSE,
    WORD_BYTES,
    Command,
    header_bytes,
    pack_header,
    unpack_header,
)

__all__ = ["Identity", "Message", "Response", "Traffic"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A request without its sequence number.

    Parameters
    ----------
    command : Command
    count : int
        Items.
    address : int
    data : bytes
    """

    command: Command
    count: int
    address: int = 0
    data: bytes = b""

    def content(self, sequence: int) -> bytes:
        """Return the content of the frame."""
        values = {
            "sequence": sequence,
            "command": self.command.code,
            "payload": len(self.data) // WORD_BYTES,
            "count": self.count - 1,
            "address": self.address,
        }
        return pack_header(REQUEST, values) + self.data


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """A response, as the link has sent it."""

    sequence: int
    command: int
    status: int
    data: bytes

    @classmethod
    def decode(cls, content: bytes) -> "Response | None":
        """Return the response that a content is, None if its length is wrong."""
        size = header_bytes(RESPONSE)
        fields, data = unpack_header(RESPONSE, content), content[size:]
        if len(content) < size or len(data) != WORD_BYTES * fields.pop("payload"):
            return None
        return cls(**fields, data=data)

    @property
    def words(self) -> list[int]:
        """Data as words."""
        starts = range(0, len(self.data), WORD_BYTES)
        return [int.from_bytes(self.data[i : i + WORD_BYTES], "little") for i in starts]


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """What a link says that it is."""

    version: int
    port_bytes: int
    payload_words: int
    clock_hz: int

    @property
    def payload_bytes(self) -> int:
        """Bytes of memory that a request or response takes: whole beats."""
        return WORD_BYTES * self.payload_words // self.port_bytes * self.port_bytes


@dataclass(slots=True)
class Traffic:
    """What a link has seen.

    Parameters
    ----------
    requests, repeated : int
        Requests sent, and how many of them not for the first time.
    spoilt : int
        Pieces of what was received that were no frame.
    sent, received : int
        Bytes.
    """

    requests: int = 0
    repeated: int = 0
    spoilt: int = 0
    sent: int = 0
    received: int = 0
