import random
import zlib

import pytest

from mla_hw.host.documentation import link_markdown
from mla_hw.host.frames import Deframer, encode_frame
from mla_hw.host.messages import Message, Response
from mla_hw.host.protocol import (
    COMMANDS,
    CRC_INIT,
    CRC_POLYNOMIAL,
    CRC_RESIDUE,
    ESCAPE,
    FLAG,
    LINK_WORDS,
    MAX_PAYLOAD,
    REQUEST,
    RESPONSE,
    STATUSES,
    WORD_BYTES,
    Operation,
    Space,
    Status,
    command,
    header_bytes,
    pack_header,
    unpack_header,
)

WRITE = command(Space.MEMORY, Operation.WRITE)


def crc(content):
    """The CRC by its definition, bit by bit, before the final inversion."""
    value = CRC_INIT
    for byte in content:
        for place in range(8):
            feedback = (value ^ byte >> place) & 1
            value = value >> 1 ^ (CRC_POLYNOMIAL if feedback else 0)
    return value


def request(data, sequence=7):
    return Message(command=WRITE, count=1, address=0x1234_5678, data=data).content(sequence)


def response(data, sequence=7):
    return (
        pack_header(
            RESPONSE,
            {
                "sequence": sequence,
                "command": WRITE.code,
                "status": 0,
                "payload": len(data) // WORD_BYTES,
            },
        )
        + data
    )


def test_golden_frames():
    assert encode_frame(b"123456789") == b"~123456789" + bytes.fromhex("2639f4cb") + b"~"
    assert crc(b"123456789") ^ 0xFFFF_FFFF == 0xCBF4_3926
    assert encode_frame(b"\x7e\x7d\x00\x5e") == bytes.fromhex("7e 7d5e 7d5d 00 5e 438f5e7a 7e")
    assert request(bytes([1, 2, 3, 4]), 0xA5) == bytes.fromhex("a5 04 01 00 78563412 01020304")


def test_the_crc_is_that_of_zlib():
    rng = random.Random(0)
    for size in (0, 1, 8, 100):
        content = rng.randbytes(size)
        sent = zlib.crc32(content)
        assert crc(content) ^ 0xFFFF_FFFF == sent
        assert crc(content + sent.to_bytes(4, "little")) == CRC_RESIDUE


@pytest.mark.parametrize("size", [1, 2, 7, 100, 1000])
def test_round_trip_in_pieces_of_any_size(size):
    rng = random.Random(size)
    bytes_that_matter = bytes([FLAG, ESCAPE, FLAG ^ 0x20, ESCAPE ^ 0x20, 0, 255])
    contents = [bytes(rng.choices(bytes_that_matter, k=rng.randrange(60))) for _ in range(50)]
    contents += [rng.randbytes(rng.randrange(1, 400)) for _ in range(50)]
    line = b"".join(encode_frame(content) for content in contents)
    deframer, found = Deframer(2000), []
    for start in range(0, len(line), size):
        found += deframer.feed(line[start : start + size])
    assert found == contents
    assert deframer.spoilt == 0


def test_flags_may_be_shared_and_repeated():
    frame = encode_frame(b"abcd")
    assert Deframer(100).feed(frame + frame[1:] + b"~~~" + frame) == 3 * [b"abcd"]


@pytest.mark.parametrize("seed", range(5))
def test_every_single_bit_error_is_detected(seed):
    """Nothing comes out but frames that were sent; the one that was hit does not."""
    rng = random.Random(seed)
    contents = [response(rng.randbytes(4 * rng.randrange(8)), i) for i in range(3)]
    # Bytes that an error makes a flag or an escape of, and those that are escaped.
    contents[1] = response(bytes([FLAG, ESCAPE, FLAG ^ 1, ESCAPE ^ 2, *rng.randbytes(4)]), 1)
    frames = [encode_frame(content) for content in contents]
    line = b"".join(frames)
    first, end = len(frames[0]), len(frames[0]) + len(frames[1])
    for bit in range(8 * first, 8 * end):
        hit = bytearray(line)
        hit[bit // 8] ^= 1 << bit % 8
        found = Deframer(1000).feed(bytes(hit))
        found = [content for content in found if Response.decode(content)]
        assert found in ([contents[0], contents[2]], contents[:1], contents[2:]), bit


def test_noise_gives_nothing_and_takes_no_memory():
    rng, deframer = random.Random(0), Deframer(100)
    for _ in range(300):
        assert deframer.feed(rng.randbytes(1000)) == []
        assert len(deframer._rest) <= 101
    # The first of two flags ends the noise.
    assert deframer.feed(encode_frame(b"content")) == [b"content"]
    assert deframer.spoilt > 0


def test_responses_have_the_length_that_they_say():
    good = response(bytes(8))
    assert Response.decode(good).words == [0, 0]
    assert Response.decode(good[:-4]) is None
    assert Response.decode(good + bytes(4)) is None
    assert Response.decode(good[:3]) is None


def test_headers_round_trip():
    rng = random.Random(0)
    for fields in (REQUEST, RESPONSE):
        values = {field.name: rng.randrange(1 << 8 * field.size) for field in fields}
        header = pack_header(fields, values)
        assert len(header) == header_bytes(fields)
        assert unpack_header(fields, header + b"more") == values


def test_commands_differ():
    assert len({item.code for item in COMMANDS}) == len({item.name for item in COMMANDS})
    assert len({item.code for item in COMMANDS}) == len(COMMANDS)
    assert set(STATUSES) == set(Status)
    assert all(sum(word.fields.values()) <= 32 for word in LINK_WORDS)
    assert MAX_PAYLOAD // WORD_BYTES < 256


def test_the_page_has_the_whole_protocol():
    page = link_markdown()
    for name in (
        *(field.name for field in (*REQUEST, *RESPONSE)),
        *(item.name for item in COMMANDS),
        *(status.name for status in Status),
        *(word.name for word in LINK_WORDS),
    ):
        assert f"`{name}`" in page
    assert f"0x{FLAG:02x}" in page
    assert f"0x{CRC_POLYNOMIAL:08x}" in page
