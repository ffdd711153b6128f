import random

import pytest

from mla_hw.cycles.registers import READ_LATENCY, WRITE_LATENCY, WRITE_TO_ACTION
from mla_hw.hardware import CoreConfig
from mla_hw.program.instructions import FIELDS, INSTRUCTION_WORDS
from mla_hw.registers import (
    COUNTERS,
    IDENTITY,
    MAP_VERSION,
    POSITION_BITS,
    REGISTER_ADDRESS_BITS,
    Access,
    ErrorCode,
    register,
    registers,
)
from rtl_gen.axi import Response
from rtl_gen.units.registers import Registers
from tests.axi_lite import read, read_register, write, write_register
from tests.configs import ODD, SEVERAL, SMALL, WIDE
from tests.streams import convert, pause, simulate

HASH = 0x0123_4567_89AB_CDEF
START, ABORT, LATCH = 1, 2, 4
DONE, ERROR = 1, 2
RUNNING, STATUS_DONE, STATUS_ERROR = 1, 2, 4


def make(config: CoreConfig = SMALL) -> Registers:
    return Registers(config, config_hash=HASH)


async def prepare(ctx, dut, *, position=3, capacity=4, program_beats=1):
    """Set parameters that allow a start."""
    await write_register(ctx, dut.bus, "position", position)
    await write_register(ctx, dut.bus, "capacity", capacity)
    await write_register(ctx, dut.bus, "program_beats", program_beats)


async def pulse(ctx, port):
    ctx.set(port, 1)
    await ctx.tick()
    ctx.set(port, 0)


@pytest.mark.parametrize(
    "config", [SMALL, ODD, WIDE, SEVERAL], ids=["small", "odd", "wide", "query_rows"]
)
def test_reads_after_reset(config):
    dut = make(config)

    async def testbench(ctx):
        expected = {item.name: item.reset for item in registers(config.query_rows)}
        expected |= {
            "identity": IDENTITY,
            "version": MAP_VERSION,
            "hash": HASH,
            "shape": config.rows
            | config.columns << 8
            | config.accumulator_lanes << 16
            | config.port_bytes << 24,
            "limits": config.tile_tokens | config.query_rows << 9 | config.program_depth << 16,
        }
        for name, value in expected.items():
            assert await read_register(ctx, dut.bus, name) == value, name

    simulate(dut, testbench)


@pytest.mark.parametrize("config", [SMALL, SEVERAL], ids=["small", "query_rows"])
def test_reads_back_what_is_written(config):
    """Random writes with random strobes change exactly the bits that are there."""
    dut = make(config)
    rng = random.Random(0)
    items = registers(config.query_rows)
    read_write = [item for item in items if item.access in (Access.RW, Access.RW_IDLE)]

    async def testbench(ctx):
        model = {item.name: item.reset for item in read_write}
        for step in range(300):
            item = rng.choice(read_write)
            value = rng.choice([0, 0xFFFF_FFFF, rng.getrandbits(32)])
            strobe = rng.choice([0xF, rng.randrange(16)])
            assert await write(ctx, dut.bus, item.address, value, strobe) == Response.OKAY
            mask = sum(0xFF << 8 * i for i in range(4) if strobe >> i & 1) & item.mask
            model[item.name] = (model[item.name] & ~mask) | (value & mask)
            other = rng.choice(read_write).name if step % 2 else item.name
            assert await read_register(ctx, dut.bus, other) == model[other], other
        others = range(1, config.query_rows)
        assert ctx.get(dut.position) == model["position"] + sum(
            model[f"position_{row}"] << POSITION_BITS * row for row in others
        )
        assert ctx.get(dut.program_beats) == model["program_beats"]
        bases = [*FIELDS["base"].choices, *(f"cache_{row}" for row in others)]
        for i, name in enumerate(bases):
            assert ctx.get(dut.bases[i]) == model[f"base_{name}"]

    simulate(dut, testbench, max_cycles=20_000)


