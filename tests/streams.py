"""Stream drivers and the simulation loop of Amaranth test benches."""

from itertools import cycle

from amaranth.back import verilog
from amaranth.sim import Simulator

__all__ = ["convert", "drain", "feed", "get", "pause", "put", "simulate"]

CLOCK_PERIOD = 1e-6


async def pause(ctx, cycles):
    """Wait ``cycles`` cycles; 0 returns at once."""
    if cycles:
        await ctx.tick().repeat(cycles)


async def put(ctx, port, payload):
    """Offer one payload until it is taken."""
    ctx.set(port.payload, payload)
    ctx.set(port.valid, 1)
    await ctx.tick().until(port.ready)
    ctx.set(port.valid, 0)


async def get(ctx, port):
    """Take one payload."""
    ctx.set(port.ready, 1)
    (payload,) = await ctx.tick().sample(port.payload).until(port.valid)
    ctx.set(port.ready, 0)
    return payload


async def feed(ctx, port, payloads, pauses=(0,)):
    """Offer all payloads, waiting before each for the next of the repeating ``pauses``."""
    for payload, cycles in zip(payloads, cycle(pauses)):
        await pause(ctx, cycles)
        await put(ctx, port, payload)


async def drain(ctx, port, count, pauses=(0,)):
    """Take ``count`` payloads, waiting before each for the next of the repeating ``pauses``."""
    payloads = []
    for _, cycles in zip(range(count), cycle(pauses)):
        await pause(ctx, cycles)
        payloads.append(await get(ctx, port))
    return payloads


def simulate(dut, *testbenches, background=(), max_cycles=10_000):
    """Run every test bench to its end; ``max_cycles`` cycles are an error.

    Test benches in ``background`` end with the others.
    """

    async def watchdog(ctx):
        await ctx.delay(max_cycles * CLOCK_PERIOD)
        raise TimeoutError(f"{type(dut).__name__} still busy after {max_cycles} cycles")

    sim = Simulator(dut)
    sim.add_clock(CLOCK_PERIOD)
    for testbench in testbenches:
        sim.add_testbench(testbench)
    for testbench in (*background, watchdog):
        sim.add_testbench(testbench, background=True)
    sim.run()


def convert(dut):
    """Return the unit's Verilog."""
    return verilog.convert(dut, emit_src=False)
