# amaranth: UnusedElaboratable=no
import numpy as np
import pytest

from mla_hw.errors import ConfigError
from rtl_gen.axi import Response
from rtl_gen.memory.arbiter import MemoryArbiter
from tests.axi import AxiMemory, Pauses
from tests.memory.managers import Manager
from tests.memory.traffic import apply_writes, random_reads, random_writes, words_at
from tests.streams import simulate

PORT = 8
REGION = 4096
BURST = 16 * PORT


def run(managers, memory, dut, max_cycles=50_000):
    benches = [bench for manager in managers for bench in manager.testbenches]
    simulate(dut, *benches, background=[memory.reads, memory.writes], max_cycles=max_cycles)


def pauses(seed, stall):
    return Pauses(np.random.default_rng(seed), stall) if stall else Pauses()


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("manager_stall", [0, 0.4])
@pytest.mark.parametrize("memory_stall", [0, 0.4])
def test_every_manager_sees_its_own_data(count, manager_stall, memory_stall):
    rng = np.random.default_rng(count)
    # Two regions per manager: one is read and has fixed contents, one is written.
    content = bytearray(rng.bytes(2 * count * REGION))
    expected = bytearray(content)
    dut = MemoryArbiter(count, data_bits=8 * PORT, outstanding=4)
    memory = AxiMemory(dut.memory, content, port_bytes=PORT, pauses=pauses(7, memory_stall))
    managers = []
    for index in range(count):
        first = 2 * index * REGION
        managers.append(
            Manager(
                dut.managers[index],
                random_reads(rng, 40, first=first, last=first + REGION, port_bytes=PORT),
                random_writes(
                    rng, 40, first=first + REGION, last=first + 2 * REGION, port_bytes=PORT
                ),
                pauses(index, manager_stall),
            )
        )
    run(managers, memory, dut)
    for manager in managers:
        assert manager.words == words_at(expected, manager.reads, PORT)
        assert all(response == Response.OKAY for response, _ in manager.answers)
        apply_writes(expected, manager.writes, PORT)
    assert content == expected
    assert memory.most_reads > 1


def test_errors_reach_the_manager_that_asked():
    dut = MemoryArbiter(data_bits=8 * PORT)
    memory = AxiMemory(dut.memory, bytearray(2 * REGION), port_bytes=PORT, errors={REGION})
    managers = [
        Manager(dut.managers[index], [(index * REGION, 4)], [(index * REGION, [(0, 0)])])
        for index in range(2)
    ]
    run(managers, memory, dut)
    for manager, response in zip(managers, (Response.OKAY, Response.SLVERR), strict=True):
        assert {found for _, found, _ in manager.beats[0]} == {response}
        assert manager.answers[0][0] == response


def served(bursts, count):
    """Return the manager of every burst, by its region."""
    owners = [burst.address // REGION for burst in bursts]
    assert set(owners) == set(range(count))
    return owners


@pytest.mark.parametrize("count", [2, 3])
def test_managers_take_turns(count):
    dut = MemoryArbiter(count, data_bits=8 * PORT, outstanding=4)
    memory = AxiMemory(dut.memory, bytearray(count * REGION), port_bytes=PORT)
    managers = [
        Manager(
            dut.managers[index],
            [(index * REGION, 16)] * 12,
            [(index * REGION + BURST, [(beat, 255) for beat in range(16)])] * 12,
        )
        for index in range(count)
    ]
    run(managers, memory, dut)
    for bursts in (memory.read_bursts, memory.write_bursts):
        owners = served(bursts, count)
        for start in range(0, len(owners), count):
            assert sorted(owners[start : start + count]) == list(range(count))


def test_a_single_beat_waits_for_one_burst_of_the_other():
    dut = MemoryArbiter(data_bits=8 * PORT, outstanding=2)
    memory = AxiMemory(dut.memory, bytearray(2 * REGION), port_bytes=PORT)
    busy = Manager(dut.managers[0], [(0, 16)] * 20)
    single = Manager(dut.managers[1], [(REGION, 1)] * 20)
    run([busy, single], memory, dut)
    owners = served(memory.read_bursts, 2)
    assert all(0 in owners[i : i + 2] for i in range(38))
    assert [owners[i : i + 2].count(1) for i in range(0, 40, 2)] == [1] * 20


def test_latency():
    dut = MemoryArbiter(data_bits=8 * PORT)
    memory = AxiMemory(dut.memory, bytearray(REGION), port_bytes=PORT, latency=8)
    manager = Manager(dut.managers[1], [(0, 4)], [(BURST, [(1, 255), (2, 255)])])
    run([manager], memory, dut)
    read, write = memory.read_bursts[0], memory.write_bursts[0]
    assert manager.read_taken == [0]
    assert read.offered == 1
    assert [cycle for _, _, cycle in manager.beats[0]] == read.cycles == [9, 10, 11, 12]
    assert manager.write_taken == [0]
    assert write.offered == 1
    assert manager.beats_taken == write.cycles == [1, 2]
    assert manager.answers[0][1] == write.answered == 10


def test_no_gap_between_bursts_of_different_managers():
    dut = MemoryArbiter(data_bits=8 * PORT)
    memory = AxiMemory(dut.memory, bytearray(2 * REGION), port_bytes=PORT, latency=20)
    managers = [
        Manager(
            dut.managers[index],
            [(index * REGION, 2)] * 20,
            [(index * REGION + BURST, [(0, 255)] * 2)] * 20,
        )
        for index in range(2)
    ]
    run(managers, memory, dut)
    reads = sorted(cycle for burst in memory.read_bursts for cycle in burst.cycles)
    assert reads[-1] - reads[0] == len(reads) - 1
    writes = sorted(cycle for burst in memory.write_bursts for cycle in burst.cycles)
    assert writes[-1] - writes[0] == len(writes) - 1


def test_outstanding_bursts_are_bounded():
    dut = MemoryArbiter(data_bits=8 * PORT, outstanding=3)
    memory = AxiMemory(dut.memory, bytearray(REGION), port_bytes=PORT, latency=100)
    run([Manager(dut.managers[0], [(0, 1)] * 12)], memory, dut)
    assert memory.most_reads == 3


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"managers": 1}, "managers must be at least 2"),
        ({"outstanding": 0}, "outstanding must be at least 1"),
    ],
)
def test_rejects(keywords, message):
    with pytest.raises(ConfigError, match=message):
        MemoryArbiter(data_bits=64, **keywords)
