import random
from itertools import pairwise

import pytest

from mla_hw.host.frames import encode_frame
from mla_hw.host.protocol import ESCAPE, FLAG, MAX_PAYLOAD
from rtl_gen.host.frames import Deframer, Enframer
from tests.streams import drain, feed, pause, simulate

#: Cycles between bytes, at least.
INTERVAL = 10
AWKWARD = bytes([FLAG, ESCAPE, FLAG, FLAG, ESCAPE, ESCAPE, FLAG ^ 0x20, ESCAPE ^ 0x20])


def request(payload, sequence=0):
    """Content with a header of eight bytes and so much behind it."""
    return bytes([sequence, 4, len(payload) // 4, 0, 0x7E, 0x7D, 0x5E, 0]) + payload


def contents(seed, count):
    rng = random.Random(seed)
    sizes = [0, 4, MAX_PAYLOAD, *(4 * rng.randrange(20) for _ in range(count))]
    return [request(rng.randbytes(size), i) for i, size in enumerate(sizes)] + [request(AWKWARD)]


async def receive(ctx, dut, data, interval=INTERVAL, error=()):
    """Give bytes as a receiver does; those at the places of ``error`` without a stop bit."""
    for place, byte in enumerate(data):
        ctx.set(dut.i.p.data, byte)
        ctx.set(dut.i.p.error, place in error)
        ctx.set(dut.i.valid, 1)
        await ctx.tick()
        ctx.set(dut.i.valid, 0)
        await pause(ctx, interval - 1)


async def read(ctx, dut, size):
    """Read the request that is offered."""
    data = bytearray()
    ctx.set(dut.read_en, 1)
    for address in range(size):
        ctx.set(dut.read_address, address)
        await ctx.tick()
        data.append(ctx.get(dut.read_data))
    ctx.set(dut.read_en, 0)
    return bytes(data)


async def take(ctx, dut, size):
    await ctx.tick().until(dut.frame.valid)
    content = await read(ctx, dut, size)
    ctx.set(dut.frame.ready, 1)
    await ctx.tick()
    ctx.set(dut.frame.ready, 0)
    return content


def deframe(data, expected, **options):
    """Compare what a deframer makes of bytes, taken as it comes, with contents."""
    dut = Deframer()
    taken = []

    async def testbench(ctx):
        await receive(ctx, dut, data, **options)
        await ctx.tick().repeat(10)

    async def consumer(ctx):
        taken.extend([await take(ctx, dut, len(content)) for content in expected])
        await ctx.tick().until(dut.frame.valid)
        taken.append("more")

    simulate(dut, testbench, background=[consumer], max_cycles=100_000)
    assert taken == list(expected)


@pytest.mark.parametrize("interval", [INTERVAL, 40])
def test_deframer_matches_golden(interval):
    wanted = contents(0, 3)
    deframe(b"".join(map(encode_frame, wanted)), wanted, interval=interval)


def test_deframer_takes_shared_and_repeated_flags():
    frame = encode_frame(request(b"abcd"))
    deframe(frame + frame[1:] + b"~~~" + frame, 3 * [request(b"abcd")])


@pytest.mark.parametrize("sequence", [0, FLAG, ESCAPE])
def test_deframer_detects_every_single_bit_error(sequence):
    """Among good frames a spoilt one changes nothing but that it lacks."""
    frame = encode_frame(request(AWKWARD[:4], sequence))
    good = request(b"good", 9)
    data = bytearray()
    for bit in range(8, 8 * len(frame) - 8):
        hit = bytearray(frame)
        hit[bit // 8] ^= 1 << bit % 8
        # A flag of its own in front of the good one, because the error may have made an escape.
        data += hit + encode_frame(good)
    count = 8 * len(frame) - 16
    deframe(bytes(data), count * [good])


def test_deframer_drops_bytes_without_a_stop_bit():
    frame = encode_frame(request(b"abcd"))
    for place in range(1, len(frame)):
        good = encode_frame(request(b"good"))
        deframe(frame + good, [request(b"good")], error=[place])


def test_deframer_drops_what_is_too_long_or_has_another_length():
    content = request(bytes(8))
    wrong = [content[:-4], content + bytes(4), content + bytes(1), content[:5], b"", bytes(600)]
    # Wraps the counter of bytes round to the length that it should have.
    wrong += [content + bytes(512), content + bytes(1024)]
    good = request(b"good")
    deframe(b"".join(map(encode_frame, [*wrong, good])), [good])


def test_deframer_holds_two_and_drops_more():
    dut = Deframer()
    frames = [request(bytes([i] * 4), i) for i in range(6)]

    async def testbench(ctx):
        for content in frames[:4]:
            await receive(ctx, dut, encode_frame(content))
        assert await take(ctx, dut, 12) == frames[0]
        # The second bank is free in the middle of this one.
        await receive(ctx, dut, encode_frame(frames[4])[5:])
        assert await take(ctx, dut, 12) == frames[1]
        await ctx.tick()
        assert not ctx.get(dut.frame.valid)
        await receive(ctx, dut, encode_frame(frames[5]))
        assert await take(ctx, dut, 12) == frames[5]

    simulate(dut, testbench)


def test_deframer_offers_a_request_after_its_flag():
    dut = Deframer()
    frame = encode_frame(request(b"abcd"))

    async def testbench(ctx):
        await receive(ctx, dut, frame[:-1])
        assert not ctx.get(dut.frame.valid)
        await receive(ctx, dut, frame[-1:], interval=1)
        assert ctx.get(dut.frame.valid)

    simulate(dut, testbench)


@pytest.mark.parametrize("pauses", [(0,), (1, 0, 5), (30,)])
@pytest.mark.parametrize("sink", [(0,), (9, 3), (40,)])
def test_enframer_matches_golden(pauses, sink):
    wanted = [content for content in contents(1, 2) if len(content) < 100]
    line = b"".join(map(encode_frame, wanted))
    dut = Enframer()
    payloads = [
        {"data": byte, "last": place == len(content) - 1}
        for content in wanted
        for place, byte in enumerate(content)
    ]
    found = []

    async def producer(ctx):
        await feed(ctx, dut.i, payloads, pauses)

    async def consumer(ctx):
        found.extend(await drain(ctx, dut.o, len(line), sink))

    simulate(dut, producer, consumer, max_cycles=60_000)
    assert bytes(found) == line


def test_enframer_keeps_up_with_a_line():
    """With a byte of the content always there, a byte is there every 10 cycles at the latest."""
    dut, cycles = Enframer(), []
    content = request(AWKWARD)

    async def producer(ctx):
        payloads = [{"data": byte, "last": i == len(content) - 1} for i, byte in enumerate(content)]
        await feed(ctx, dut.i, payloads)

    async def consumer(ctx):
        ctx.set(dut.o.ready, 1)
        cycle = 0
        while len(cycles) < len(encode_frame(content)):
            _, _, valid = await ctx.tick().sample(dut.o.valid)
            if valid:
                cycles.append(cycle)
            cycle += 1

    simulate(dut, producer, consumer)
    gaps = [after - before for before, after in pairwise(cycles)]
    assert max(gaps) <= INTERVAL
