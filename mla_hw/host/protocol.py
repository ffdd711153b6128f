"""The protocol of the host link as tables of data.

Gateware (:mod:`rtl_gen.host`), driver (:mod:`mla_hw.host.link`) and documentation page
(:func:`mla_hw.host.documentation.link_markdown`) all come from what is here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

__all__ = [
    "COMMANDS",
    "CRC_BYTES",
    "CRC_INIT",
    "CRC_POLYNOMIAL",
    "CRC_RESIDUE",
    "DEFAULT_BAUD",
    "ESCAPE",
    "ESCAPE_FLIP",
    "FLAG",
    "LINK_IDENTITY",
    "LINK_WORDS",
    "MAX_PAYLOAD",
    "OLDEST",
    "PAIR_BYTES",
    "PROTOCOL_VERSION",
    "REQUEST",
    "RESPONSE",
    "SEQUENCES",
    "STATUSES",
    "WAIT_READS",
    "WORD_BYTES",
    "Command",
    "FrameField",
    "LinkWord",
    "Operation",
    "Space",
    "Status",
    "command",
    "header_bytes",
    "pack_header",
    "unpack_header",
]

DEFAULT_BAUD = 3_000_000
"""Bits per second that bitstreams are built for: what FT2232H and FT231X bridges reach."""

#: Number of what is described here; another number is another protocol.
PROTOCOL_VERSION = 1
#: "MLAL"
LINK_IDENTITY = 0x4D4C414C

#: Begins and ends every frame, and comes nowhere else.
FLAG = 0x7E
#: Stands before a byte that would be a flag or an escape; that byte is then ...
ESCAPE = 0x7D
#: ... changed by exclusive or with this.
ESCAPE_FLIP = 0x20

#: CRC-32 of IEEE 802.3, least significant bit first: that of ``zlib.crc32``.
CRC_POLYNOMIAL = 0xEDB88320
CRC_INIT = 0xFFFFFFFF
CRC_BYTES = 4
#: What the register holds, before the final inversion, behind content and CRC of a good frame.
CRC_RESIDUE = 0xDEBB20E3

WORD_BYTES = 4
#: Address and value of a register that is written.
PAIR_BYTES = 8
#: Bytes of payload: a multiple of every port, and with header and CRC below half of two block RAMs
#: of iCE40, so that one request can come in while another is carried out.
MAX_PAYLOAD = 448
#: Sequence numbers count modulo this.
SEQUENCES = 256
#: A number that is ahead of the last one by this and more is behind it.
OLDEST = SEQUENCES // 2
#: Reads of a register per unit of ``count`` of a wait.
WAIT_READS = 256


@dataclass(frozen=True, slots=True)
class FrameField:
    """Some bytes of a header, least significant one first.

    Parameters
    ----------
    name : str
    size : int
        In bytes.
    doc : str
    """

    name: str
    size: int
    doc: str


REQUEST = (
    FrameField("sequence", 1, "one more than that of the request before"),
    FrameField("command", 1, "what to do"),
    FrameField("payload", 1, f"words of {WORD_BYTES} bytes behind this header"),
    FrameField("count", 1, "items minus one"),
    FrameField("address", 4, "byte address of the first item; 0 where the payload has addresses"),
)
RESPONSE = (
    FrameField("sequence", 1, "of the request"),
    FrameField("command", 1, "of the request"),
    FrameField("status", 1, "how it has ended"),
    FrameField("payload", 1, f"words of {WORD_BYTES} bytes behind this header"),
)


class Space(IntEnum):
    """What addresses belong to; the low two bits of a command."""

    MEMORY = 0
    CORE = 1
    CONTROLLER = 2
    LINK = 3


class Operation(IntEnum):
    """What is done; the next two bits of a command."""

    READ = 0
    WRITE = 1
    WAIT = 2


class Status(IntEnum):
    """How a request has ended."""

    OK = 0
    REFUSED = 1
    UNKNOWN = 2


#: What each status means.
STATUSES = {
    Status.OK: "done",
    Status.REFUSED: "the bus has answered an item with an error; those behind it are left undone",
    Status.UNKNOWN: "no such command",
}


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Parameters
    ----------
    name : str
    space : Space
    operation : Operation
    item : str
        What ``count`` counts.
    doc : str
    repeatable : bool
        Whether carrying it out twice is as good as once, so that several may be under way.
    """

    name: str
    space: Space
    operation: Operation
    item: str
    doc: str
    repeatable: bool = True

    @property
    def code(self) -> int:
        """Byte of the header."""
        return self.space | self.operation << 2


_WAIT = (
    "read the register at `address` until it is not 0, as often as `count` says; the response has "
    "what was read last"
)
_WRITE = "write registers in order; the payload has an address and a value for each"

COMMANDS = (
    Command(
        "read_memory",
        Space.MEMORY,
        Operation.READ,
        "beats of the memory port",
        "read memory; the response has the data",
    ),
    Command(
        "write_memory",
        Space.MEMORY,
        Operation.WRITE,
        "beats of the memory port",
        "write the payload to memory",
    ),
    *(
        item
        for space in (Space.CORE, Space.CONTROLLER)
        for item in (
            Command(
                f"read_{space.name.lower()}",
                space,
                Operation.READ,
                "words",
                f"read consecutive registers of the {space.name.lower()}",
            ),
            Command(
                f"write_{space.name.lower()}",
                space,
                Operation.WRITE,
                "registers",
                _WRITE,
                repeatable=False,
            ),
            Command(
                f"wait_{space.name.lower()}",
                space,
                Operation.WAIT,
                f"{WAIT_READS} reads",
                _WAIT,
            ),
        )
    ),
    Command(
        "identify",
        Space.LINK,
        Operation.READ,
        "words",
        "read what the link is; carried out whatever its sequence number, which the next ones "
        "continue",
    ),
)


@dataclass(frozen=True, slots=True)
class LinkWord:
    """A word that ``identify`` reads.

    Parameters
    ----------
    name : str
    fields : mapping of str to int
        Names and widths in bits, the least significant one first.
    doc : str
    """

    name: str
    fields: Mapping[str, int]
    doc: str


LINK_WORDS = (
    LinkWord("identity", {"identity": 32}, 'the letters "MLAL"'),
    LinkWord(
        "shape",
        {"version": 8, "port_bytes": 8, "payload_words": 8},
        "version of the protocol, bytes of a beat, words of the longest payload",
    ),
    LinkWord("clock", {"clock_hz": 32}, "clock of link and core in hertz"),
)


def command(space: Space, operation: Operation) -> Command:
    """Return a command of the table."""
    return next(item for item in COMMANDS if (item.space, item.operation) == (space, operation))


def header_bytes(fields: Sequence[FrameField]) -> int:
    """Return the size of a header."""
    return sum(field.size for field in fields)


def pack_header(fields: Sequence[FrameField], values: Mapping[str, int]) -> bytes:
    """Return a header; every field has a value that fits."""
    return b"".join(values[field.name].to_bytes(field.size, "little") for field in fields)


def unpack_header(fields: Sequence[FrameField], content: bytes) -> dict[str, int]:
    """Return the fields of the header that a content begins with."""
    values, start = {}, 0
    for field in fields:
        values[field.name] = int.from_bytes(content[start : start + field.size], "little")
        start += field.size
    return values