@pytest.mark.parametrize("config", [SMALL, SEVERAL], ids=["small", "query_rows"])
def test_refuses_what_is_not_in_the_map(config):
    dut = make(config)
    items = registers(config.query_rows)
    addresses = {item.address + 4 * i for item in items for i in range(item.words)}

    async def testbench(ctx):
        for address in range(0, 1 << REGISTER_ADDRESS_BITS, 4):
            _, response = await read(ctx, dut.bus, address)
            assert (response == Response.OKAY) == (address in addresses), hex(address)
        writable = {
            item.address for item in items if item.access not in (Access.RO, Access.COUNTER)
        }
        for address in range(0, 1 << REGISTER_ADDRESS_BITS, 4):
            response = await write(ctx, dut.bus, address, 0)
            assert response == (Response.OKAY if address in writable else Response.SLVERR)
        assert await write(ctx, dut.bus, 0, 0xFFFF_FFFF) == Response.SLVERR
        assert await read_register(ctx, dut.bus, "identity") == IDENTITY

    simulate(dut, testbench, max_cycles=20_000)


def test_parameters_are_locked_while_running():
    dut = make(SEVERAL)

    items = registers(SEVERAL.query_rows)
    read_write = [item for item in items if item.access in (Access.RW, Access.RW_IDLE)]

    async def testbench(ctx):
        ctx.set(dut.running, 1)
        for item in read_write:
            response = await write(ctx, dut.bus, item.address, 0xFFFF_FFFF)
            locked = item.access is Access.RW_IDLE
            assert response == (Response.SLVERR if locked else Response.OKAY)
            value = await read_register(ctx, dut.bus, item.name)
            assert value == (item.reset if locked else item.mask)

    simulate(dut, testbench)


def test_latency():
    """The documented cycles from an accepted address to the answer, and to the action."""
    dut = make()
    bus = dut.bus

    async def testbench(ctx):
        await prepare(ctx, dut)
        ctx.set(bus.ar.addr, register("identity").address)
        ctx.set(bus.ar.valid, 1)
        assert ctx.get(bus.ar.ready)
        for _ in range(READ_LATENCY):
            assert not ctx.get(bus.r.valid)
            await ctx.tick()
            ctx.set(bus.ar.valid, 0)
        # The answer waits, and nothing else is accepted meanwhile.
        ctx.set(bus.ar.valid, 1)
        for _ in range(5):
            assert ctx.get(bus.r.valid)
            assert ctx.get(bus.r.data) == IDENTITY
            assert not ctx.get(bus.ar.ready)
            await ctx.tick()
        ctx.set(bus.r.ready, 1)
        ctx.set(bus.ar.valid, 0)
        await ctx.tick()
        ctx.set(bus.r.ready, 0)

        ctx.set(bus.aw.addr, register("control").address)
        ctx.set(bus.w.data, START)
        ctx.set(bus.w.strb, 0xF)
        ctx.set(bus.aw.valid, 1)
        await ctx.tick().repeat(3)
        assert not ctx.get(bus.aw.ready)
        ctx.set(bus.w.valid, 1)
        assert ctx.get(bus.aw.ready)
        assert ctx.get(bus.w.ready)
        for cycle in range(WRITE_LATENCY + 3):
            assert ctx.get(bus.b.valid) == (cycle >= WRITE_LATENCY)
            assert ctx.get(dut.start) == (cycle == WRITE_TO_ACTION)
            await ctx.tick()
            ctx.set(bus.aw.valid, 0)
            ctx.set(bus.w.valid, 0)

    simulate(dut, testbench)


def test_start_to_done_with_interrupt():
    dut = make()

    async def testbench(ctx):
        bus = dut.bus
        await prepare(ctx, dut)
        await write_register(ctx, bus, "control", START)
        await pulse(ctx, dut.halted)
        assert await read_register(ctx, bus, "status") == STATUS_DONE
        # The event is kept before it is enabled.
        assert not ctx.get(dut.interrupt)
        await write_register(ctx, bus, "interrupt_enable", DONE)
        assert ctx.get(dut.interrupt)
        assert await read_register(ctx, bus, "interrupt_status") == DONE
        await write_register(ctx, bus, "interrupt_status", ERROR)
        assert ctx.get(dut.interrupt)
        await write_register(ctx, bus, "interrupt_status", DONE)
        assert not ctx.get(dut.interrupt)
        assert await read_register(ctx, bus, "status") == STATUS_DONE
        await write_register(ctx, bus, "control", START)
        ctx.set(dut.running, 1)
        assert await read_register(ctx, bus, "status") == RUNNING
        await pulse(ctx, dut.halted)
        await ctx.tick()
        assert ctx.get(dut.interrupt)

    simulate(dut, testbench)


