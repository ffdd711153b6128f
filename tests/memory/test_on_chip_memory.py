# amaranth: UnusedElaboratable=no
import numpy as np
import pytest

from mla_hw.errors import ConfigError
from rtl_gen.axi import Response
from rtl_gen.memory.on_chip_memory import OnChipMemory
from tests.axi import Pauses
from tests.memory.managers import Manager
from tests.memory.traffic import apply_writes, random_reads, random_writes, words_at
from tests.streams import simulate

SIZE = 4096


def fill(size, port, rng):
    """Return whole bursts that write every byte once."""
    block = 16 * port
    return [
        (address, [(int.from_bytes(rng.bytes(port), "little"), (1 << port) - 1) for _ in range(16)])
        for address in range(0, size, block)
    ]


def run(dut, *managers):
    simulate(
        dut, *(bench for manager in managers for bench in manager.testbenches), max_cycles=100_000
    )


@pytest.mark.parametrize("stall", [0, 0.4])
@pytest.mark.parametrize("port", [2, 8, 16])
def test_data(port, stall):
    rng = np.random.default_rng(port)
    dut = OnChipMemory(data_bits=8 * port, size=SIZE)
    # The lower half is written before it is read, and the upper half meanwhile.
    content = bytearray(SIZE)
    before = fill(SIZE // 2, port, rng)
    writes = random_writes(rng, 40, first=SIZE // 2, last=SIZE, port_bytes=port)
    check = [(address, 16) for address in range(SIZE // 2, SIZE, 16 * port)]
    reads = random_reads(rng, 40, first=0, last=SIZE // 2, port_bytes=port)

    def pauses(seed):
        return Pauses(np.random.default_rng(seed), stall) if stall else Pauses()

    first = Manager(dut.bus, [], before)
    second = Manager(dut.bus, reads, writes, pauses(1))
    third = Manager(dut.bus, check, [], pauses(2))
    phases = [first, second, third]
    done = [0] * len(phases)

    def in_phase(index, bench):
        async def wrapped(ctx):
            while index and done[index - 1] < len(phases[index - 1].testbenches):
                await ctx.tick()
            await bench(ctx)
            done[index] += 1

        return wrapped

    benches = [
        in_phase(index, bench)
        for index, manager in enumerate(phases)
        for bench in manager.testbenches
    ]
    simulate(dut, *benches, max_cycles=100_000)
    apply_writes(content, before, port)
    assert second.words == words_at(content, reads, port)
    apply_writes(content, writes, port)
    assert third.words == words_at(content, check, port)
    for manager in phases:
        assert all(response == Response.OKAY for response, _ in manager.answers)


def test_latency_and_throughput_of_reads():
    dut = OnChipMemory(data_bits=64, size=SIZE)
    manager = Manager(dut.bus, [(0, 16), (128, 3), (256, 16)])
    run(dut, manager)
    cycles = [cycle for burst in manager.beats for _, _, cycle in burst]
    assert manager.read_taken[0] == 0
    assert cycles == list(range(2, 2 + 35))


def test_latency_and_throughput_of_writes():
    dut = OnChipMemory(data_bits=64, size=SIZE)
    beats = [(index, 255) for index in range(4)]
    manager = Manager(dut.bus, [], [(0, beats), (128, beats)])
    run(dut, manager)
    assert manager.write_taken == [0, 5]
    assert manager.beats_taken == [1, 2, 3, 4, 6, 7, 8, 9]
    assert [cycle for _, cycle in manager.answers] == [5, 10]


def test_reads_and_writes_take_turns():
    dut = OnChipMemory(data_bits=64, size=SIZE)
    manager = Manager(dut.bus, [(0, 16)] * 8, [(1024, [(1, 255)] * 16)] * 8)
    run(dut, manager)
    cycles = [cycle for burst in manager.beats for _, _, cycle in burst]
    # In steady state each has every other cycle.
    assert cycles[48] - cycles[16] >= 60
    assert manager.beats_taken[48] - manager.beats_taken[16] <= 70


def test_outside_of_the_memory():
    dut = OnChipMemory(data_bits=64, size=SIZE)
    manager = Manager(
        dut.bus,
        [(SIZE, 2), (0, 1), (1 << 31, 1)],
        [(SIZE, [(1, 255)]), (128, [(1, 255)])],
    )
    run(dut, manager)
    found = [[response for _, response, _ in burst] for burst in manager.beats]
    assert found == [[Response.DECERR] * 2, [Response.OKAY], [Response.DECERR]]
    assert manager.words[1] == [0]
    assert [response for response, _ in manager.answers] == [Response.DECERR, Response.OKAY]


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"size": 96}, "size must be a power of two"),
        ({"size": 64}, "from 128"),
        ({"size": 4096, "address_bits": 11}, "to 2048"),
    ],
)
def test_rejects(keywords, message):
    with pytest.raises(ConfigError, match=message):
        OnChipMemory(data_bits=64, **keywords)
