"""The reset of the whole core, seen from its memory port."""

import pytest

from mla_hw.cycles.dispatcher import RESTART_CYCLES
from rtl_gen.accelerator import Accelerator
from tests.axi_lite import write_register
from tests.configs import SMALL
from tests.streams import simulate

PROGRAM = 0x4000
BURSTS = 3
BURST_BEATS = 16


async def start(ctx, dut):
    await write_register(ctx, dut.control, "base_program", PROGRAM)
    await write_register(ctx, dut.control, "capacity", 4)
    await write_register(ctx, dut.control, "program_beats", BURSTS * BURST_BEATS)
    await write_register(ctx, dut.control, "control", 1)


async def addresses(ctx, dut, count):
    """Take read addresses until there are so many."""
    found = []
    ctx.set(dut.memory.ar.ready, 1)
    while len(found) < count:
        (address,) = await ctx.tick().sample(dut.memory.ar.addr).until(dut.memory.ar.valid)
        found.append(address)
    ctx.set(dut.memory.ar.ready, 0)
    return found


@pytest.mark.parametrize("taken", [0, 1])
def test_nothing_is_offered_in_a_reset(taken):
    """A reset of one to four cycles within the load of the program, and a whole load after it."""
    dut = Accelerator(SMALL)
    first = [PROGRAM + BURST_BEATS * SMALL.port_bytes * i for i in range(BURSTS)]
    loads = []

    async def testbench(ctx):
        for cycles in (1, 2, 3, 4):
            await start(ctx, dut)
            await addresses(ctx, dut, taken)
            await ctx.tick().until(dut.memory.ar.valid)
            ctx.set(dut.rst, 1)
            for cycle in range(RESTART_CYCLES):
                if cycle == cycles:
                    ctx.set(dut.rst, 0)
                await ctx.delay(0)
                for channel in (dut.memory.ar, dut.memory.aw, dut.memory.w):
                    assert not ctx.get(channel.valid), (cycles, cycle)
                await ctx.tick()
            await start(ctx, dut)
            loads.append(await addresses(ctx, dut, BURSTS))
            ctx.set(dut.rst, 1)
            await ctx.tick()
            ctx.set(dut.rst, 0)
            await ctx.tick().repeat(RESTART_CYCLES)

    simulate(dut, testbench, max_cycles=4000)
    assert loads == [first] * 4
