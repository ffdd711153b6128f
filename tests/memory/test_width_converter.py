# amaranth: UnusedElaboratable=no
import numpy as np
import pytest

from mla_hw.errors import ConfigError
from rtl_gen.axi import Response
from rtl_gen.memory.width_converter import WidthConverter
from tests.axi import Pauses
from tests.memory.managers import Manager
from tests.memory.traffic import apply_writes, random_reads, random_writes, words_at
from tests.streams import simulate

SIZE = 8192
LATENCY = 8


class NarrowMemory:
    """Answers bursts of up to 256 beats in order; content after the last write."""

    def __init__(self, axi, content, *, pauses=None, errors=()):
        self.axi, self.content, self.errors = axi, content, errors
        self.pauses = pauses or Pauses()
        self.beat_bytes = len(axi.w.strb)
        #: Cycle in which each beat was taken.
        self.read_cycles, self.write_cycles = [], []

    async def _address(self, ctx, channel):
        """Take an address; return the addresses of its beats."""
        while True:
            ready = self.pauses.go()
            ctx.set(channel.ready, ready)
            _, _, valid, address, length, size, burst = await ctx.tick().sample(
                channel.valid, channel.addr, channel.len, channel.size, channel.burst
            )
            self.cycle[channel] += 1
            if valid and ready:
                ctx.set(channel.ready, 0)
                assert (1 << size, burst) == (self.beat_bytes, 1)
                return [address + index * self.beat_bytes for index in range(length + 1)]

    @property
    def testbenches(self):
        return [self.reads, self.writes]

    async def reads(self, ctx):
        ar, r = self.axi.ar, self.axi.r
        self.cycle = {ar: 0, self.axi.aw: 0}
        while True:
            addresses = await self._address(ctx, ar)
            for address in addresses:
                while not self.pauses.go():
                    await ctx.tick()
                    self.cycle[ar] += 1
                word = self.content[address : address + self.beat_bytes]
                ctx.set(r.data, int.from_bytes(word, "little"))
                ctx.set(r.resp, Response.SLVERR if address in self.errors else Response.OKAY)
                ctx.set(r.last, address == addresses[-1])
                ctx.set(r.valid, 1)
                ready = 0
                while not ready:
                    _, _, ready = await ctx.tick().sample(r.ready)
                    self.cycle[ar] += 1
                self.read_cycles.append(self.cycle[ar] - 1)
                ctx.set(r.valid, 0)

    async def writes(self, ctx):
        aw, w, b = self.axi.aw, self.axi.w, self.axi.b
        while True:
            addresses = await self._address(ctx, aw)
            for address in addresses:
                while True:
                    ready = self.pauses.go()
                    ctx.set(w.ready, ready)
                    _, _, valid, data, strobes, last = await ctx.tick().sample(
                        w.valid, w.data, w.strb, w.last
                    )
                    self.cycle[aw] += 1
                    if valid and ready:
                        break
                self.write_cycles.append(self.cycle[aw] - 1)
                assert last == (address == addresses[-1])
                apply_writes(self.content, [(address, [(data, strobes)])], self.beat_bytes)
            ctx.set(w.ready, 0)
            ctx.set(b.valid, 1)
            await ctx.tick().until(b.ready)
            self.cycle[aw] += 1
            ctx.set(b.valid, 0)


def run(manager, memory, dut):
    simulate(dut, *manager.testbenches, background=memory.testbenches, max_cycles=100_000)


@pytest.mark.parametrize("stall", [0, 0.4])
@pytest.mark.parametrize(("wide", "narrow"), [(64, 16), (64, 32), (128, 16), (32, 16), (128, 8)])
def test_data(wide, narrow, stall):
    rng = np.random.default_rng(wide + narrow)
    content = bytearray(rng.bytes(SIZE))
    expected = bytearray(content)
    dut = WidthConverter(data_bits=wide, memory_bits=narrow)
    port = wide // 8
    manager = Manager(
        dut.manager,
        random_reads(rng, 20, first=0, last=SIZE // 2, port_bytes=port),
        random_writes(rng, 20, first=SIZE // 2, last=SIZE, port_bytes=port),
        Pauses(np.random.default_rng(1), stall) if stall else Pauses(),
    )
    memory = NarrowMemory(
        dut.memory, content, pauses=Pauses(np.random.default_rng(2), stall) if stall else None
    )
    run(manager, memory, dut)
    assert manager.words == words_at(expected, manager.reads, port)
    apply_writes(expected, manager.writes, port)
    assert content == expected


def test_throughput_and_latency():
    dut = WidthConverter(data_bits=64, memory_bits=16)
    beats = [(index, 255) for index in range(16)]
    manager = Manager(dut.manager, [(0, 16)], [(128, beats)])
    memory = NarrowMemory(dut.memory, bytearray(SIZE))
    run(manager, memory, dut)
    first = memory.read_cycles[0]
    assert memory.read_cycles == list(range(first, first + 64))
    wide = [cycle for _, _, cycle in manager.beats[0]]
    assert wide == [memory.read_cycles[4 * beat + 3] + 1 for beat in range(16)]
    first = memory.write_cycles[0]
    assert memory.write_cycles == list(range(first, first + 64))
    assert first == manager.beats_taken[0] + 1


@pytest.mark.parametrize("part", range(4))
def test_an_error_of_any_part_is_one_of_the_beat(part):
    dut = WidthConverter(data_bits=64, memory_bits=16)
    manager = Manager(dut.manager, [(0, 3)])
    run(manager, NarrowMemory(dut.memory, bytearray(SIZE), errors={8 + 2 * part}), dut)
    responses = [response for _, response, _ in manager.beats[0]]
    assert responses == [Response.OKAY, Response.SLVERR, Response.OKAY]


@pytest.mark.parametrize(("wide", "narrow"), [(64, 64), (16, 64), (1024, 32), (256, 8)])
def test_rejects_widths(wide, narrow):
    with pytest.raises(ConfigError, match="memory_bits must divide data_bits"):
        WidthConverter(data_bits=wide, memory_bits=narrow)
