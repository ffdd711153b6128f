from itertools import pairwise

import numpy as np
import pytest

from mla_hw.cycles.systolic_array import DRAIN_TIMING
from mla_hw.golden.systolic_array import multiply_accumulate
from rtl_gen.units.systolic_array import SystolicArray
from tests.configs import ODD, SMALL, WIDE, small_core
from tests.streams import convert, simulate

CONFIGS = {
    "small": SMALL,
    "odd": ODD,
    "wide": WIDE,
    "one_row": small_core(rows=1, accumulator_lanes=1, heads=1, columns=2),
}
configs = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def random_tile(rng, steps, config):
    a = rng.integers(-(1 << 15), 1 << 15, (steps, config.rows))
    b = rng.integers(-(1 << 7), 1 << 7, (steps, config.columns))
    return a, b


def run(config, tiles, gaps, drain_offset=lambda row: row):
    """Present the tiles' steps, ``gaps(tile, step)`` idle cycles before each; drain row by row.

    A row is drained ``drain_offset(row)`` cycles after row 0 has its first sum. Return the sums
    [tile][rows, columns] and the cycles of the last steps.
    """
    dut = SystolicArray(config)
    schedule, last_cycles = {}, []
    now = 2
    for t, (a, b) in enumerate(tiles):
        for step in range(len(a)):
            now += gaps(t, step)
            schedule[now] = {
                "en": 1,
                "first": step == 0,
                "last": step == len(a) - 1,
                "a": a[step].tolist(),
                "b": b[step].tolist(),
            }
            now += 1
        last_cycles.append(now - 1)
    starts = [
        [last + dut.result_latency(0) + drain_offset(row) for row in range(config.rows)]
        for last in last_cycles
    ]
    pulses = {}
    for tile in starts:
        for row, cycle in enumerate(tile):
            pulses[cycle - DRAIN_TIMING.latency] = pulses.get(cycle - DRAIN_TIMING.latency, 0) | (
                1 << row
            )
    # What stands at the input without `en` must not matter.
    noise = {"en": 0, "first": 1, "last": 1, "a": [-77] * config.rows, "b": [55] * config.columns}
    seen = []

    async def bench(ctx):
        for cycle in range(max(map(max, starts)) + config.columns):
            ctx.set(dut.i, schedule.get(cycle, noise))
            ctx.set(dut.drain, pulses.get(cycle, 0))
            seen.append([ctx.get(dut.o[row]) for row in range(config.rows)])
            await ctx.tick()

    simulate(dut, bench)
    sums = [
        np.array([
            [seen[start + column][row] for column in range(config.columns)]
            for row, start in enumerate(tile)
        ])
        for tile in starts
    ]
    return sums, last_cycles


@configs
@pytest.mark.parametrize("gap", [0, 1, 3])
def test_matches_golden(config, gap):
    rng = np.random.default_rng(0)
    tiles = [random_tile(rng, steps, config) for steps in (40, 17, 16, 25)]
    gaps = rng.integers(0, gap + 1, (len(tiles), 40))
    sums, _ = run(config, tiles, lambda tile, step: int(gaps[tile, step]))
    for (a, b), got in zip(tiles, sums, strict=True):
        assert np.array_equal(got, multiply_accumulate(a, b))


@configs
def test_extreme_operands_fill_the_accumulator(config):
    tiles = [
        (np.full((16, config.rows), a), np.full((16, config.columns), b))
        for a in (-32768, 32767)
        for b in (-128, 127)
    ]
    sums, _ = run(config, tiles, lambda tile, step: 0)
    for (a, b), got in zip(tiles, sums, strict=True):
        assert np.array_equal(got, multiply_accumulate(a, b))


@configs
def test_tiles_of_as_many_steps_as_columns_follow_without_a_gap(config):
    rng = np.random.default_rng(1)
    tiles = [random_tile(rng, config.columns, config) for _ in range(6)]
    sums, last_cycles = run(config, tiles, lambda tile, step: 0)
    assert {after - before for before, after in pairwise(last_cycles)} == {config.columns}
    for (a, b), got in zip(tiles, sums, strict=True):
        assert np.array_equal(got, multiply_accumulate(a, b))


@configs
def test_rows_drained_one_after_the_other(config):
    """As for the scores: row r waits for r · C cycles, the next tile arrives meanwhile."""
    rng = np.random.default_rng(2)
    steps = config.rows * config.columns
    tiles = [random_tile(rng, steps, config) for _ in range(4)]
    sums, _ = run(config, tiles, lambda tile, step: 0, lambda row: row * config.columns)
    for (a, b), got in zip(tiles, sums, strict=True):
        assert np.array_equal(got, multiply_accumulate(a, b))


def test_single_steps():
    rng = np.random.default_rng(3)
    tiles = [random_tile(rng, 1, SMALL) for _ in range(4)]
    sums, _ = run(SMALL, tiles, lambda tile, step: SMALL.columns - 1)
    for (a, b), got in zip(tiles, sums, strict=True):
        assert np.array_equal(got, multiply_accumulate(a, b))


@configs
def test_result_latency(config):
    """The sum is at the output in the stated cycle and not before."""
    dut = SystolicArray(config)
    step = {"en": 1, "first": 1, "last": 1, "a": [3] * config.rows, "b": [5] * config.columns}
    first_seen = {}

    async def bench(ctx):
        ctx.set(dut.i, step)
        for cycle in range(dut.result_latency(config.rows - 1) + 2):
            for row in range(config.rows):
                if ctx.get(dut.o[row]) == 15:
                    first_seen.setdefault(row, cycle)
            await ctx.tick()
            ctx.set(dut.i.en, 0)

    simulate(dut, bench)
    assert first_seen == {row: dut.result_latency(row) for row in range(config.rows)}


@pytest.mark.parametrize("multiplier", ["portable", "ecp5"])
def test_converts(multiplier):
    text = convert(SystolicArray(small_core(multiplier=multiplier)))
    assert text.count("MULT18X18D") == (SMALL.rows * SMALL.columns if multiplier == "ecp5" else 0)
