import numpy as np
import pytest
from amaranth.hdl import Module, ResetInserter
from amaranth.lib import stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from mla_hw.cycles.output_buffer import OUTPUT_READ_LATENCY
from mla_hw.cycles.writer import (
    WRITER_ADDRESS_LATENCY,
    WRITER_DATA_LATENCY,
    WRITER_DONE_LATENCY,
    WRITER_RESTART,
    split_bursts,
    store_cycles,
)
from mla_hw.program.instructions import FIELDS
from rtl_gen.axi import axi4_write_signature
from rtl_gen.layouts import writer_command_layout
from rtl_gen.pipeline import delay
from rtl_gen.units.writer import Writer
from tests.axi import AxiMemory, Pauses
from tests.configs import ODD, SMALL, WIDE, small_core
from tests.streams import convert, put, simulate

CONFIGS = {
    "small": SMALL,
    "odd": ODD,
    "wide": WIDE,
    "one_beat_row": small_core(port_bytes=64, output_words=40),
}
TARGETS = {name: FIELDS["target"].choices.index(name) for name in ("row", "output")}
MEMORY_BYTES = 16384


class Bench(Component):
    """Writer with its two buffers."""

    def __init__(self, config, row, output):
        self.config, self.contents = config, {"row": row, "output": output}
        super().__init__({
            "command": In(stream.Signature(writer_command_layout())),
            "axi": Out(axi4_write_signature(data_bits=8 * config.port_bytes)),
            "restart": In(1),
            "done": Out(1),
            "busy": Out(1),
            "error": Out(1),
            "error_address": Out(32),
        })

    def elaborate(self, platform):
        m = Module()
        writer = Writer(self.config)
        m.submodules.writer = ResetInserter(self.restart)(writer)
        connect(m, flipped(self.command), writer.command)
        for channel in ("aw", "w", "b"):
            connect(m, getattr(writer.axi, channel), flipped(getattr(self.axi, channel)))
        m.d.comb += [
            self.done.eq(writer.done),
            self.busy.eq(writer.busy),
            self.error.eq(writer.error),
            self.error_address.eq(writer.error_address),
        ]
        for name, words in self.contents.items():
            m.submodules[name] = storage = Memory(
                shape=8 * self.config.port_bytes, depth=len(words), init=words
            )
            read, port = storage.read_port(), getattr(writer, name)
            data = delay(m, read.data, OUTPUT_READ_LATENCY - 1, name)
            m.d.comb += [read.addr.eq(port.address), port.data.eq(data)]
        return m


def words_of(rng, config, count):
    return [int.from_bytes(rng.bytes(config.port_bytes), "little") for _ in range(count)]


def make(config, seed=0, **memory):
    rng = np.random.default_rng(seed)
    bench = Bench(
        config, words_of(rng, config, config.row_beats), words_of(rng, config, config.output_words)
    )
    content = bytearray(rng.bytes(MEMORY_BYTES))
    return bench, AxiMemory(bench.axi, content, port_bytes=config.port_bytes, **memory), rng


def expected_memory(bench, content, stores):
    content = bytearray(content)
    for target, beat, beats in stores:
        data = b"".join(
            word.to_bytes(bench.config.port_bytes, "little")
            for word in bench.contents[target][:beats]
        )
        start = beat * bench.config.port_bytes
        content[start : start + len(data)] = data
    return content


async def store(ctx, bench, target, beat, beats):
    """Execute one STORE; return the cycles from its start to its end."""
    payload = {"target": TARGETS[target], "address": beat * bench.config.port_bytes, "beats": beats}
    await put(ctx, bench.command, payload)
    cycles = 1
    while not ctx.get(bench.done):
        assert ctx.get(bench.busy)
        await ctx.tick()
        cycles += 1
    assert not ctx.get(bench.busy)
    return cycles


def stores_for(config, rng):
    """Every alignment within a burst, both targets, single beats and whole buffers."""
    lengths = {"row": config.row_beats, "output": config.output_words}
    stores = [
        (target, int(rng.integers(3)) * 16 + offset, int(rng.integers(1, lengths[target] + 1)))
        for offset in range(16)
        for target in ("row", "output")
    ]
    return [*stores, ("row", 0, 1), ("row", 3, lengths["row"]), ("output", 15, lengths["output"])]


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("random", [False, True], ids=["fixed", "random"])
def test_writes_the_buffer(config, random):
    pauses = Pauses(np.random.default_rng(5)) if random else None
    bench, memory, rng = make(config, pauses=pauses, latency=3)
    stores = stores_for(config, rng)
    expected = expected_memory(bench, memory.content, stores)

    async def testbench(ctx):
        for target, beat, beats in stores:
            cycles = await store(ctx, bench, target, beat, beats)
            if not random:
                assert cycles == store_cycles(beats, 3)
        assert not ctx.get(bench.error)

    simulate(bench, testbench, background=[memory.writes], max_cycles=20_000)
    assert memory.content == expected
    lengths = [beats for _, beat, count in stores for beats in split_bursts(beat, count)]
    assert [burst.beats for burst in memory.write_bursts] == lengths


def test_latency_and_throughput():
    bench, memory, _ = make(SMALL, latency=7)
    start = 2

    async def testbench(ctx):
        await ctx.tick().repeat(start)
        await store(ctx, bench, "output", 9, 30)
        # The next command is accepted in the cycle of `done`.
        await put(ctx, bench.command, {"target": TARGETS["row"], "address": 0, "beats": 1})
        await ctx.tick().until(bench.done)

    simulate(bench, testbench, background=[memory.writes])
    bursts = memory.write_bursts
    assert [burst.offered for burst in bursts[:3]] == [
        start + WRITER_ADDRESS_LATENCY + index for index in range(3)
    ]
    first = start + WRITER_DATA_LATENCY
    assert [cycle for burst in bursts[:3] for cycle in burst.cycles] == [*range(first, first + 30)]
    done = bursts[2].answered + WRITER_DONE_LATENCY
    assert done == start + store_cycles(30, 7)
    assert bursts[3].offered == done + WRITER_RESTART + WRITER_ADDRESS_LATENCY


def test_done_waits_for_the_last_response():
    """Data are long gone when the response comes."""
    bench, memory, _ = make(SMALL, latency=200)

    async def testbench(ctx):
        assert await store(ctx, bench, "row", 0, 1) == store_cycles(1, 200) > 200

    simulate(bench, testbench, background=[memory.writes])


def test_reports_the_first_error():
    port = SMALL.port_bytes
    bench, memory, _ = make(SMALL, errors={32 * port, 48 * port})

    async def testbench(ctx):
        await store(ctx, bench, "output", 17, 10)
        assert not ctx.get(bench.error)
        await store(ctx, bench, "output", 20, 32)
        assert (ctx.get(bench.error), ctx.get(bench.error_address)) == (1, 32 * port)
        ctx.set(bench.restart, 1)
        await ctx.tick()
        ctx.set(bench.restart, 0)
        assert not ctx.get(bench.error)
        await store(ctx, bench, "row", 48, 1)
        assert (ctx.get(bench.error), ctx.get(bench.error_address)) == (1, 48 * port)

    simulate(bench, testbench, background=[memory.writes])


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_verilog_port_names(config):
    text = convert(Writer(config))
    for name in ("axi__aw__addr", "axi__w__strb", "axi__b__resp"):
        assert name in text
