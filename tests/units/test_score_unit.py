import re
from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest
from amaranth import Elaboratable, Module
from amaranth.lib.memory import Memory

from mla_hw.cycles.score_unit import MAXIMUM_DISTANCE, score_timing
from mla_hw.cycles.simple_memory import MEMORY_READ_LATENCY
from mla_hw.golden.score_unit import SCORE_BITS, scale_scores
from rtl_gen.pipeline import delay
from rtl_gen.units.score_unit import ScoreUnit
from tests.configs import ODD, SMALL, WIDE, small_core
from tests.streams import convert, simulate

CONFIGS = {
    "small": SMALL,
    "odd": ODD,
    "wide": replace(WIDE, acc_width=37),
    "one_row": small_core(rows=1, accumulator_lanes=1, heads=2, acc_width=20),
}
PAUSES = {"full_speed": [0], "throttled": [0, 0, 1, 0, 3]}


class RingAndScoreUnit(Elaboratable):
    """The score unit with the scale memory of a latent ring."""

    def __init__(self, config, scales):
        self.unit = ScoreUnit(config)
        self.scales = [int(scale) for scale in scales]

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self.unit
        m.submodules.ring = ring = Memory(shape=16, depth=len(self.scales), init=self.scales)
        read = ring.read_port()
        m.d.comb += [
            read.addr.eq(unit.token_scale.address),
            unit.token_scale.data.eq(delay(m, read.data, MEMORY_READ_LATENCY - 1, "scale")),
        ]
        return m


def random_sums(rng, config, shape):
    """Return sums of all magnitudes, the extremes among them."""
    limit = 1 << (config.acc_width - 1)
    sums = rng.integers(-limit, limit, shape) >> rng.integers(0, config.acc_width, shape)
    corners = [limit - 1, -limit, 0, 1, -1, (1 << 23) - 1, -(1 << 23)]
    where = rng.random(shape) < 0.2
    sums[where] = rng.choice([c for c in corners if -limit <= c < limit], where.sum())
    return sums


async def present(ctx, unit, **fields):
    """Present one sum for one cycle."""
    ctx.set(unit.i, unit.i.shape().const({"en": 1, **{k: int(v) for k, v in fields.items()}}))
    await ctx.tick()
    ctx.set(unit.i.en, 0)


async def read(ctx, port, address):
    """Present an address and return its data."""
    ctx.set(port.address, address)
    await ctx.tick().repeat(MEMORY_READ_LATENCY)
    return ctx.get(port.data)


async def wait_until_visible(ctx, unit):
    """Wait after a sum was presented until a read address may be."""
    await ctx.tick().repeat(unit.timing.latency - 1)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("pauses", PAUSES.values(), ids=PAUSES)
def test_matches_golden(config, pauses):
    rng = np.random.default_rng(config.rows)
    columns, tile = config.columns, config.tile_limit
    ring = rng.integers(1, 32768, config.ring_blocks * columns)
    ring[:2] = 1, 32767
    bench = RingAndScoreUnit(config, ring)
    unit = bench.unit
    counted = []
    expected_saturated = []

    async def testbench(ctx):
        wait = cycle(pauses)
        # Two tiles after each other in each head group; the second one is shorter and starts
        # elsewhere in the ring.
        for tokens, ring_block in ((tile, 0), (columns + 1, config.ring_blocks - 1)):
            for group in range(config.groups):
                pre, post = map(int, rng.integers(0, 20, 2)) if group else (0, 3)
                acc = random_sums(rng, config, (config.rows, tokens))
                token = np.arange(tokens)
                block_token = (ring_block * columns + token) % len(ring)
                scores, saturated = scale_scores(acc, ring[block_token], pre, post)
                expected_saturated.append(saturated)
                for block in range(0, tokens, columns):
                    for row in range(config.rows):
                        for j in range(block, min(block + columns, tokens)):
                            await present(
                                ctx,
                                unit,
                                acc=acc[row, j],
                                pre=pre,
                                post=post,
                                block_token=block_token[j],
                                token=j,
                                group=group,
                                head=group << config.lane_bits | row,
                                address=(group * config.rows + row) * tile + j,
                                first=j == 0,
                            )
                            if gap := next(wait):
                                await ctx.tick().repeat(gap)
                await wait_until_visible(ctx, unit)
                for row in range(config.rows):
                    head = group << config.lane_bits | row
                    assert await read(ctx, unit.maxima, head) == scores[row].max()
                    for j in range(tokens):
                        address = (group * config.rows + row) * tile + j
                        assert await read(ctx, unit.scores, address) == scores[row, j]
                for j in range(tokens):
                    scale = await read(ctx, unit.scales, group * tile + j)
                    assert scale == ring[block_token[j]]
        counted.append(True)

    seen_saturated = []

    async def count(ctx):
        while not counted:
            await ctx.tick()
            seen_saturated.append(ctx.get(unit.saturated))

    simulate(bench, testbench, count)
    assert sum(seen_saturated) == sum(expected_saturated) > 0


