from itertools import accumulate

import numpy as np
import pytest

from mla_hw.cycles.reader import (
    BEAT_TO_ADDRESS,
    BLOCK_INTERVAL,
    BURST_INTERVAL,
    COMMAND_TO_ADDRESS,
    COMMANDS_UNDER_WAY,
    CREDIT_TO_ADDRESS,
    DATA_TO_DONE,
    RECEIVE_LATENCY,
    Path,
    ReadCommand,
    fifo_depth,
)
from rtl_gen.axi import AXI4_SIGNALS, axi4_signature
from rtl_gen.units.reader import Reader
from tests.axi import AxiMemory, Pauses
from tests.configs import ODD, SMALL, WIDE, small_core
from tests.reader_bench import MEMORY_BYTES, Bench, Run, commands_for, encode
from tests.streams import convert, pause, put, simulate

CONFIGS = {
    "small": SMALL,
    "odd": ODD,
    "wide": WIDE,
    "shallow": small_core(weight_fifo_depth=16, ring_blocks=2),
    "wide_port": small_core(port_bytes=32, kv_lora_rank=100, outstanding_reads=6),
    "many_reads": small_core(port_bytes=4, outstanding_reads=11, weight_fifo_depth=256),
}
LATENCIES = {"short": 1, "long": 32}
HOLDS = {"free": [1], "late": [1, 60, 1, 1, 3, 250, 2, 1, 1]}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("latency", LATENCIES.values(), ids=LATENCIES)
@pytest.mark.parametrize("holds", HOLDS.values(), ids=HOLDS)
def test_cycles_follow_the_model(config, latency, holds):
    rng = np.random.default_rng(latency)
    commands, paddings = commands_for(config, rng, 16)
    offers = rng.permutation([0] * 7 + [1, 2, 40, 150]).tolist()
    run = Run(config, commands, paddings, offers=offers, holds=holds, latency=latency)
    run.check_data()
    times, model = run.predict()

    bursts = [burst for instruction in times for burst in instruction.bursts]
    assert [burst.offered for burst in run.bursts] == [burst.address for burst in bursts]
    assert [(burst.cycles[0], burst.cycles[-1]) for burst in run.bursts] == [
        (burst.first, burst.last) for burst in bursts
    ]
    assert run.starts == [instruction.start for instruction in times]
    assert run.ends == [instruction.end for instruction in times]
    assert [cycle for cycle, *_ in run.weights] == model.arrivals[Path.WEIGHTS]
    assert run.memory.most_reads <= config.outstanding_reads


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("seed", range(2))
def test_data_with_a_random_memory(config, seed):
    rng = np.random.default_rng(seed)
    commands, paddings = commands_for(config, rng, 12)
    pauses = Pauses(np.random.default_rng(seed))
    run = Run(config, commands, paddings, holds=[1, 9, 2], latency=5, pauses=pauses)
    run.check_data()
    assert len(run.starts) == len(run.ends) == len(commands)
    assert run.memory.most_reads <= config.outstanding_reads


def test_latency():
    """Three blocks of bursts with nothing in their way."""
    config = small_core(port_bytes=4, outstanding_reads=8)
    tile = ReadCommand("TILE", address=13 * config.port_bytes, tokens=3 * config.columns)
    run = Run(config, [tile], [0], latency=50)
    lengths = [burst.beats for burst in run.bursts]
    assert lengths == [3, 16, 5, 11, 13, 3, 16, 5]
    assert sum(lengths) == 3 * config.columns * config.row_beats
    first = run.starts[0] + COMMAND_TO_ADDRESS
    opens_block = [0, 0, 0, 1, 0, 1, 0, 0]
    assert [burst.offered for burst in run.bursts] == [
        first + BURST_INTERVAL * index + (BLOCK_INTERVAL - BURST_INTERVAL) * blocks
        for index, blocks in enumerate(accumulate(opens_block))
    ]
    assert run.bursts[0].cycles[0] == first + 50
    assert run.ends == [run.bursts[-1].cycles[-1] + DATA_TO_DONE]


def test_bursts_under_way():
    """The fifth burst waits for the end of the first."""
    config = small_core(weight_fifo_depth=128)
    run = Run(config, [ReadCommand("STREAM", beats=80)], [0], latency=100)
    offered = [burst.offered for burst in run.bursts]
    assert offered[3] < offered[0] + 100
    assert offered[4] == run.bursts[0].cycles[-1] + BEAT_TO_ADDRESS
    assert run.memory.most_reads == config.outstanding_reads


def test_weights_wait_for_room():
    config = small_core(weight_fifo_depth=16)
    run = Run(config, [ReadCommand("STREAM", beats=17)], [0], holds=[40], latency=3)
    assert [burst.beats for burst in run.bursts] == [16, 1]
    assert run.bursts[1].offered == run.weights[0][0] + 40 + CREDIT_TO_ADDRESS


def test_throughput():
    """One beat per cycle, with a latency that the bursts under way cover."""
    config = small_core(port_bytes=4, weight_fifo_depth=128)
    run = Run(config, [ReadCommand("STREAM", beats=320)], [0], latency=32)
    cycles = [cycle for burst in run.bursts for cycle in burst.cycles]
    assert cycles == [*range(cycles[0], cycles[0] + 320)]
    assert [cycle for cycle, *_ in run.weights] == [cycle + RECEIVE_LATENCY for cycle in cycles]


