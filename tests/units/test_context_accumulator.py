from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest

from mla_hw.golden.context_accumulator import CONTEXT_BITS, accumulate_context
from mla_hw.golden.softmax import GUARD_BITS, ShiftControl
from rtl_gen.units.context_accumulator import ContextAccumulator
from tests.configs import ODD, SMALL, WIDE, small_core
from tests.streams import convert, simulate

CONFIGS = {
    "small": SMALL,
    "odd": ODD,
    "wide": WIDE,
    "one_row": small_core(rows=1, accumulator_lanes=1, heads=1, acc_width=28),
    "three_lanes": replace(ODD, rows=6, accumulator_lanes=3, heads=12, acc_width=37),
}
PAUSES = {"full_speed": [0], "throttled": [0, 1, 0, 2]}
LIMIT = 1 << (CONTEXT_BITS - 1)
TILE_LIMIT = 1 << (CONTEXT_BITS - 1 - GUARD_BITS)


def random_tile(rng, config, held, control):
    """Return sums of a tile that the accumulator can hold after they are joined."""
    limit = min(TILE_LIMIT, 1 << (config.acc_width - 1))
    tile = rng.integers(1 - limit, limit, len(held)) >> rng.integers(0, 34, len(held))
    tile[:2] = limit - 1, 1 - limit
    while True:
        try:
            return tile, accumulate_context(held, tile, control)
        except AssertionError:
            towards_zero = np.sign(tile) * (abs(tile) >> 1)
            tile = np.where(np.sign(tile) == np.sign(held), towards_zero, tile)


def random_control(rng, number):
    shifts = [0, 1, 63, 35, 36, 37, 7, 8]
    shift = shifts[number - 1] if 0 < number <= len(shifts) else int(rng.integers(0, 40))
    return ShiftControl(number == 0, bool(rng.integers(2)), shift, bool(rng.integers(2)))


async def write_control(ctx, dut, head, control):
    """Present a shift control, in the cycle of what is presented besides."""
    fields = {name: int(getattr(control, name)) for name in control.__slots__}
    ctx.set(dut.control, dut.control.shape().const({"en": 1, "head": head, "control": fields}))


async def read_all(ctx, dut, addresses):
    """Read one element address per cycle; return the sums."""
    sums = []
    for cycle_number in range(len(addresses) + dut.read_latency):
        if cycle_number < len(addresses):
            ctx.set(dut.read.address, addresses[cycle_number])
        if cycle_number >= dut.read_latency:
            sums.append(ctx.get(dut.read.data))
        await ctx.tick()
    return sums