def test_maximum_of_rows_at_the_minimum_distance():
    config, rng = replace(SMALL, rows=4, accumulator_lanes=4), np.random.default_rng(0)
    bench = RingAndScoreUnit(config, [32767] * (config.ring_blocks * config.columns))
    unit = bench.unit
    expected, last_seen, distances = {}, {}, set()

    async def testbench(ctx):
        run = None
        for now in range(600):
            allowed = [
                row
                for row in range(config.rows)
                if row == run or now - last_seen.get(row, -9) >= MAXIMUM_DISTANCE
            ]
            if rng.random() < 0.2 or not allowed:
                await ctx.tick()
                continue
            row = int(rng.choice(allowed))
            if row != run:
                distances.add(now - last_seen.get(row, now))
            run, last_seen[row] = row, now
            acc = int(rng.integers(-(1 << 16), 1 << 16))
            score = int(scale_scores(np.array([acc]), np.array([32767]), 0, 10)[0][0])
            first = row not in expected or rng.random() < 0.05
            expected[row] = score if first else max(expected[row], score)
            await present(ctx, unit, acc=acc, post=10, head=row, first=first)
            if rng.random() < 0.05:
                await wait_until_visible(ctx, unit)
                assert await read(ctx, unit.maxima, row) == expected[row]
        await wait_until_visible(ctx, unit)
        for row, maximum in expected.items():
            assert await read(ctx, unit.maxima, row) == maximum

    simulate(bench, testbench)
    assert {MAXIMUM_DISTANCE, MAXIMUM_DISTANCE + 1, MAXIMUM_DISTANCE + 2} <= distances


@pytest.mark.parametrize("early", [0, 1])
def test_latency(early):
    bench = RingAndScoreUnit(SMALL, [1] * (SMALL.ring_blocks * SMALL.columns))
    unit = bench.unit

    async def testbench(ctx):
        await present(ctx, unit, acc=77, token=3, address=5, group=1, head=2, first=1)
        for port, address in (
            (unit.scores, 5),
            (unit.maxima, 2),
            (unit.scales, SMALL.tile_limit + 3),
        ):
            ctx.set(port.address, address)
        await ctx.tick().repeat(unit.timing.latency + MEMORY_READ_LATENCY - 1 - early)
        assert ctx.get(unit.maxima.data) == (0 if early else 77)
        assert ctx.get(unit.scores.data) == 77
        assert ctx.get(unit.scales.data) == 1

    simulate(bench, testbench)


def test_throughput_and_the_cycle_of_saturated():
    bench = RingAndScoreUnit(SMALL, [32767] * (SMALL.ring_blocks * SMALL.columns))
    unit, sums = bench.unit, 12

    async def testbench(ctx):
        pulses = []
        for now in range(40):
            fields = {"en": now < sums, "acc": 1 << (SCORE_BITS + 2), "address": now % 16}
            ctx.set(unit.i, unit.i.shape().const(fields))
            pulses.append(ctx.get(unit.saturated))
            await ctx.tick()
        high = [now for now, pulse in enumerate(pulses) if pulse]
        presented = score_timing().latency
        assert high == list(range(presented, presented + sums))
        for address in range(sums):
            assert await read(ctx, unit.scores, address) == (1 << (SCORE_BITS - 1)) - 1

    simulate(bench, testbench)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_verilog(config):
    assert "output saturated" in convert(ScoreUnit(config))


def test_instantiated_multipliers():
    verilog = convert(ScoreUnit(replace(SMALL, multiplier="ecp5")))
    assert len(re.findall(r"^  MULT18X18D ", verilog, re.MULTILINE)) == 2
