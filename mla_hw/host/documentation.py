"""Documentation page of the host link, from the tables of its protocol."""

from collections.abc import Mapping, Sequence

from mla_hw.host.protocol import (
    COMMANDS,
    CRC_INIT,
    CRC_POLYNOMIAL,
    ESCAPE,
    ESCAPE_FLIP,
    FLAG,
    LINK_WORDS,
    MAX_PAYLOAD,
    OLDEST,
    PROTOCOL_VERSION,
    REQUEST,
    RESPONSE,
    SEQUENCES,
    STATUSES,
    WORD_BYTES,
    FrameField,
)
from mla_hw.markdown import markdown_table

__all__ = ["link_markdown"]

_FLIPPED = ESCAPE_FLIP.bit_length() - 1

_INTRODUCTION = f"""\
# Host link

Version {PROTOCOL_VERSION} of the protocol between a host and a core on a board, over a serial line
with eight data bits, no parity and one stop bit. All numbers have their least significant byte
first.

## Frames

A request is a frame, and so is its response: a flag (0x{FLAG:02x}), header and payload, their CRC,
a flag. The flag comes nowhere else: it and the escape (0x{ESCAPE:02x}) within a frame are sent as
an escape and the byte with bit {_FLIPPED} inverted. The CRC is CRC-32 of IEEE 802.3: polynomial
0x{CRC_POLYNOMIAL:08x} with the least significant bit first, register 0x{CRC_INIT:08x} at the
beginning, inverted at the end. It is over header and payload before they are escaped. A payload has
{MAX_PAYLOAD} bytes at most.

Both sides drop without a word what is no frame: with a wrong CRC, another length than its header
says, an escape in front of the flag, or a byte without a stop bit. The flag, and not a silence,
begins anew: whoever was cut off in the middle of a frame can send the next one at once, and a
bridge may pause within a frame as long as it likes.
"""

_SEQUENCE = f"""\
## Sequence numbers

Requests are numbered modulo {SEQUENCES}. The link carries out those that are 1 to {OLDEST - 1}
ahead of the last one that it has carried out. The last one's number again makes it send the stored
response again; anything older is dropped. `identify` is carried out whatever its number, and begins
a conversation.

A host sends a request again when its response does not come: with the same number if carrying it
out twice would do harm, or else with a new one. The link holds one request beside the one that it
carries out and drops what comes when there are two. Responses come in the order of requests.
"""


def link_markdown() -> str:
    """Return the documentation page of the host link."""
    commands = markdown_table(
        ("code", "command", "an item is", "action"),
        (
            (
                f"0x{item.code:02x}",
                f"`{item.name}`",
                item.item,
                item.doc if item.repeatable else f"{item.doc}; not to be carried out twice",
            )
            for item in sorted(COMMANDS, key=lambda item: item.code)
        ),
    )
    statuses = markdown_table(
        ("code", "status", "meaning"),
        ((str(int(status)), f"`{status.name}`", doc) for status, doc in STATUSES.items()),
    )
    words = markdown_table(
        ("address", "word", "bits", "meaning"),
        (
            (str(WORD_BYTES * index), f"`{word.name}`", _bits(word.fields), word.doc)
            for index, word in enumerate(LINK_WORDS)
        ),
    )
    sections = [
        _INTRODUCTION,
        f"Header of a request:\n\n{_fields(REQUEST)}",
        f"Header of a response:\n\n{_fields(RESPONSE)}",
        f"## Commands\n\n{commands}",
        f"Statuses of a response, whose payload has the items before one that was refused:\n\n"
        f"{statuses}",
        f"What `identify` reads:\n\n{words}",
        _SEQUENCE,
    ]
    return "\n".join(sections)


def _fields(fields: Sequence[FrameField]) -> str:
    rows, start = [], 0
    for field in fields:
        last = start + field.size - 1
        rows.append((f"{start} … {last}" if field.size > 1 else str(start), field.name, field.doc))
        start += field.size
    return markdown_table(
        ("byte", "field", "meaning"), ((place, f"`{name}`", doc) for place, name, doc in rows)
    )


def _bits(fields: Mapping[str, int]) -> str:
    parts, lsb = [], 0
    for name, width in fields.items():
        parts.append(f"{lsb + width - 1}:{lsb} {name}")
        lsb += width
    return ", ".join(parts)
