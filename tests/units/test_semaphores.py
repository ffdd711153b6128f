import random

import pytest

from mla_hw.hardware import SEMAPHORES
from rtl_gen.units.semaphores import Semaphores
from tests.streams import convert, simulate

CAP = 15


def legal_traffic(rng, cycles, engines, cap=CAP):
    """Masks per cycle; each semaphore has one giver and one taker, and never exceeds ``cap``."""
    roles = [(rng.randrange(engines), rng.randrange(engines)) for _ in range(SEMAPHORES)]
    counts = [0] * SEMAPHORES
    traffic, history = [], []
    for now in range(cycles):
        history.append(list(counts))
        take, give, credit = [0] * engines, [0] * engines, 0
        eager = (0.9, 0.1, 0.5)[now // 100 % 3]
        for i, (giver, taker) in enumerate(roles):
            taken = counts[i] > 0 and rng.random() > eager
            given = counts[i] - taken < cap and rng.random() < eager
            credited = counts[i] - taken + given < cap and rng.random() < 0.05
            take[taker] |= taken << i
            give[giver] |= given << i
            credit |= credited << i
            counts[i] += given + credited - taken
        traffic.append((take, give, credit))
    return traffic, history


@pytest.mark.parametrize("engines", [1, 4])
def test_matches_counters(engines):
    dut = Semaphores(engines)
    traffic, history = legal_traffic(random.Random(engines), 900, engines)
    assert max(map(max, history)) == CAP

    async def testbench(ctx):
        for (take, give, credit), counts in zip(traffic, history, strict=True):
            available = sum((count > 0) << i for i, count in enumerate(counts))
            assert ctx.get(dut.available) == available
            assert not ctx.get(dut.overflow)
            ctx.set(dut.take, take)
            ctx.set(dut.give, give)
            ctx.set(dut.credit, credit)
            await ctx.tick()

    simulate(dut, testbench)


def test_latency():
    """A give, or the take of the last one, shows after exactly ``timing.latency`` cycles."""
    dut = Semaphores()

    async def change(ctx, port, mask, before, after):
        ctx.set(port, mask)
        for _ in range(dut.timing.latency):
            assert ctx.get(dut.available) == before
            await ctx.tick()
            ctx.set(port, 0)
        assert ctx.get(dut.available) == after

    async def testbench(ctx):
        await change(ctx, dut.give[2], 0b1001, 0, 0b1001)
        await change(ctx, dut.credit, 0b0010, 0b1001, 0b1011)
        await change(ctx, dut.take[3], 0b0001, 0b1011, 0b1010)

    simulate(dut, testbench)


def test_overflow():
    dut = Semaphores()

    async def give(ctx, n, take=0, credit=0):
        seen = []
        for _ in range(n):
            ctx.set(dut.give[1], 1 << 5)
            ctx.set(dut.take[0], take << 5)
            ctx.set(dut.credit, credit << 5)
            await ctx.tick()
            seen.append(ctx.get(dut.overflow))
        ctx.set(dut.give[1], 0)
        ctx.set(dut.take[0], 0)
        ctx.set(dut.credit, 0)
        return seen

    async def testbench(ctx):
        assert not any(await give(ctx, CAP))
        assert await give(ctx, 3, take=1) == [0, 0, 0]
        assert await give(ctx, 2) == [1, 1]
        await ctx.tick()
        assert not ctx.get(dut.overflow)
        # It has stayed at its cap.
        ctx.set(dut.take[0], 1 << 5)
        for _ in range(CAP):
            assert ctx.get(dut.available) == 1 << 5
            await ctx.tick()
        ctx.set(dut.take[0], 0)
        assert ctx.get(dut.available) == 0
        # One short of the cap, two at once.
        assert not any(await give(ctx, CAP - 1))
        assert await give(ctx, 1, credit=1) == [1]

    simulate(dut, testbench)


def test_clear():
    dut = Semaphores()

    async def testbench(ctx):
        ctx.set(dut.credit, (1 << SEMAPHORES) - 1)
        await ctx.tick().repeat(3)
        ctx.set(dut.clear, 1)
        await ctx.tick()
        ctx.set(dut.clear, 0)
        ctx.set(dut.credit, 0)
        assert ctx.get(dut.available) == 0
        await ctx.tick()
        assert ctx.get(dut.available) == 0

    simulate(dut, testbench)


def test_verilog():
    assert "module top" in convert(Semaphores())