def head_addresses(config, group, row):
    """Return lane, first address in the lane, and the element addresses of a head's sums."""
    slots = config.rows // config.accumulator_lanes
    lane, slot = row % config.accumulator_lanes, row // config.accumulator_lanes
    first = (group * slots + slot) * config.kv_lora_rank
    channels = range(config.kv_lora_rank)
    return lane, first, [(first + n) << config.context_lane_bits | lane for n in channels]


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("pauses", PAUSES.values(), ids=PAUSES)
def test_matches_golden(config, pauses):
    rng = np.random.default_rng(config.rows)
    dut = ContextAccumulator(config)
    heads = [(group, row) for group in range(config.groups) for row in range(config.rows)]
    held = {head: np.zeros(config.kv_lora_rank, np.int64) for head in heads}
    lanes = range(config.accumulator_lanes)

    async def run_group(ctx, group, number, waits):
        """Drain one tile of a head group, lane l starting l cycles late like the array."""
        queues = {lane: [None] * lane for lane in lanes}
        for row in range(config.rows):
            control = random_control(rng, number)
            head = group << config.lane_bits | row
            await write_control(ctx, dut, head, control)
            await ctx.tick()
            tile, held[group, row] = random_tile(rng, config, held[group, row], control)
            lane, first, _ = head_addresses(config, group, row)
            queues[lane] += [
                {"en": 1, "acc": int(acc), "head": head, "address": first + n}
                for n, acc in enumerate(tile)
            ]
        ctx.set(dut.control.en, 0)
        while any(queues.values()):
            for lane in lanes:
                item = queues[lane].pop(0) if queues[lane] else None
                ctx.set(dut.i[lane], dut.i[lane].shape().const(item or {"en": 0}))
            await ctx.tick()
            if gap := next(waits):
                for lane in lanes:
                    ctx.set(dut.i[lane].en, 0)
                await ctx.tick().repeat(gap)
        for lane in lanes:
            ctx.set(dut.i[lane].en, 0)

    async def testbench(ctx):
        waits = cycle(pauses)
        for number in range(12):
            for group in range(config.groups):
                await run_group(ctx, group, number, waits)
        # The last sums were presented a cycle ago.
        await ctx.tick().repeat(dut.timing.latency - 1)
        for group, row in heads:
            addresses = head_addresses(config, group, row)[2]
            assert await read_all(ctx, dut, addresses) == held[group, row].tolist(), (group, row)

    simulate(dut, testbench)


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("halve", [False, True])
def test_extremes_of_what_is_held(swap, halve):
    dut, lane = ContextAccumulator(SMALL), 0
    largest = [TILE_LIMIT - 1, 1 - TILE_LIMIT]
    cases = [
        (first, second, shift)
        for first in [*largest, 0, 1, -1]
        for second in [*largest, 0, -1, 5]
        for shift in (0, 1, 5, 6, 35, 36, 37, 63)
        if halve or abs(first + second) < TILE_LIMIT
    ]

    async def testbench(ctx):
        for first, second, shift in cases:
            expected = np.array([0])
            for acc, control in (
                (first, ShiftControl(True, False, 0, False)),
                (second, ShiftControl(False, swap, shift, halve)),
            ):
                expected = accumulate_context(expected, np.array([acc]), control)
                await write_control(ctx, dut, 0, control)
                ctx.set(dut.i[lane], dut.i[lane].shape().const({"en": 1, "acc": acc}))
                await ctx.tick()
                ctx.set(dut.i[lane].en, 0)
                await ctx.tick().repeat(dut.timing.latency - 1)
            assert await read_all(ctx, dut, [0]) == [expected[0]], (first, second, shift)

    simulate(dut, testbench)


def test_same_address_at_the_minimum_distance():
    dut, rounds = ContextAccumulator(SMALL), 5
    distance = dut.timing.latency

    async def testbench(ctx):
        for number in range(rounds):
            for address in range(distance):
                if address == 0:
                    await write_control(ctx, dut, 0, ShiftControl(number == 0, False, 0, False))
                fields = {"en": 1, "acc": 10**number * (address + 1), "address": address}
                ctx.set(dut.i[0], dut.i[0].shape().const(fields))
                await ctx.tick()
                ctx.set(dut.control.en, 0)
        ctx.set(dut.i[0].en, 0)
        await ctx.tick().repeat(distance)
        addresses = [n << SMALL.context_lane_bits for n in range(distance)]
        expected = [(11111 * (n + 1)) << GUARD_BITS for n in range(distance)]
        assert await read_all(ctx, dut, addresses) == expected

    simulate(dut, testbench)


@pytest.mark.parametrize("early", [0, 1])
def test_latency(early):
    dut = ContextAccumulator(SMALL)

    async def testbench(ctx):
        await write_control(ctx, dut, 0, ShiftControl(True, False, 0, False))
        ctx.set(dut.i[0], dut.i[0].shape().const({"en": 1, "acc": 3, "address": 2}))
        await ctx.tick()
        ctx.set(dut.i[0].en, 0)
        await ctx.tick().repeat(dut.timing.latency - 1 - early)
        address = 2 << SMALL.context_lane_bits
        assert await read_all(ctx, dut, [address]) == [0 if early else 3 << GUARD_BITS]

    simulate(dut, testbench)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_verilog(config):
    assert "module top" in convert(ContextAccumulator(config))
