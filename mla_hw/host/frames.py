"""Frames: how requests and responses are told from each other, and from noise, on a line of bytes.

A frame is a flag, the content and its CRC with flags and escapes in them escaped, and a flag. The
flag comes nowhere else, so that whoever has lost a frame's end finds the next one's begin at once,
without waiting for a silence whose length would depend on cables, bridges and operating systems.
The length in the content's header catches what a CRC does not promise to: a flag that came about by
an error, which cuts a frame, or one that has gone, which joins two.
"""

import zlib

from mla_hw.host.protocol import CRC_BYTES, ESCAPE, ESCAPE_FLIP, FLAG

__all__ = ["Deframer", "encode_frame", "frame_content"]

_FLAG, _ESCAPE = bytes([FLAG]), bytes([ESCAPE])
# The escape first: it comes in what replaces the flag.
_ESCAPED = tuple((bytes([byte]), bytes([ESCAPE, byte ^ ESCAPE_FLIP])) for byte in (ESCAPE, FLAG))


def encode_frame(content: bytes) -> bytes:
    """Return the bytes of a frame, both flags included."""
    body = content + zlib.crc32(content).to_bytes(CRC_BYTES, "little")
    for plain, escaped in _ESCAPED:
        body = body.replace(plain, escaped)
    return _FLAG + body + _FLAG


def frame_content(body: bytes) -> bytes | None:
    """Return the content of what came between two flags; None if it is no frame."""
    first, *escaped = body.split(_ESCAPE)
    if not all(escaped):
        return None
    plain = first + b"".join(bytes([part[0] ^ ESCAPE_FLIP]) + part[1:] for part in escaped)
    content, crc = plain[:-CRC_BYTES], plain[-CRC_BYTES:]
    if len(crc) < CRC_BYTES or zlib.crc32(content) != int.from_bytes(crc, "little"):
        return None
    return content


class Deframer:
    """Find the frames in bytes that come piece by piece.

    Parameters
    ----------
    longest : int
        Bytes without a flag after which nothing good can follow; they are dropped.

    Attributes
    ----------
    spoilt : int
        Pieces between flags that were no frame.
    """

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self.spoilt = 0
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes; return the contents of the frames that have ended in them."""
        self._rest += data
        *bodies, rest = self._rest.split(_FLAG)
        # Of what is too long the end is kept, which cannot be a frame either.
        self._rest = rest[-self.longest - 1 :]
        contents = []
        for body in bodies:
            content = frame_content(bytes(body))
            if content is not None:
                contents.append(content)
            elif body:
                self.spoilt += 1
        return contents
