# amaranth: UnusedElaboratable=no
import random

import pytest
from amaranth.sim import Simulator

from mla_hw.errors import ConfigError
from rtl_gen.host.uart import MIN_DIVISOR, UartReceiver, UartTransmitter, uart_divisor
from tests.streams import feed

PERIOD = 1e-6
DIVISORS = [4, 5, 8, 16, 27]
#: Bit times of the other side, in ours.
BITS = [0.98, 1, 1.02]
DATA = bytes([0x00, 0xFF, 0x55, 0xAA, 0x01, 0x80, *random.Random(0).randbytes(20)])


async def send(ctx, line, data, bit, stop=1):
    """Send bytes back to back, a bit lasting so many seconds."""
    for byte in data:
        for value in (0, *(byte >> place & 1 for place in range(8)), stop):
            ctx.set(line, value)
            await ctx.delay(bit)
    ctx.set(line, 1)


def receive(divisor, testbench, phase=0.0):
    """Bytes and errors that come out while ``testbench(ctx, dut, bit)`` runs."""
    dut, found = UartReceiver(divisor), []

    async def main(ctx):
        ctx.set(dut.rx, 1)
        # Anywhere between two edges of our clock.
        await ctx.delay((4 + phase) * PERIOD)
        await testbench(ctx, dut, divisor * PERIOD)
        await ctx.delay(12 * divisor * PERIOD)

    async def collect(ctx):
        async for _, _, valid, data, error in ctx.tick().sample(
            dut.o.valid, dut.o.p.data, dut.o.p.error
        ):
            if valid:
                found.append((data, error))

    simulator = Simulator(dut)
    simulator.add_clock(PERIOD)
    simulator.add_testbench(collect, background=True)
    simulator.add_testbench(main)
    simulator.run()
    return found


@pytest.mark.parametrize("phase", [0.05, 0.35, 0.65, 0.95])
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("divisor", DIVISORS)
def test_receives_with_clocks_that_differ(divisor, bits, phase):
    async def testbench(ctx, dut, bit):
        await send(ctx, dut.rx, DATA, bits * bit)

    assert receive(divisor, testbench, phase) == [(byte, 0) for byte in DATA]


@pytest.mark.parametrize("divisor", DIVISORS)
def test_a_missing_stop_bit_is_flagged(divisor):
    async def testbench(ctx, dut, bit):
        await send(ctx, dut.rx, b"\x55", bit, stop=0)
        await ctx.delay(2 * bit)
        await send(ctx, dut.rx, b"\x66", bit)

    assert receive(divisor, testbench) == [(0x55, 1), (0x66, 0)]


def test_a_pulled_cable_is_one_error_and_a_spike_is_none():
    async def testbench(ctx, dut, bit):
        ctx.set(dut.rx, 0)
        await ctx.delay(50 * bit)
        ctx.set(dut.rx, 1)
        await ctx.delay(2 * bit)
        ctx.set(dut.rx, 0)
        await ctx.delay(0.3 * bit)
        await send(ctx, dut.rx, b"", bit)
        await ctx.delay(2 * bit)
        await send(ctx, dut.rx, b"\x66", bit)

    assert receive(16, testbench) == [(0, 1), (0x66, 0)]


@pytest.mark.parametrize("divisor", DIVISORS)
def test_sends_without_a_gap(divisor):
    """Every bit lasts as many clocks as it should, and bytes follow each other at once."""
    dut, levels = UartTransmitter(divisor), []
    expected = [
        bit
        for byte in DATA
        for bit in (0, *(byte >> place & 1 for place in range(8)), 1)
        for _ in range(divisor)
    ]

    async def watch(ctx):
        async for _, _, tx in ctx.tick().sample(dut.tx):
            levels.append(tx)

    async def main(ctx):
        await ctx.tick().repeat(3)
        await feed(ctx, dut.i, DATA)
        await ctx.tick().repeat(12 * divisor)

    simulator = Simulator(dut)
    simulator.add_clock(PERIOD)
    simulator.add_testbench(watch, background=True)
    simulator.add_testbench(main)
    simulator.run()
    start = levels.index(0)
    assert start == 4
    assert levels[start : start + len(expected)] == expected
    assert all(levels[:start] + levels[start + len(expected) :])


def test_divisors():
    assert uart_divisor(48e6, 3_000_000) == 16
    assert uart_divisor(80e6, 3_000_000) == 27
    assert uart_divisor(25e6, 115_200) == 217
    with pytest.raises(ConfigError, match=r"3000000 Bd needs a clock of 12000000 Hz at least"):
        uart_divisor(10e6, 3_000_000)
    with pytest.raises(
        ConfigError, match=r"cannot be made from 25000000 Hz: 8 .* are \+4\.2 % off"
    ):
        uart_divisor(25e6, 3_000_000)
    with pytest.raises(ConfigError, match=r"^0 Bd"):
        uart_divisor(25e6, 0)


@pytest.mark.parametrize("unit", [UartReceiver, UartTransmitter])
def test_rejects_divisor(unit):
    with pytest.raises(ConfigError, match=f"divisor must be {MIN_DIVISOR} or more, not 3"):
        unit(3)