def test_error_of_a_run():
    dut = make()
    error = {"code": ErrorCode.WRITE, "program_counter": 77, "address": 0xFEDC_BA98}

    async def testbench(ctx):
        bus = dut.bus
        await prepare(ctx, dut)
        await write_register(ctx, bus, "interrupt_enable", ERROR)
        await write_register(ctx, bus, "control", START)
        ctx.set(dut.running, 1)
        ctx.set(dut.error, error)
        await pulse(ctx, dut.error.en)
        assert await read_register(ctx, bus, "status") == RUNNING | STATUS_ERROR
        assert not ctx.get(dut.interrupt)
        await pulse(ctx, dut.halted)
        ctx.set(dut.running, 0)
        await ctx.tick()
        assert ctx.get(dut.interrupt)
        assert await read_register(ctx, bus, "status") == STATUS_ERROR
        assert await read_register(ctx, bus, "interrupt_status") == ERROR
        assert await read_register(ctx, bus, "error_code") == ErrorCode.WRITE
        assert await read_register(ctx, bus, "error_program_counter") == 77
        assert await read_register(ctx, bus, "error_address") == 0xFEDC_BA98
        await write_register(ctx, bus, "control", START)
        assert await read_register(ctx, bus, "status") == 0
        assert await read_register(ctx, bus, "error_code") == ErrorCode.NONE
        # Halt and error in the same cycle are an error.
        ctx.set(dut.halted, 1)
        await pulse(ctx, dut.error.en)
        ctx.set(dut.halted, 0)
        assert await read_register(ctx, bus, "status") == STATUS_ERROR
        assert await read_register(ctx, bus, "interrupt_status") == ERROR

    simulate(dut, testbench)


def test_start_and_abort_need_the_right_state():
    dut = make()
    pulses = []

    async def monitor(ctx):
        async for _, _, start, abort in ctx.tick().sample(dut.start, dut.abort):
            if start or abort:
                pulses.append((start, abort))

    async def testbench(ctx):
        bus = dut.bus
        await prepare(ctx, dut)
        await write_register(ctx, bus, "control", ABORT)
        await ctx.tick()
        assert pulses == []
        await write_register(ctx, bus, "control", START)
        await ctx.tick()
        assert pulses == [(1, 0)]
        ctx.set(dut.running, 1)
        await write_register(ctx, bus, "control", START)
        await ctx.tick()
        assert pulses == [(1, 0)]
        await write_register(ctx, bus, "control", ABORT)
        await ctx.tick()
        assert pulses == [(1, 0), (0, 1)]
        assert await write(ctx, bus, register("control").address, ABORT, 0b1110) == Response.OKAY
        await ctx.tick()
        assert len(pulses) == 2
        assert await read_register(ctx, bus, "control") == 0

    simulate(dut, testbench, background=[monitor])


def largest_program(config):
    return -(-config.program_depth * INSTRUCTION_WORDS * 4 // config.port_bytes)


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"position": 4, "capacity": 4}, ErrorCode.POSITION),
        ({"position": 5, "capacity": 4}, ErrorCode.POSITION),
        ({"position": 0, "capacity": 0}, ErrorCode.POSITION),
        ({"position": 3, "capacity": 4}, None),
        ({"position": (1 << POSITION_BITS) - 1, "capacity": 1 << POSITION_BITS}, None),
        ({"program_beats": 0}, ErrorCode.PROGRAM),
        ({"program_beats": largest_program(SMALL)}, None),
        ({"program_beats": largest_program(SMALL) + 1}, ErrorCode.PROGRAM),
    ],
)
def test_rejects_a_start_with_wrong_parameters(parameters, code):
    dut = make()
    started = []

    async def monitor(ctx):
        async for _, _, start in ctx.tick().sample(dut.start):
            started.append(start)

    async def testbench(ctx):
        bus = dut.bus
        await prepare(ctx, dut, **parameters)
        await write_register(ctx, bus, "control", START)
        await ctx.tick()
        assert sum(started) == (code is None)
        assert await read_register(ctx, bus, "error_code") == (code or ErrorCode.NONE)
        assert await read_register(ctx, bus, "status") == (STATUS_ERROR if code else 0)
        assert await read_register(ctx, bus, "interrupt_status") == (ERROR if code else 0)

    simulate(dut, testbench, background=[monitor])


