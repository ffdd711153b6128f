import dataclasses
import shutil

import numpy as np
import pytest
from amaranth.back import verilog

from mla_hw.errors import ToolError
from sim.bench import TOP, CoreBench
from sim.job import Job, MemoryMode, TokenJob
from sim.runner import CoreSimulation
from sim.waves import save_file, signals
from tests.sim.fst import signal_names
from tests.sim.standin import BEATS, Fault, Register, StandIn, standin_ports

PORT_BYTES = 8
MEMORY_BYTES = 1 << 16
SOURCE, DESTINATION = 0x1000, 0x4000
FIXED = MemoryMode.parse("fixed:20")
SIMULATORS = [
    pytest.param("verilator", marks=pytest.mark.rtl),
    pytest.param("icarus", marks=[pytest.mark.rtl, pytest.mark.icarus]),
]


def standin_simulation(folder, simulator, waves=None):
    core = StandIn(PORT_BYTES)
    source = folder / "accelerator.v"
    source.write_text(verilog.convert(core, name="accelerator", emit_src=False))
    bench = CoreBench(
        ports=standin_ports(core), memory_bytes=MEMORY_BYTES, dumps=["words", "cycles"]
    )
    simulation = CoreSimulation(
        folder=folder / "build", sources=[source], bench=bench, simulator=simulator, waves=waves
    )
    assert simulation.build()
    return simulation


@pytest.fixture(scope="module", params=SIMULATORS)
def simulation(request, tmp_path_factory):
    return standin_simulation(tmp_path_factory.mktemp(request.param), request.param)


def token(*, beats=64, burst=16, fault=Fault.NONE, limit=10_000, source=SOURCE, **keywords):
    writes = {
        Register.SOURCE: source,
        Register.DESTINATION: DESTINATION,
        Register.BEATS: beats,
        Register.BURST: burst,
        Register.FAULT: fault,
        Register.CONTROL: 1,
    }
    return TokenJob(writes=list(writes.items()), limit=limit, **keywords)


def run(simulation, *tokens, memory=FIXED, image=None):
    job = Job(
        tokens=tokens,
        reads={"cycles": [Register.CYCLES], "refused": [Register.REFUSED]},
        acknowledge=[(Register.STATUS, 1)],
    )
    return list(simulation.run(job, random_image() if image is None else image, memory=memory))


def random_image():
    return np.random.default_rng(0).integers(0, 256, MEMORY_BYTES, np.uint8).tobytes()


def words(image, address, count):
    return np.frombuffer(image, np.uint64, count, address)


def written(result):
    return {write.address: write.data for write in result.log.writes}


def expected_writes(image, beats):
    data = words(image, SOURCE, beats) + np.uint64(1)
    return {DESTINATION + PORT_BYTES * i: word.tobytes() for i, word in enumerate(data)}


def padded(values):
    return np.concatenate([values, np.zeros(BEATS - len(values), values.dtype)])


def address_cycle(result):
    """Cycle of the first ARVALID: the one after the start."""
    (start,) = [event for event in result.log.events if event.kind == "start" and event.engine == 0]
    return start.cycle + 1


@pytest.mark.parametrize("latency", [1, 32])
@pytest.mark.parametrize(("beats", "burst"), [(64, 16), (256, 1)])
def test_fixed_timing(simulation, latency, beats, burst):
    """Beats and responses come as models/axi_memory.v and the cycle model say."""
    image = random_image()
    (result,) = run(
        simulation,
        token(beats=beats, burst=burst),
        image=image,
        memory=MemoryMode.parse(f"fixed:{latency}"),
    )
    assert result.stopped is None
    assert written(result) == expected_writes(image, beats)
    assert (
        result.memories["words"].first_difference(
            padded(words(image, SOURCE, beats) + np.uint64(1))
        )
        is None
    )
    # One address per cycle: the data come without a gap, up to 256 bursts under way.
    stamps = address_cycle(result) + latency + np.arange(beats)
    assert result.memories["cycles"].first_difference(padded(stamps)) is None
    # Address, data and response of one burst after the other.
    read_end = next(e.cycle for e in result.log.events if (e.kind, e.engine) == ("end", 0))
    assert result.log.halt == read_end + beats // burst * (1 + burst + latency)
    assert result.log.events[-1].cycle == result.log.halt


def test_random_memory(simulation):
    image = random_image()
    first, again, other = (
        run(simulation, token(), image=image, memory=MemoryMode.parse(f"random:{seed}"))[0]
        for seed in (1, 1, 2)
    )
    for result in (first, other):
        assert result.stopped is None
        assert written(result) == expected_writes(image, 64)
    assert first.log == again.log
    assert first.log.halt != other.log.halt


def test_random_memory_is_the_same_everywhere(simulation):
    (result,) = run(simulation, token(), memory=MemoryMode.parse("random:1"))
    assert result.log.halt == 404


