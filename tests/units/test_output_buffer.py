import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal

from mla_hw.cycles.output_buffer import OUTPUT_READ_LATENCY, OUTPUT_WRITE_LATENCY
from mla_hw.errors import ConfigError
from mla_hw.golden.output_buffer import gather_elements
from rtl_gen.units.output_buffer import OutputBuffer
from tests.streams import convert, pause, simulate

SHAPES = [
    {"words": 6, "port_bytes": 8, "element_bits": 16},
    {"words": 5, "port_bytes": 16, "element_bits": 8},
    {"words": 1, "port_bytes": 4, "element_bits": 16},
    {"words": 3, "port_bytes": 4, "element_bits": 32},
    {"words": 6, "port_bytes": 16, "element_bits": 16, "shared_words": True},
]
IDS = ["y", "row", "one_word", "one_element", "shared"]


def elements_of(shape):
    """Two results one after another, the second one with other gaps; then random places."""
    rng = np.random.default_rng(shape["words"])
    bits = shape["element_bits"]
    count = 8 * shape["words"] * shape["port_bytes"] // bits
    corners = [0, (1 << bits) - 1, 1 << (bits - 1)]
    indices = [*range(count), *range(0, count - 1, 2), *rng.integers(0, count, 40).tolist()]
    values = [*corners, *rng.integers(0, 1 << bits, len(indices)).tolist()]
    return list(zip(indices, values, strict=False))


async def write(ctx, dut, index, value):
    ctx.set(dut.i, {"en": 1, "index": index, "data": value})
    await ctx.tick()
    ctx.set(dut.i, {"en": 0, "index": 0, "data": (1 << dut.element_bits) - 1})


@pytest.mark.parametrize("shape", SHAPES, ids=IDS)
@pytest.mark.parametrize("pauses", [0, 2])
def test_matches_golden(shape, pauses):
    elements = elements_of(shape)
    dut = OutputBuffer(**shape)

    async def testbench(ctx):
        # Whatever lies in the buffer before, the next result must come out right.
        for count in range(0, len(elements), 7):
            for index, value in elements[max(0, count - 7) : count]:
                await write(ctx, dut, index, value)
                await pause(ctx, pauses)
            await pause(ctx, OUTPUT_WRITE_LATENCY)
            expected = gather_elements(elements[:count], **shape)
            for address in range(shape["words"]):
                ctx.set(dut.read.address, address)
                await pause(ctx, OUTPUT_READ_LATENCY)
                word = ctx.get(dut.read.data).to_bytes(shape["port_bytes"], "little")
                assert list(word) == expected[address].tolist()

    simulate(dut, testbench)


@pytest.mark.parametrize("shape", SHAPES, ids=IDS)
def test_latency(shape):
    dut = OutputBuffer(**shape)

    async def testbench(ctx):
        ctx.set(dut.i, {"en": 1, "index": 0, "data": 5})
        for cycle in range(OUTPUT_WRITE_LATENCY + OUTPUT_READ_LATENCY + 2):
            visible = cycle >= OUTPUT_WRITE_LATENCY + OUTPUT_READ_LATENCY
            assert ctx.get(dut.read.data) == 5 * visible
            await ctx.tick()
            ctx.set(dut.i.en, 0)

    simulate(dut, testbench)


def test_reset_begins_a_new_word():
    reset, dut = Signal(), OutputBuffer(words=2, port_bytes=4, element_bits=16)

    async def testbench(ctx):
        for index in (0, 1):
            await write(ctx, dut, index, 0xFFFF)
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        await write(ctx, dut, 0, 7)
        await pause(ctx, OUTPUT_WRITE_LATENCY + OUTPUT_READ_LATENCY)
        assert ctx.get(dut.read.data) == 7

    simulate(ResetInserter(reset)(dut), testbench)


def test_golden_clears_a_word_that_begins_again():
    shape = {"words": 2, "port_bytes": 4, "element_bits": 16}
    elements = [(0, -1), (1, 0x0102), (2, 7), (1, 9)]
    assert gather_elements(elements, **shape).tolist() == [[0, 0, 9, 0], [7, 0, 0, 0]]


@pytest.mark.parametrize("bits", [0, 4, 24, 48, 128])
def test_rejects_element_bits(bits):
    with pytest.raises(ConfigError, match=f"element_bits must be 64 divided .*, not {bits}"):
        OutputBuffer(words=4, port_bytes=8, element_bits=bits)


def test_rejects_words():
    with pytest.raises(ConfigError, match="must hold at least 1 word, not 0"):
        OutputBuffer(words=0, port_bytes=8, element_bits=8)


@pytest.mark.parametrize("shape", SHAPES, ids=IDS)
def test_converts(shape):
    assert "memory" in convert(OutputBuffer(**shape))