@pytest.mark.parametrize("port_bytes", [4, 8])
def test_throughput_of_latents(port_bytes):
    """One word of C bytes per cycle, also where a beat holds several."""
    config = small_core(
        port_bytes=port_bytes, columns=4, ring_blocks=64, kv_lora_rank=22, outstanding_reads=8
    )
    tile = ReadCommand("TILE", address=0, tokens=16)
    run = Run(config, [tile] * 12, [0] * 12, latency=32)
    run.check_data()
    cycles = [cycle for cycle, _ in run.latents]
    assert cycles == [*range(cycles[0], cycles[0] + 12 * 16 * config.row_bytes // config.columns)]


def test_tiles_that_nobody_takes_wait_for_room_alone():
    """As many as FIFO and width adapter have room for are done, and more accepted."""
    config = small_core(columns=4, ring_blocks=64, outstanding_reads=8)
    dut = Bench(config)
    memory = AxiMemory(
        dut.axi, bytearray(MEMORY_BYTES), port_bytes=config.port_bytes, latency=5, pauses=Pauses()
    )
    rows = (fifo_depth(config, Path.LATENTS) + 1) // config.row_beats
    assert rows > COMMANDS_UNDER_WAY
    seen = {"accepted": 0, "done": 0}

    async def testbench(ctx):
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        ctx.set(dut.command.payload, encode(config, ReadCommand("TILE", tokens=1), 0))
        ctx.set(dut.command.valid, 1)
        for _ in range(1000):
            seen["accepted"] += ctx.get(dut.command.ready)
            seen["done"] += ctx.get(dut.done)
            await ctx.tick()

    simulate(dut, testbench, background=[memory.reads])
    assert seen["done"] == rows
    assert seen["accepted"] > rows


def test_instructions_under_way():
    """The ninth instruction waits for the end of the first."""
    config = small_core(outstanding_reads=16)
    commands = [ReadCommand("STREAM", beats=1)] * (COMMANDS_UNDER_WAY + 1)
    run = Run(config, commands, [0] * len(commands), latency=100)
    assert run.starts[-1] == run.ends[0] + 1
    assert run.starts[-2] < run.ends[0]


def test_stream_restarts_and_error_is_sticky():
    config, port = SMALL, SMALL.port_bytes
    dut = Bench(config)
    content = bytearray(range(256)) * 16
    errors = {1024 + 16 * port, 64}
    memory = AxiMemory(dut.axi, content, port_bytes=port, latency=3, errors=errors)
    words = []

    async def stream_beats(ctx, beats):
        await put(ctx, dut.command, encode(config, ReadCommand("STREAM", beats=beats), 0))
        while not ctx.get(dut.done):
            if ctx.get(dut.weights.valid):
                words.append(ctx.get(dut.weights.p.data) & 0xFF)
            await ctx.tick()
        await ctx.tick()

    async def restart(ctx, base):
        ctx.set(dut.weights_base, base)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)

    async def testbench(ctx):
        ctx.set(dut.weights_freed, 0)
        await restart(ctx, 1024)
        await stream_beats(ctx, 3)
        assert not ctx.get(dut.error)
        await stream_beats(ctx, 20)
        assert (ctx.get(dut.error), ctx.get(dut.error_address)) == (1, 1024 + 16 * port)
        await restart(ctx, 64)
        assert not ctx.get(dut.error)
        await stream_beats(ctx, 2)
        assert (ctx.get(dut.error), ctx.get(dut.error_address)) == (1, 64)

    simulate(dut, testbench, background=[memory.reads])
    assert words == [beat * port % 256 for beat in range(23)] + [64, 64 + port]


@pytest.mark.parametrize("after", [0, 1, 2, 7, 40, 150])
def test_stop_leaves_the_bus_idle(after):
    """What has been offered comes to its end, nothing is offered any more."""
    config = SMALL
    dut = Bench(config)
    memory = AxiMemory(
        dut.axi,
        bytearray(MEMORY_BYTES),
        port_bytes=config.port_bytes,
        latency=20,
        pauses=Pauses(np.random.default_rng(after)),
    )

    async def testbench(ctx):
        ctx.set(dut.tile.ready, 1)
        ctx.set(dut.latents.ready, 1)
        for _ in range(2):
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            await put(ctx, dut.command, encode(config, ReadCommand("STREAM", beats=64), 0))
            await pause(ctx, after)
            ctx.set(dut.stop, 1)
            await ctx.tick()
            for _ in range(400):
                if not ctx.get(dut.on_bus):
                    break
                await ctx.tick()
            await ctx.tick()  # for the memory to note what has just come
            bursts = len(memory.read_bursts)
            assert all(len(burst.cycles) == burst.beats for burst in memory.read_bursts)
            for _ in range(100):
                assert not ctx.get(dut.on_bus)
                assert not ctx.get(dut.axi.ar.valid)
                await ctx.tick()
            assert len(memory.read_bursts) == bursts
            ctx.set(dut.stop, 0)
        # Room and blocks are there again: a tile and a stream of any length go through.
        ctx.set(dut.weights_freed, 0)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        await put(ctx, dut.command, encode(config, ReadCommand("STREAM", beats=64), 0))
        await ctx.tick().until(dut.done)

    simulate(dut, testbench, background=[memory.reads])


@pytest.mark.parametrize("name", ["odd", "wide_port"])
def test_verilog_port_names(name):
    text = convert(Reader(CONFIGS[name]))
    for name in ("axi__ar__addr", "axi__ar__len", "axi__r__data"):
        assert name in text


def test_standard_names_are_complete():
    signature = axi4_signature(data_bits=64)
    names = {".".join(map(str, path)) for path, _, _ in signature.flatten(signature.create())}
    assert names == set(AXI4_SIGNALS)
    assert AXI4_SIGNALS["ar.addr"] == "ARADDR"
