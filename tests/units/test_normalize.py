import numpy as np
import pytest

from mla_hw.cycles.normalize import normalize_cycles
from mla_hw.golden.context_accumulator import CONTEXT_BITS
from mla_hw.golden.normalize import normalize_context
from rtl_gen.units.normalize import Normalize
from tests.configs import ODD, SEVERAL, SMALL, WIDE, small_core
from tests.streams import convert
from tests.vector import VectorBench

CONFIGS = {
    "small": SMALL,
    "odd": ODD,
    "wide": WIDE,
    "three_lanes": small_core(rows=3, accumulator_lanes=3, heads=6, tile_tokens=12),
    "query_rows": SEVERAL,
}
SHIFTS = [9, 12, 20, 26, 35]
_LIMIT = 1 << (CONTEXT_BITS - 1)


def totals(config):
    """Sums of all heads: powers of two and their neighbours, and random ones."""
    rng = np.random.default_rng(1)
    corner = [1 << 18, (1 << 28) - 1, (1 << 19) - 32, 1 << 27, (1 << 27) - 1]
    heads = config.groups << config.lane_bits
    return [*corner, *rng.integers(1 << 18, 1 << 28, heads).tolist()][:heads]


def contexts(config):
    size = config.context_depth << config.context_lane_bits
    rng = np.random.default_rng(2)
    for bits in (20, 28, 32, CONTEXT_BITS - 1):
        yield rng.integers(-1 << bits, 1 << bits, size)
    yield rng.choice([-_LIMIT, -_LIMIT + 1, -1, 0, 1, _LIMIT - 1], size)


def command(config, index, k, head, c, constant):
    """Channels of the head in slot ``index`` of its lane."""
    lane = head % config.accumulator_lanes
    a = (index * config.kv_lora_rank) << config.context_lane_bits | lane
    return {"k": k, "a": a, "b": head, "c": c, "constant": constant}


def bench(config, context):
    return VectorBench(
        Normalize(config),
        outputs=("o",),
        pulses=("saturated",),
        totals=totals(config),
        context=context.tolist(),
        constants=[0xDEADBE40, *(0xFFFFFFC0 | shift for shift in SHIFTS)],
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_matches_golden(name):
    config = CONFIGS[name]
    lanes = config.query_rows == 1
    any_saturated = False
    for context in contexts(config):
        slots = config.context_depth // config.kv_lora_rank
        commands = [
            command(config, head % slots, config.kv_lora_rank, head, 5 * head, 1 + number)
            for number in range(len(SHIFTS))
            for head in range(config.groups << config.lane_bits)
        ]
        records = bench(config, context).run(*commands, max_cycles=60_000)
        for record, item in zip(records, commands, strict=True):
            step = 1 << config.context_lane_bits
            values = context[item["a"] : item["a"] + item["k"] * step : step]
            expected, saturated = normalize_context(
                values, totals(config)[item["b"]], SHIFTS[item["constant"] - 1]
            )
            assert [(write["element"], write["data"]) for write in record["o"]] == [
                (item["c"] + (i << config.lane_bits if lanes else i), value)
                for i, value in enumerate(expected.tolist())
            ]
            assert all(write["lanes"] == lanes for write in record["o"])
            assert record["saturated"] == saturated
            any_saturated |= 0 < saturated < item["k"]
    assert any_saturated


def test_duration_depends_on_the_length_only():
    lengths = [1, 2, 7, SMALL.kv_lora_rank]
    for context in contexts(SMALL):
        commands = [command(SMALL, 0, k, head, 0, 2) for k in lengths for head in range(4)]
        records = bench(SMALL, context).run(*commands)
        assert [record["cycles"] for record in records] == [
            normalize_cycles(item["k"]) for item in commands
        ]
        assert [record["gap"] for record in records] == [1] * len(commands)


def test_commands_after_a_pause():
    context = next(contexts(SMALL))
    item = command(SMALL, 1, 4, 1, 0, 1)
    records = bench(SMALL, context).run(item, item, item, pauses=4)
    assert records[0]["o"] == records[1]["o"] == records[2]["o"]
    assert [record["gap"] for record in records[1:]] == [5, 5]


@pytest.mark.parametrize("name", CONFIGS)
def test_converts(name):
    assert "context__address" in convert(Normalize(CONFIGS[name]))
