import random
from collections import deque
from dataclasses import dataclass

import pytest
from amaranth import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In

from mla_hw.cycles.engine_queue import (
    GIVE_LATENCY,
    GIVE_TO_START,
    LEAST_DURATION,
    PUSH_TO_START,
    START_TO_PUSH,
    START_TO_START,
    STARTED_DEPTH,
    earliest_start,
)
from mla_hw.cycles.semaphores import GIVE_TIMING
from mla_hw.errors import ConfigError
from mla_hw.hardware import QUEUE_DEPTH, SEMAPHORES
from rtl_gen.control_layouts import entry_layout
from rtl_gen.layouts import reader_command_layout
from rtl_gen.units.engine_queue import EngineQueue
from rtl_gen.units.semaphores import Semaphores
from tests.streams import convert, pause, simulate

ENGINES = 4
COMMAND = data.StructLayout({"id": 16})
#: What a program may hold of a semaphore in program order: a waiting engine's queue adds to it.
CAP = 15 - QUEUE_DEPTH


class System(wiring.Component):
    """Four queues and their semaphores."""

    def __init__(self):
        self.queues = [EngineQueue(COMMAND) for _ in range(ENGINES)]
        self.semaphores = Semaphores(ENGINES)
        super().__init__({
            "i": In(stream.Signature(entry_layout(COMMAND))).array(ENGINES),
            "credit": In(SEMAPHORES),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.semaphores = self.semaphores
        m.d.comb += self.semaphores.credit.eq(self.credit)
        for i, queue in enumerate(self.queues):
            m.submodules[f"queue_{i}"] = queue
            wiring.connect(m, wiring.flipped(self.i[i]), queue.i)
            m.d.comb += [
                queue.available.eq(self.semaphores.available),
                self.semaphores.take[i].eq(queue.take),
                self.semaphores.give[i].eq(queue.give),
            ]
        return m


@dataclass
class Instruction:
    engine: int
    wait: int
    post: int
    interval: int  # cycles until the engine takes another
    latency: int  # cycles from start to end


def bits(mask):
    return [i for i in range(SEMAPHORES) if mask >> i & 1]


def random_program(rng, length, slow):
    """Any program that keeps every counter within 0 … CAP in program order, and its credits."""
    givers = [rng.randrange(ENGINES) for _ in range(SEMAPHORES)]
    takers = [(giver + rng.randint(1, ENGINES - 1)) % ENGINES for giver in givers]
    counts = [rng.choice([0, 0, 1, 3]) for _ in range(SEMAPHORES)]
    credits, program = list(counts), []
    for _ in range(length):
        engine = rng.randrange(ENGINES)
        wait = post = 0
        for i in range(SEMAPHORES):
            if takers[i] == engine and counts[i] and rng.random() < 0.5:
                wait |= 1 << i
                counts[i] -= 1
            elif givers[i] == engine and counts[i] < CAP and rng.random() < 0.5:
                post |= 1 << i
                counts[i] += 1
        interval = rng.choice([1, 1, 2, slow[engine]])
        latency = rng.choice([LEAST_DURATION, 3, 40])
        program.append(Instruction(engine, wait, post, interval, latency))
    return credits, program


def predict(credits, program, first):
    """Start and end of every instruction, with pushes as early as possible from ``first`` on."""
    gives = [[] for _ in credits]  # cycle of each give, in order; credits come first
    credits = [list(range(count)) for count in credits]  # cycle of each credit
    starts = [[] for _ in range(ENGINES)]
    ends = [[] for _ in range(ENGINES)]
    ready = [0] * ENGINES
    push, times = first - 1, []
    for item in program:
        mine, done = starts[item.engine], ends[item.engine]
        push += 1
        if len(mine) >= QUEUE_DEPTH:
            push = max(push, mine[-QUEUE_DEPTH] + START_TO_PUSH)
        spent, waited = [], []
        for i in bits(item.wait):
            if credits[i]:
                spent.append(credits[i].pop(0))
            else:
                waited.append(gives[i].pop(0))
        offered = earliest_start(
            push,
            waited,
            credits=spent,
            previous=mine[-1] if mine else None,
            freed=done[-STARTED_DEPTH] if len(done) >= STARTED_DEPTH else None,
        )
        start = max(offered, ready[item.engine])
        end = start + item.latency
        if done:
            end = max(end, done[-1] + 1)
        ready[item.engine] = start + item.interval
        mine.append(start)
        done.append(end)
        for i in bits(item.post):
            gives[i].append(end)
        times.append((start, end))
    return times


@pytest.mark.parametrize("seed", range(8))
def test_starts_and_ends_as_predicted(seed):
    """Random programs on engines of random speed: in order, complete, each at its cycle."""
    rng = random.Random(seed)
    dut = System()
    credits, program = random_program(rng, 300, [rng.choice([1, 20]) for _ in range(ENGINES)])
    simulated = [[None, None] for _ in program]

    async def testbench(ctx):
        now = 0
        for level in range(max(credits)):
            ctx.set(dut.credit, sum((count > level) << i for i, count in enumerate(credits)))
            await ctx.tick()
            now += 1
        ctx.set(dut.credit, 0)
        expected = predict(credits, program, first=now)
        to_push = 0
        ready, waits = [0] * ENGINES, [False] * ENGINES
        under_way = [[] for _ in range(ENGINES)]
        giving = [deque([0] * GIVE_LATENCY) for _ in range(ENGINES)]
        while any(end is None for _, end in simulated):
            assert now <= max(end for _, end in expected), "deadlock, or later than predicted"
            for i, queue in enumerate(dut.queues):
                ctx.set(dut.i[i].valid, 0)
                ctx.set(queue.command.ready, now >= ready[i])
                finishing = bool(under_way[i]) and under_way[i][0][0] <= now
                ctx.set(queue.done, finishing)
                assert ctx.get(queue.active) == bool(under_way[i])
                assert ctx.get(queue.busy) >= ctx.get(queue.active)
                if finishing:
                    _, index = under_way[i].pop(0)
                    assert ctx.get(queue.end)
                    assert ctx.get(queue.end_tag) == index
                    simulated[index][1] = now
                giving[i].append(program[index].post if finishing else 0)
                assert ctx.get(queue.give) == giving[i].popleft()
            if to_push < len(program):
                item = program[to_push]
                port = dut.i[item.engine]
                entry = {"command": {"id": to_push ^ 0x5555}, "tag": to_push}
                ctx.set(port.payload, {**entry, "wait": item.wait, "post": item.post})
                ctx.set(port.valid, 1)
                to_push += ctx.get(port.ready)
            for i, queue in enumerate(dut.queues):
                offered = ctx.get(queue.command.valid)
                index = ctx.get(queue.start_tag)
                # What it waits for is taken once, with the offer.
                takes = program[index].wait if offered and not waits[i] else 0
                assert ctx.get(queue.take) == takes
                started = offered and now >= ready[i]
                waits[i] = offered and not started
                assert ctx.get(queue.start) == started
                if not started:
                    continue
                item = program[index]
                assert ctx.get(queue.command.p.id) == index ^ 0x5555
                simulated[index][0] = now
                ready[i] = now + item.interval
                last = under_way[i][-1][0] if under_way[i] else 0
                under_way[i].append((max(now + item.latency, last + 1), index))
            assert not ctx.get(dut.semaphores.overflow)
            await ctx.tick()
            now += 1
        assert [tuple(item) for item in simulated] == expected
        for queue in dut.queues:
            ctx.set(queue.done, 0)
            assert not ctx.get(queue.busy)

    simulate(dut, testbench, max_cycles=30_000)


async def push(ctx, dut, tag, wait=0):
    ctx.set(dut.i.payload, {"command": {}, "wait": wait, "post": 1 << tag, "tag": tag})
    ctx.set(dut.i.valid, 1)
    await ctx.tick().until(dut.i.ready)
    ctx.set(dut.i.valid, 0)


def test_latency_and_flags():
    dut = EngineQueue(COMMAND)

    async def testbench(ctx):
        ctx.set(dut.command.ready, 1)
        ctx.set(dut.available, 0b01)
        assert not ctx.get(dut.busy)
        await push(ctx, dut, 1, wait=0b11)
        await pause(ctx, PUSH_TO_START + 2)
        assert not ctx.get(dut.command.valid)
        assert ctx.get(dut.waiting)
        assert ctx.get(dut.busy)
        assert not ctx.get(dut.active)
        # The give was in the cycle before, the end one earlier.
        ctx.set(dut.available, 0b11)
        for _ in range(GIVE_TO_START - GIVE_LATENCY - GIVE_TIMING.latency):
            assert not ctx.get(dut.waiting)
            assert not ctx.get(dut.start)
            await ctx.tick()
        assert ctx.get(dut.start)
        assert ctx.get(dut.take) == 0b11
        await ctx.tick()
        assert ctx.get(dut.active)
        # Without a wait: PUSH_TO_START cycles after the push, which was in the last cycle.
        await pause(ctx, START_TO_START)
        await push(ctx, dut, 2)
        for _ in range(PUSH_TO_START - 1):
            assert not ctx.get(dut.start)
            await ctx.tick()
        assert ctx.get(dut.start)
        assert ctx.get(dut.start_tag) == 2
        await ctx.tick()
        assert not ctx.get(dut.waiting)

    simulate(dut, testbench)


def test_holds_depth_instructions():
    dut = EngineQueue(COMMAND)

    async def testbench(ctx):
        for tag in range(QUEUE_DEPTH):
            await push(ctx, dut, tag)
        assert not ctx.get(dut.i.ready)
        ctx.set(dut.command.ready, 1)
        assert not ctx.get(dut.i.ready)
        await pause(ctx, START_TO_PUSH)
        assert ctx.get(dut.i.ready)

    simulate(dut, testbench)


def test_cancel_drops_what_has_not_started():
    dut = EngineQueue(COMMAND)

    async def testbench(ctx):
        ctx.set(dut.command.ready, 1)
        await push(ctx, dut, 1)
        await pause(ctx, PUSH_TO_START)
        ctx.set(dut.command.ready, 0)
        assert ctx.get(dut.active)
        await push(ctx, dut, 2)
        await push(ctx, dut, 3, wait=1)
        await pause(ctx, START_TO_START)
        assert ctx.get(dut.command.valid)
        ctx.set(dut.cancel, 1)
        ctx.set(dut.command.ready, 1)
        ctx.set(dut.available, 1)
        for _ in range(QUEUE_DEPTH):
            assert not ctx.get(dut.command.valid)
            assert not ctx.get(dut.take)
            assert ctx.get(dut.busy)
            await ctx.tick()
        ctx.set(dut.done, 1)
        await ctx.tick()
        ctx.set(dut.done, 0)
        await pause(ctx, GIVE_LATENCY - 1)
        assert ctx.get(dut.give) == 1 << 1
        assert not ctx.get(dut.busy)
        ctx.set(dut.cancel, 0)
        # Works again, with nothing left of before.
        await push(ctx, dut, 4)
        await pause(ctx, PUSH_TO_START - 1)
        assert ctx.get(dut.start)
        assert ctx.get(dut.start_tag) == 4

    simulate(dut, testbench)


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_rejects_depth(depth):
    with pytest.raises(ConfigError, match=f"must be a power of two, not {depth}"):
        EngineQueue(COMMAND, depth=depth)


def test_verilog():
    assert "module top" in convert(EngineQueue(reader_command_layout()))
