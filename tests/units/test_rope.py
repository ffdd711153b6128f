import numpy as np
import pytest

from mla_hw.cycles.rope import rope_cycles
from mla_hw.golden.rope import rotate_pairs
from rtl_gen.units.rope import Rope
from tests.configs import EACH, ODD, SMALL, WIDE, small_core
from tests.streams import convert
from tests.vector import TARGETS, VectorBench

CONFIGS = {
    "small": SMALL,
    "odd": ODD,
    "wide": WIDE,
    "one_row": small_core(rows=1, accumulator_lanes=1, qk_rope_head_dim=4),
    "query_rows": EACH,
}


def bench(config, scratch, table):
    pairs = table.reshape(-1, 2)
    return VectorBench(
        Rope(config),
        outputs=("o", "row"),
        pulses=("saturated",),
        scratch=scratch.tolist(),
        table=[int(cos & 0xFFFF) | int(sin & 0xFFFF) << 16 for cos, sin in pairs],
    )


def command(target, k, n, a, c, b=0):
    return {"target": TARGETS[target], "k": k, "n": n, "a": a, "b": b, "c": c}


def lane_element(config, command, head, i):
    group, lane = divmod(head, config.rows)
    return command["c"] + ((group * command["k"] + i) << config.lane_bits) + lane


def cases(config):
    """Scratch and table: random ones, and corners that saturate."""
    dim = 2 * config.table_entries
    rng = np.random.default_rng(dim)
    angle = rng.uniform(0, 2 * np.pi, dim // 2)
    turn = np.stack([np.cos(angle), np.sin(angle)], axis=-1).ravel()
    values = rng.integers(-32767, 32768, config.scratch_depth)
    yield values, np.round(turn * (1 << 14)).astype(np.int64)
    yield values // 50, rng.integers(-32768, 32768, dim)
    yield rng.choice([-32767, 32767], config.scratch_depth), rng.choice([-32768, 32767], dim)
    yield np.full(config.scratch_depth, -32768), np.full(dim, -32768)


@pytest.mark.parametrize("name", CONFIGS)
def test_matches_golden(name):
    config = CONFIGS[name]
    dim = config.qk_rope_head_dim
    any_saturated = False
    for scratch, table in cases(config):
        commands = [
            command("lanes", dim, n, a, c << config.lane_bits)
            for n, a, c in ((1, 0, 0), (config.rows + 1, 3, 7), (2 * config.rows, 0, 9))
            if a + n * dim <= config.scratch_depth
        ]
        # A shorter head than the table has entries.
        commands.append(command("lanes", 2, config.rows + 2, 1, 0))
        commands.append(command("row", dim, 1, 5, config.kv_lora_rank))
        # The table's rows of other query rows.
        commands += [
            command("lanes", dim, 2, 4, 0, b=row * dim // 2) for row in range(1, config.query_rows)
        ]
        records = bench(config, scratch, table).run(*commands)
        for record, item in zip(records, commands, strict=True):
            k, n, a = item["k"], item["n"], item["a"]
            own = table[2 * item["b"] :][:k]
            expected, saturated = rotate_pairs(scratch[a : a + k * n].reshape(n, k), own)
            assert record["saturated"] == saturated
            any_saturated |= saturated > 0
            if item["target"] == TARGETS["lanes"]:
                elements = [lane_element(config, item, h, i) for h in range(n) for i in range(k)]
                writes = [(w["element"], w["data"]) for w in record["o"]]
                assert all(write["lanes"] for write in record["o"])
                assert not record["row"]
            else:
                elements = [item["c"] + i for i in range(k)]
                writes = [(w["index"], w["data"]) for w in record["row"]]
                assert not record["o"]
            assert writes == list(zip(elements, expected.ravel().tolist(), strict=True))
    assert any_saturated


def test_duration_depends_on_the_lengths_only():
    lengths = [(k, n) for k in (2, 4, 6) for n in (1, 2, 5)]
    for scratch, table in cases(SMALL):
        commands = [command("lanes", k, n, 0, 0) for k, n in lengths]
        records = bench(SMALL, scratch, table).run(*commands)
        assert [record["cycles"] for record in records] == [rope_cycles(k, n) for k, n in lengths]
        assert [record["gap"] for record in records] == [1] * len(lengths)


def test_commands_after_a_pause():
    scratch, table = next(cases(SMALL))
    records = bench(SMALL, scratch, table).run(*[command("row", 6, 1, 2, 0)] * 3, pauses=3)
    expected, _ = rotate_pairs(scratch[2:8], table)
    assert [[write["data"] for write in record["row"]] for record in records] == [
        expected.tolist()
    ] * 3


@pytest.mark.parametrize("name", CONFIGS)
def test_converts(name):
    assert "multiplier_1__a" in convert(Rope(CONFIGS[name]))