def test_tokens_patches_and_flips(simulation):
    image = random_image()
    content = bytes(range(4 * PORT_BYTES))
    results = run(
        simulation,
        token(),
        token(
            patch=[(SOURCE, content), (SOURCE + 0x100, content[::-1])], flips=[(SOURCE + 1, 0x80)]
        ),
        token(flips=[(SOURCE + 1, 0x80), (SOURCE + 0x107, 0xFF)]),
        image=image,
    )
    patched = bytearray(image)
    for result, flips in zip(results, ({}, {1: 0x80}, {1: 0x80, 0x107: 0xFF}), strict=True):
        if result.index == 1:
            patched[SOURCE : SOURCE + len(content)] = content
            patched[SOURCE + 0x100 : SOURCE + 0x100 + len(content)] = content[::-1]
        for offset, mask in flips.items():
            patched[SOURCE + offset] ^= mask
        assert result.stopped is None
        assert result.log.halt == results[0].log.halt
        assert written(result) == expected_writes(bytes(patched), 64)


def test_errors(simulation):
    reads, writes, after = run(
        simulation,
        token(refused=(SOURCE + 0x20, SOURCE + 0x37)),
        token(refused=(DESTINATION + 0x88, DESTINATION + 0x88)),
        token(),
    )
    assert reads.stopped is None
    assert reads.registers["refused"] == 3
    assert writes.registers["refused"] == 1
    assert DESTINATION + 0x88 not in written(writes)
    assert len(written(writes)) == 63
    assert after.registers["refused"] == 0
    (result,) = run(simulation, token(source=MEMORY_BYTES - 0x80))
    assert result.registers["refused"] == 48


RULES = {
    Fault.READ_FALLS: "ARVALID fell before ARREADY",
    Fault.READ_CHANGES: "AR changed before ARREADY",
    Fault.WRITE_CHANGES: "W changed before WREADY",
    Fault.LAST_EARLY: "WLAST is not at the beat that AWLEN tells",
    Fault.LAST_MISSING: "WLAST is missing at the beat that AWLEN tells",
    Fault.HALTS_EARLY: "halted before the last write was acknowledged",
}


@pytest.mark.parametrize("fault", RULES, ids=lambda fault: fault.name.lower())
def test_broken_rules(simulation, fault):
    results = run(simulation, token(fault=fault), token(), memory=MemoryMode.parse("random:3"))
    assert len(results) == 1, "the simulation ends"
    assert RULES[fault] in results[0].stopped


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"source": 0xFC0}, "a read burst crosses a multiple of 4 KB"),
        ({"source": SOURCE + 4}, "a read burst is not aligned to beats"),
    ],
)
def test_broken_addresses(simulation, change, rule):
    (result,) = run(simulation, token(**change))
    assert rule in result.stopped


def test_hang(simulation):
    (result,) = run(simulation, token(fault=Fault.HANGS, limit=500), token())[:1]
    assert result.stopped == "overtime"
    assert result.registers["cycles"] >= 500
    assert result.log.halt is None


def test_refused_register(simulation):
    job = Job(tokens=[TokenJob(writes=[(0xF0, 1)], limit=100)])
    (result,) = simulation.run(job, random_image(), memory=FIXED)
    assert result.stopped == "write to 0xf0 was answered with SLVERR"


def test_simulator_that_dies(simulation):
    with pytest.raises(ToolError, match=r"The simulation ended at token 0: .*run\.log"):
        run(simulation, TokenJob(writes=[("no address", 1)], limit=100))


def test_closing_ends_the_simulation(simulation):
    job = Job(tokens=[token(), token(fault=Fault.HANGS, limit=1 << 40)])
    results = simulation.run(job, random_image(), memory=FIXED)
    next(results)
    results.close()
    assert not list(results)


def test_build_is_used_again_until_a_source_changes(simulation, tmp_path):
    assert not simulation.build()
    copied = dataclasses.replace(
        simulation, folder=shutil.copytree(simulation.folder, tmp_path / "build")
    )
    assert not copied.build()
    source = tmp_path / "accelerator.v"
    source.write_text("module accelerator(input clk); wire x = ; endmodule\n")
    broken = dataclasses.replace(copied, sources=[source])
    # A failed build leaves nothing.
    with pytest.raises(ToolError, match=r"Building the simulation failed: .*accelerator\.v:1"):
        broken.build()
    assert not (broken.folder / "model").exists()


@pytest.mark.slow
def test_a_stale_build_is_replaced(simulation):
    (simulation.folder / "model" / "stamp").write_text("of something else")
    assert simulation.build()
    assert not simulation.build()


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_waves(simulator, tmp_path):
    waves = tmp_path / "results" / "waves.fst"
    simulation = standin_simulation(tmp_path, simulator, waves)
    run(simulation, token())
    there = signal_names(waves.read_bytes())
    wanted = {
        f"{TOP}.{name}" + (f" [{width - 1}:0]" if width > 1 else "")
        for group in signals(simulation.bench).values()
        for name, width in group
    }
    assert wanted <= there
    text = save_file(simulation.bench)
    assert "@24\nbench.dut.array_queue.start_tag[15:0]\n" in text
    assert "@200\n-Memory port\n@28\nbench.memory__ar__valid\n" in text