@pytest.mark.parametrize("row", range(1, SEVERAL.query_rows))
def test_rejects_a_start_with_a_wrong_position_of_any_row(row):
    dut = make(SEVERAL)

    async def testbench(ctx):
        await prepare(ctx, dut, position=3, capacity=4)
        for position, code in ((4, ErrorCode.POSITION), (3, ErrorCode.NONE)):
            await write_register(ctx, dut.bus, f"position_{row}", position)
            await write_register(ctx, dut.bus, "control", START)
            assert await read_register(ctx, dut.bus, "error_code") == code

    simulate(dut, testbench)


def test_counters():
    """Each counts its own event; cycles count while running; a latch holds all at once."""
    dut = make()
    rng = random.Random(5)
    counts = dict.fromkeys(COUNTERS, 0)

    async def count(ctx, cycles):
        for _ in range(cycles):
            events = {name: rng.randrange(2) for name in COUNTERS if name != "cycles"}
            ctx.set(dut.events, events)
            ctx.set(dut.running, rng.random() < 0.7)
            for name, event in {**events, "cycles": ctx.get(dut.running)}.items():
                counts[name] += event
            await ctx.tick()
        ctx.set(dut.events, {})
        ctx.set(dut.running, 0)

    async def testbench(ctx):
        bus = dut.bus
        await prepare(ctx, dut)
        await count(ctx, 10)
        await pulse(ctx, dut.clear)
        counts.update(dict.fromkeys(COUNTERS, 0))
        await count(ctx, 200)
        # Read at once: the answer waits for the sample.
        await write_register(ctx, bus, "control", LATCH)
        expected = dict(counts)
        for name in reversed(COUNTERS):
            assert await read_register(ctx, bus, name) == expected[name], name
        await count(ctx, 50)
        assert await read_register(ctx, bus, "cycles") == expected["cycles"]
        await write_register(ctx, bus, "control", LATCH)
        for name in COUNTERS:
            assert await read_register(ctx, bus, name) == counts[name], name
        # Latch and start together: the sample is that of the run before.
        await write_register(ctx, bus, "control", LATCH | START)
        await pulse(ctx, dut.clear)
        assert await read_register(ctx, bus, "array_steps") == counts["array_steps"]
        await write_register(ctx, bus, "control", LATCH)
        assert await read_register(ctx, bus, "array_steps") == 0

    simulate(dut, testbench)


def test_bus_with_pauses():
    """Address and data of a write in any order, answers taken late."""
    dut = make()
    rng = random.Random(2)

    async def channel(ctx, port, delay, members):
        await pause(ctx, delay)
        for name, value in members.items():
            ctx.set(getattr(port, name), value)
        ctx.set(port.valid, 1)
        await ctx.tick().until(port.ready)
        ctx.set(port.valid, 0)

    values = [(rng.choice(FIELDS["base"].choices), rng.getrandbits(32)) for _ in range(40)]
    delays = [[rng.choice([0, 0, 1, 5]) for _ in values] for _ in range(3)]

    async def addresses(ctx):
        for (name, _), delay in zip(values, delays[0], strict=True):
            await channel(ctx, dut.bus.aw, delay, {"addr": register(f"base_{name}").address})

    async def words(ctx):
        for (_, value), delay in zip(values, delays[1], strict=True):
            await channel(ctx, dut.bus.w, delay, {"data": value, "strb": 0xF})

    async def answers(ctx):
        for (name, value), delay in zip(values, delays[2], strict=True):
            await ctx.tick().until(dut.bus.b.valid)
            i = FIELDS["base"].choices.index(name)
            assert ctx.get(dut.bases[i]) == value
            await pause(ctx, delay)
            assert ctx.get(dut.bus.b.valid)
            ctx.set(dut.bus.b.ready, 1)
            await ctx.tick()
            ctx.set(dut.bus.b.ready, 0)

    simulate(dut, addresses, words, answers)


def test_verilog():
    assert "bus__ar__valid" in convert(make())
