import numpy as np
import pytest

from mla_hw.cycles.width_adapter import beats_per_word, words_per_beat
from mla_hw.golden.width_adapter import regroup_bytes
from rtl_gen.units.width_adapter import WidthAdapter
from tests.configs import small_core
from tests.streams import convert, drain, feed, simulate

SHAPES = [(4, 16), (8, 16), (8, 8), (8, 4), (32, 2)]  # bytes of a port word, of a word
CONFIGS = [small_core(port_bytes=port, columns=columns) for port, columns in SHAPES]
IDS = [f"{port}to{columns}" for port, columns in SHAPES]


def stimulus(config, count=24, *, padding=True):
    """Beats, of which one in three holds padding where that is possible, one nothing else."""
    rng = np.random.default_rng(config.port_bytes)
    beats = rng.integers(0, 256, (count, config.port_bytes), dtype=np.uint8)
    beats[0], beats[1] = 0, 255
    words = np.full(count, words_per_beat(config))
    if padding and beats_per_word(config) == 1:
        words[::3] = rng.integers(1, words_per_beat(config) + 1, len(words[::3]))
        words[4] = 0
    return beats, words


def payloads(beats, words):
    return [
        {"data": int.from_bytes(beat.tobytes(), "little"), "words": int(count)}
        for beat, count in zip(beats, words, strict=True)
    ]


def test_golden_drops_the_words_behind():
    beats = np.arange(16, dtype=np.uint8).reshape(2, 8)
    words = regroup_bytes(beats, np.array([2, 1]), 4)
    assert words.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert regroup_bytes(beats, np.array([1, 1]), 16).tolist() == [list(range(16))]


@pytest.mark.parametrize("config", CONFIGS, ids=IDS)
@pytest.mark.parametrize("source_pauses", [(0,), (0, 2, 0, 5)], ids=["fast", "slow"])
@pytest.mark.parametrize("sink_pauses", [(0,), (3, 0, 0, 1, 7)], ids=["fast", "slow"])
def test_matches_golden(config, source_pauses, sink_pauses):
    beats, words = stimulus(config)
    expected = regroup_bytes(beats, words, config.columns)
    dut = WidthAdapter(config)

    async def source(ctx):
        await feed(ctx, dut.i, payloads(beats, words), source_pauses)

    async def sink(ctx):
        received = await drain(ctx, dut.o, len(expected), sink_pauses)
        assert [list(word) for word in received] == expected.tolist()

    simulate(dut, source, sink)


@pytest.mark.parametrize("config", CONFIGS, ids=IDS)
def test_latency_and_throughput(config):
    beats, words = stimulus(config, padding=False)
    accepted, given = [], []
    dut = WidthAdapter(config)

    async def source(ctx):
        await feed(ctx, dut.i, payloads(beats, words))

    async def testbench(ctx):
        ctx.set(dut.o.ready, 1)
        count, cycle = len(regroup_bytes(beats, words, config.columns)), 0
        signals = (dut.i.valid, dut.i.ready, dut.o.valid)
        async for _, _, i_valid, i_ready, o_valid in ctx.tick().sample(*signals):
            if i_valid and i_ready:
                accepted.append(cycle)
            if o_valid:
                given.append(cycle)
            cycle += 1
            if len(given) == count:
                break

    simulate(dut, source, testbench)
    gather = beats_per_word(config)
    assert accepted == [dut.timing.interval * beat for beat in range(len(beats))]
    assert given == [
        accepted[gather - 1] + dut.timing.latency + gather * word for word in range(len(given))
    ]


@pytest.mark.parametrize("config", CONFIGS, ids=IDS)
def test_converts(config):
    assert "module" in convert(WidthAdapter(config))
