from collections import deque

import numpy as np
import pytest
from amaranth.hdl import signed
from amaranth.lib import data

from mla_hw.errors import ConfigError
from rtl_gen.units.block_queue import BlockQueue
from tests.streams import convert, drain, feed, pause, simulate

LAYOUT = data.StructLayout({"value": signed(20), "last": 1})
DEPTHS = [7, 8, 9, 80]


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("source_pauses", [(0,), (0, 2, 0, 0, 5)], ids=["fast", "slow"])
@pytest.mark.parametrize("sink_pauses", [(0,), (3, 0, 0, 1, 7)], ids=["fast", "slow"])
def test_keeps_order_and_shape(depth, source_pauses, sink_pauses):
    values = np.random.default_rng(0).integers(-(1 << 19), 1 << 19, 200).tolist()
    expected = [{"value": value, "last": value & 1} for value in values]
    dut = BlockQueue(LAYOUT, depth)

    async def source(ctx):
        await feed(ctx, dut.i, expected, source_pauses)

    async def sink(ctx):
        received = await drain(ctx, dut.o, len(expected), sink_pauses)
        assert [{"value": item.value, "last": item.last} for item in received] == expected

    simulate(dut, source, sink)


@pytest.mark.parametrize("depth", DEPTHS)
def test_latency(depth):
    dut = BlockQueue(8, depth)

    async def testbench(ctx):
        for value in (17, 200, 3):  # empty at first, and empty again
            ctx.set(dut.i.payload, value)
            ctx.set(dut.i.valid, 1)
            for _ in range(dut.timing.latency):
                assert not ctx.get(dut.o.valid)
                await ctx.tick()
                ctx.set(dut.i.valid, 0)
                ctx.set(dut.i.payload, 0)
            for _ in range(3):  # stays until it is taken
                assert ctx.get(dut.o.valid)
                assert ctx.get(dut.o.payload) == value
                await ctx.tick()
            ctx.set(dut.o.ready, 1)
            await ctx.tick()
            ctx.set(dut.o.ready, 0)
            assert not ctx.get(dut.o.valid)

    simulate(dut, testbench)


@pytest.mark.parametrize("depth", DEPTHS)
def test_throughput(depth):
    dut = BlockQueue(8, depth)
    expected = deque()

    async def testbench(ctx):
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.o.ready, 1)
        for cycle in range(4 * depth):
            ctx.set(dut.i.payload, cycle % 251)
            expected.append(cycle % 251)
            assert ctx.get(dut.i.ready)
            if cycle >= dut.timing.latency:
                assert ctx.get(dut.o.valid), cycle
                assert ctx.get(dut.o.payload) == expected.popleft()
            await ctx.tick()

    simulate(dut, testbench)


@pytest.mark.parametrize("depth", DEPTHS)
def test_takes_depth_payloads_without_giving(depth):
    dut = BlockQueue(8, depth)

    async def testbench(ctx):
        ctx.set(dut.i.valid, 1)
        accepted = 0
        for cycle in range(depth + 3):
            ctx.set(dut.i.payload, cycle % 256)
            accepted += ctx.get(dut.i.ready)
            await ctx.tick()
        assert accepted == depth
        # All of them are still there.
        ctx.set(dut.i.valid, 0)
        ctx.set(dut.o.ready, 1)
        for cycle in range(depth):
            assert ctx.get(dut.o.valid)
            assert ctx.get(dut.o.payload) == cycle % 256
            await ctx.tick()
        await pause(ctx, 3)
        assert not ctx.get(dut.o.valid)

    simulate(dut, testbench)


def test_rejects_depth():
    with pytest.raises(ConfigError, match="Depth of a block queue must be at least 7, not 6"):
        BlockQueue(8, 6)


@pytest.mark.parametrize("depth", DEPTHS)
def test_converts(depth):
    assert "memory" in convert(BlockQueue(LAYOUT, depth))
