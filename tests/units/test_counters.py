import random

import pytest

from mla_hw.cycles.counters import VISIT_LATENCY, snapshot_cycles
from mla_hw.errors import ConfigError
from rtl_gen.units.counters import Counters
from tests.streams import convert, simulate


@pytest.mark.parametrize("n_counters", [VISIT_LATENCY, VISIT_LATENCY + 1, 17])
def test_samples_match_counts(n_counters):
    """Latches and clears at every phase of the round, also while one is under way."""
    dut = Counters(n_counters)
    rng = random.Random(n_counters)

    async def testbench(ctx):
        counts = [0] * n_counters
        sampled, since = None, 0
        latches = clears = 0
        for _ in range(4000):
            mask = rng.randrange(1 << n_counters) | rng.randrange(1 << n_counters) | 1
            latch, clear = rng.random() < 0.04, rng.random() < 0.02
            if sampled:
                since += 1
                assert ctx.get(dut.busy) == (since < snapshot_cycles(n_counters))
                if since > snapshot_cycles(n_counters):
                    # The address was set in the cycle before.
                    assert ctx.get(dut.value) == sampled[ctx.get(dut.address)]
            if latch:
                sampled, since = list(counts), 0
                latches += 1
            ctx.set(dut.count, mask)
            ctx.set(dut.latch, latch)
            ctx.set(dut.clear, clear)
            ctx.set(dut.address, rng.randrange(n_counters))
            clears += clear
            counts = [0 if clear else count + (mask >> i & 1) for i, count in enumerate(counts)]
            await ctx.tick()
        assert latches > 100
        assert clears > 50

    simulate(dut, testbench)


def test_counts_do_not_get_lost():
    """Every counter counts all of its own events, over many rounds."""
    dut, cycles = Counters(5), 3000

    async def testbench(ctx):
        for now in range(cycles):
            ctx.set(dut.count, sum((now % (i + 1) == 0) << i for i in range(5)))
            await ctx.tick()
        ctx.set(dut.count, 0)
        ctx.set(dut.latch, 1)
        await ctx.tick()
        ctx.set(dut.latch, 0)
        await ctx.tick().until(~dut.busy)
        values = []
        for i in range(5):
            ctx.set(dut.address, i)
            await ctx.tick()
            values.append(ctx.get(dut.value))
        assert values == [-(-cycles // (i + 1)) for i in range(5)]

    simulate(dut, testbench)


def test_rejects_n_counters():
    with pytest.raises(ConfigError, match=f"n_counters must be at least {VISIT_LATENCY}, not 2"):
        Counters(2)


def test_verilog():
    assert "module top" in convert(Counters(17))
