# amaranth: UnusedElaboratable=no
import numpy as np
import pytest
from amaranth.hdl import Value
from amaranth.lib.wiring import In

from rtl_gen.axi import Response
from rtl_gen.memory.register_slice import RegisterSlice
from tests.axi import AxiMemory, Pauses
from tests.memory.managers import Manager
from tests.memory.traffic import apply_writes, random_reads, random_writes, words_at
from tests.streams import simulate

SIZE = 8192
PORT = 8
LATENCY = 8


def run(manager, memory, dut):
    benches = [memory.reads, memory.writes]
    simulate(dut, *manager.testbenches, background=benches, max_cycles=20_000)


def pauses(seed, stall):
    return Pauses(np.random.default_rng(seed), stall) if stall else Pauses()


@pytest.mark.parametrize("manager_stall", [0, 0.4])
@pytest.mark.parametrize("memory_stall", [0, 0.4])
def test_every_channel_passes_everything_on(manager_stall, memory_stall):
    rng = np.random.default_rng(0)
    content = bytearray(rng.bytes(SIZE))
    expected = bytearray(content)
    dut = RegisterSlice(data_bits=8 * PORT)
    manager = Manager(
        dut.manager,
        random_reads(rng, 40, first=0, last=SIZE // 2, port_bytes=PORT),
        random_writes(rng, 40, first=SIZE // 2, last=SIZE, port_bytes=PORT),
        pauses(1, manager_stall),
    )
    error = manager.reads[3][0]
    # It checks that addresses and data wait unchanged.
    memory = AxiMemory(
        dut.memory, content, port_bytes=PORT, pauses=pauses(2, memory_stall), errors={error}
    )
    run(manager, memory, dut)
    assert manager.words == words_at(expected, manager.reads, PORT)
    for (address, _), beats in zip(manager.reads, manager.beats, strict=True):
        wanted = Response.SLVERR if address == error else Response.OKAY
        assert {response for _, response, _ in beats} == {wanted}
    assert len(manager.answers) == 40
    apply_writes(expected, manager.writes, PORT)
    assert content == expected


def test_latency_and_throughput():
    dut = RegisterSlice(data_bits=8 * PORT)
    burst = [(index, 255) for index in range(16)]
    reads = [(start, 16) for start in range(0, 4 * 16 * PORT, 16 * PORT)]
    manager = Manager(dut.manager, reads, [(address, burst) for address, _ in reads])
    memory = AxiMemory(dut.memory, bytearray(SIZE), port_bytes=PORT, latency=LATENCY)
    run(manager, memory, dut)
    # One address per cycle, one cycle later; and so with data, which come without a gap.
    offered = [burst.offered for burst in memory.read_bursts]
    assert offered == [cycle + 1 for cycle in manager.read_taken] == [1, 2, 3, 4]
    taken = [cycle for burst in memory.read_bursts for cycle in burst.cycles]
    assert taken == list(range(taken[0], taken[0] + 64))
    assert [cycle for beats in manager.beats for *_, cycle in beats] == [c + 1 for c in taken]
    assert [burst.offered for burst in memory.write_bursts] == [c + 1 for c in manager.write_taken]
    written = [cycle for burst in memory.write_bursts for cycle in burst.cycles]
    assert written == [cycle + 1 for cycle in manager.beats_taken] == list(range(1, 65))
    assert [cycle for _, cycle in manager.answers] == [
        burst.answered + 1 for burst in memory.write_bursts
    ]


@pytest.mark.parametrize("waiting", [0, 1, 2])
def test_no_output_depends_on_an_input_in_the_same_cycle(waiting):
    """With none, one and two payloads in each channel: inputs change, outputs do not."""
    dut = RegisterSlice(data_bits=8 * PORT)
    flows = dut.signature.flatten(dut)
    inputs, outputs = [], []
    for _, member, value in flows:
        (inputs if member.flow is In else outputs).append(Value.cast(value))
    channels = [getattr(dut.manager, name) for name in ("ar", "aw", "w")]
    channels += [getattr(dut.memory, name) for name in ("r", "b")]

    async def testbench(ctx):
        for channel in channels:
            ctx.set(channel.valid, 1)
        for _ in range(waiting):
            await ctx.tick()
        for channel in channels:
            ctx.set(channel.valid, 0)
        await ctx.delay(1e-8)
        assert [ctx.get(channel.ready) for channel in channels] == [waiting < 2] * 5
        before = [ctx.get(value) for value in outputs]
        for value in inputs:
            for bits in (-1, 0):
                ctx.set(value, bits & ((1 << len(value)) - 1))
                await ctx.delay(1e-9)
                assert [ctx.get(output) for output in outputs] == before

    simulate(dut, testbench, max_cycles=10)
