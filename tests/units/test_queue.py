import numpy as np
import pytest
from amaranth.hdl import signed
from amaranth.lib import data

from mla_hw.errors import ConfigError
from rtl_gen.units.queue import Queue
from tests.streams import convert, drain, feed, pause, simulate

LAYOUT = data.StructLayout({"value": signed(7), "flag": 1})
DEPTHS = [1, 2, 3, 8]


def payloads(count):
    rng = np.random.default_rng(0)
    corners = [{"value": -64, "flag": 0}, {"value": 63, "flag": 1}]
    return corners + [
        {"value": int(value), "flag": int(value) & 1} for value in rng.integers(-64, 64, count)
    ]


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("source_pauses", [(0,), (0, 2, 0, 0, 5)], ids=["fast", "slow"])
@pytest.mark.parametrize("sink_pauses", [(0,), (3, 0, 0, 1, 7)], ids=["fast", "slow"])
def test_keeps_order_and_shape(depth, source_pauses, sink_pauses):
    expected = payloads(60)
    dut = Queue(LAYOUT, depth)
    levels = []

    async def source(ctx):
        await feed(ctx, dut.i, expected, source_pauses)

    async def sink(ctx):
        received = await drain(ctx, dut.o, len(expected), sink_pauses)
        assert [{"value": item.value, "flag": item.flag} for item in received] == expected

    async def level(ctx):
        held = 0
        signals = (dut.level, dut.i.valid, dut.i.ready, dut.o.valid, dut.o.ready)
        async for _, _, level, *flags in ctx.tick().sample(*signals):
            assert level == held
            levels.append(level)
            held += (flags[0] and flags[1]) - (flags[2] and flags[3])

    simulate(dut, source, sink, background=[level])
    if sink_pauses != (0,) and source_pauses == (0,):
        assert max(levels) == depth


@pytest.mark.parametrize("depth", DEPTHS)
def test_latency(depth):
    dut = Queue(8, depth)

    async def testbench(ctx):
        for value in (17, 200):  # empty at first, and empty again
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


@pytest.mark.parametrize(("depth", "fill"), [(2, 0), (2, 1), (3, 0), (3, 2), (8, 1), (8, 7)])
def test_throughput(depth, fill):
    dut, count = Queue(8, depth), 20

    async def testbench(ctx):
        ctx.set(dut.i.valid, 1)
        await pause(ctx, fill)
        ctx.set(dut.o.ready, 1)
        await pause(ctx, dut.timing.latency)
        for cycle in range(count):
            assert ctx.get(dut.i.ready)
            assert ctx.get(dut.o.valid), cycle
            await ctx.tick().repeat(dut.timing.interval)

    simulate(dut, testbench)


@pytest.mark.parametrize("depth", DEPTHS)
def test_takes_depth_payloads_without_giving(depth):
    dut = Queue(8, depth)

    async def testbench(ctx):
        ctx.set(dut.i.valid, 1)
        accepted = 0
        for _ in range(depth + 3):
            accepted += ctx.get(dut.i.ready)
            await ctx.tick()
        assert accepted == depth
        assert ctx.get(dut.level) == depth

    simulate(dut, testbench)


def test_rejects_depth():
    with pytest.raises(ConfigError, match="Depth of a queue must be at least 1, not 0"):
        Queue(8, 0)


@pytest.mark.parametrize("depth", DEPTHS)
def test_converts(depth):
    assert "memory" in convert(Queue(LAYOUT, depth))
