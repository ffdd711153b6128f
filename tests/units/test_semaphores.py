import random

import pytest

from mla_hw.cycles.semaphores import CREDIT_TIMING, GIVE_TIMING, OVERFLOW_TIMING, TAKE_TIMING
from mla_hw.hardware import SEMAPHORES
from rtl_gen.units.semaphores import Semaphores
from tests.streams import convert, simulate

CAP = 15


def legal_traffic(rng, cycles, engines):
    """Masks and counts per cycle; each semaphore has one giver and one taker.

    What is given counts in the next cycle, what is taken or credited one later. Counts go up to
    the cap and down to 0.
    """
    roles = [(rng.randrange(engines), rng.randrange(engines)) for _ in range(SEMAPHORES)]
    counts, coming = [0] * SEMAPHORES, [(0, 0)] * SEMAPHORES
    traffic, history = [], []
    for now in range(cycles):
        history.append(list(counts))
        take, give, credit = [0] * engines, [0] * engines, 0
        eager = (0.9, 0.1, 0.5)[now // 100 % 3]
        for i, (giver, taker) in enumerate(roles):
            was_taken, was_credited = coming[i]
            taken = counts[i] > 0 and not was_taken and rng.random() > eager
            counts[i] += was_credited - was_taken
            given = counts[i] < CAP and rng.random() < eager
            counts[i] += given
            credited = counts[i] < CAP - 1 and rng.random() < 0.05
            take[taker] |= taken << i
            give[giver] |= given << i
            credit |= credited << i
            coming[i] = (taken, credited)
        traffic.append((take, give, credit))
    return traffic, history


@pytest.mark.parametrize("engines", [1, 4])
def test_matches_counts(engines):
    dut = Semaphores(engines)
    traffic, history = legal_traffic(random.Random(engines), 900, engines)
    assert max(map(max, history)) == CAP
    assert min(map(min, history[10:])) == 0

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
    dut = Semaphores()

    async def change(ctx, port, mask, timing, before, after):
        ctx.set(port, mask)
        for _ in range(timing.latency):
            assert ctx.get(dut.available) == before
            await ctx.tick()
            ctx.set(port, 0)
        assert ctx.get(dut.available) == after

    async def testbench(ctx):
        await change(ctx, dut.give[2], 0b1001, GIVE_TIMING, 0, 0b1001)
        await change(ctx, dut.credit, 0b0010, CREDIT_TIMING, 0b1001, 0b1011)
        await change(ctx, dut.take[3], 0b0001, TAKE_TIMING, 0b1011, 0b1010)

    simulate(dut, testbench)


@pytest.mark.parametrize(("credit", "gives"), [(0, CAP), (1, CAP - 1)], ids=["give", "credit"])
def test_overflow(credit, gives):
    """One more than the cap is an overflow, the cap is none."""
    dut = Semaphores()

    async def testbench(ctx):
        seen = 0
        for cycle in range(gives + 10):
            ctx.set(dut.give[1], (cycle < gives) << 5)
            ctx.set(dut.credit, (credit and cycle == 0) << 5)
            await ctx.tick()
            seen += ctx.get(dut.overflow)
        assert seen == 0
        ctx.set(dut.give[1], 1 << 5)
        for cycle in range(10):
            assert ctx.get(dut.overflow) == (cycle == OVERFLOW_TIMING.latency)
            await ctx.tick()
            ctx.set(dut.give[1], 0)

    simulate(dut, testbench)


def test_take_and_give_at_the_cap():
    dut = Semaphores()

    async def testbench(ctx):
        ctx.set(dut.give[0], 1)
        await ctx.tick().repeat(CAP)
        ctx.set(dut.give[0], 0)
        # A take counts a cycle later than a give.
        ctx.set(dut.take[1], 1)
        await ctx.tick()
        ctx.set(dut.give[0], 1)
        await ctx.tick().repeat(20)
        ctx.set(dut.take[1], 0)
        ctx.set(dut.give[0], 0)
        for _ in range(5):
            assert not ctx.get(dut.overflow)
            await ctx.tick()

    simulate(dut, testbench)


def test_verilog():
    assert "module top" in convert(Semaphores())
