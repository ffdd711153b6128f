from itertools import cycle as repeat

import numpy as np
import pytest

from mla_hw.cycles.weight_fifo import freed_cycle, word_cycle
from mla_hw.cycles.width_adapter import beats_per_word, words_per_beat
from mla_hw.golden.width_adapter import regroup_bytes
from rtl_gen.units.weight_fifo import WeightFifo
from tests.configs import small_core
from tests.streams import convert, feed, pause, simulate

SHAPES = [(4, 16), (8, 8), (8, 4), (16, 2)]  # bytes of a port word, of a word
CONFIGS = [
    small_core(port_bytes=port, columns=columns, weight_fifo_depth=8) for port, columns in SHAPES
]
IDS = [f"{port}to{columns}" for port, columns in SHAPES]
BEATS = 32


def stimulus(config):
    rng = np.random.default_rng(config.columns)
    beats = rng.integers(0, 256, (BEATS, config.port_bytes), dtype=np.uint8)
    words = np.full(BEATS, words_per_beat(config))
    if beats_per_word(config) == 1:
        words[7::8] = rng.integers(1, words_per_beat(config) + 1, len(words[7::8]))
    return beats, words


def run(config, source_pauses, sink_pauses):
    """Stream everything through; return the cycles of what happened, having checked the words."""
    beats, words = stimulus(config)
    expected = regroup_bytes(beats, words, config.columns)
    dut = WeightFifo(config)
    events = {"arrival": [], "freed": [], "taken": [], "valid": []}

    async def source(ctx):
        payloads = [
            {"data": int.from_bytes(beat.tobytes(), "little"), "words": int(count)}
            for beat, count in zip(beats, words, strict=True)
        ]
        await feed(ctx, dut.i, payloads, source_pauses)

    async def sink(ctx):
        for pauses, _ in zip(repeat(sink_pauses), expected):
            await pause(ctx, pauses)
            ctx.set(dut.o.ready, 1)
            await ctx.tick().until(dut.o.valid)
            ctx.set(dut.o.ready, 0)

    async def monitor(ctx):
        cycle, fresh = 0, True
        signals = (dut.i.valid, dut.i.ready, dut.freed, dut.o.valid, dut.o.ready, dut.o.payload)
        samples = ctx.tick().sample(*signals)
        async for _, _, i_valid, i_ready, freed, o_valid, o_ready, payload in samples:
            if i_valid and i_ready:
                events["arrival"].append(cycle)
            if freed:
                events["freed"].append(cycle)
            if o_valid and fresh:
                events["valid"].append(cycle)
            if o_valid:
                assert list(payload) == expected[len(events["taken"])].tolist()
            if o_valid and o_ready:
                events["taken"].append(cycle)
            fresh = not o_valid or bool(o_ready)
            cycle += 1

    simulate(dut, source, sink, background=[monitor])
    assert [len(events[name]) for name in events] == [BEATS, BEATS, len(expected), len(expected)]
    return events


@pytest.mark.parametrize("config", CONFIGS, ids=IDS)
@pytest.mark.parametrize("source_pauses", [(0,), (0, 2, 0, 5)], ids=["fast", "slow"])
@pytest.mark.parametrize("sink_pauses", [(0,), (3, 0, 0, 1, 7)], ids=["fast", "slow"])
def test_matches_golden_and_prediction(config, source_pauses, sink_pauses):
    events = run(config, source_pauses, sink_pauses)
    _, words = stimulus(config)
    gather = beats_per_word(config)
    freed, valid = [], []
    for beat, arrival in enumerate(events["arrival"]):
        begins_word = beat % gather == 0
        times = {"freed_before": freed[-1]} if freed else {}
        if begins_word and len(valid) >= 2:
            times["taken"] = events["taken"][len(valid) - 2]
        freed.append(freed_cycle(arrival, **times))
        if (beat + 1) % gather == 0:
            for _ in range(words[beat]):
                times = {"taken": events["taken"][len(valid) - 1]} if valid else {}
                valid.append(word_cycle(config, freed[-1], **times))
    assert events["freed"] == freed
    assert events["valid"] == valid


@pytest.mark.parametrize("config", CONFIGS, ids=IDS)
def test_latency_and_throughput(config):
    events = run(config, (0,), (0,))
    timing, gather = WeightFifo(config).timing, beats_per_word(config)
    assert events["valid"][0] == events["arrival"][gather - 1] + timing.latency
    steps = np.diff(events["taken"])
    assert set(steps.tolist()) == {gather}


@pytest.mark.parametrize("config", CONFIGS, ids=IDS)
def test_holds_its_depth(config):
    dut = WeightFifo(config)

    async def testbench(ctx):
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.i.p.words, 1)
        accepted = freed = 0
        for _ in range(4 * config.weight_fifo_depth):
            accepted += ctx.get(dut.i.ready)
            freed += ctx.get(dut.freed)
            await ctx.tick()
        assert not ctx.get(dut.i.ready)
        assert accepted - freed == config.weight_fifo_depth

    simulate(dut, testbench)


@pytest.mark.parametrize("config", CONFIGS, ids=IDS)
def test_converts(config):
    assert "memory" in convert(WeightFifo(config))
