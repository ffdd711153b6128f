from dataclasses import astuple, fields
from itertools import cycle

import numpy as np
import pytest

from mla_hw.cycles.simple_memory import MEMORY_READ_LATENCY
from mla_hw.cycles.softmax import HEAD_INTERVAL, softmax_cycles
from mla_hw.golden.score_unit import SCORE_BITS, SCORE_FRACTION
from mla_hw.golden.softmax import ShiftControl, softmax_tile
from rtl_gen.units.softmax import Softmax
from tests.configs import ODD, SMALL, WIDE, small_core
from tests.streams import convert
from tests.vector import VectorBench

CONFIGS = {
    "small": SMALL,
    "odd": ODD,
    "wide": WIDE,
    "one_head": small_core(rows=1, accumulator_lanes=1, heads=1),
    "long_tile": small_core(tile_tokens=224),
}
_LIMIT = (1 << (SCORE_BITS - 1)) - 1


def command(config, group, rows, n, first, c=0):
    return {
        "group": group,
        "rows": rows,
        "n": n,
        "first": first,
        "a": group * config.rows * config.tile_limit,
        "c": c << config.lane_bits,
    }


class Tile:
    """Scores [heads, tile_limit] and token scales [groups, tile_limit] of one tile."""

    def __init__(self, config, scores, scales, n=None):
        self.config = config
        self.n = config.tile_limit if n is None else n
        self.scores = scores
        self.scales = scales

    @property
    def memories(self):
        config = self.config
        maxima = [0] * max(config.groups << config.lane_bits, 2)
        for index in range(config.heads):
            group, row = divmod(index, config.rows)
            maxima[group << config.lane_bits | row] = int(self.scores[index, : self.n].max())
        return {
            "scores": self.scores.ravel().tolist(),
            "scales": self.scales.ravel().tolist(),
            "maxima": maxima,
        }

    def expect(self, command, states):
        """Writes and shift controls of one command; updates the states."""
        config = self.config
        group, writes, controls = command["group"], [], []
        for row in range(command["rows"]):
            head = group << config.lane_bits | row
            probabilities, states[head], control = softmax_tile(
                self.scores[group * config.rows + row, : self.n],
                self.scales[group, : self.n],
                None if command["first"] else states[head],
            )
            writes += [
                (command["c"] + (j << config.lane_bits) + row, value)
                for j, value in enumerate(probabilities.tolist())
            ]
            controls.append((head, *astuple(control)))
        return writes, controls


def observed(record):
    """Writes and shift controls as :meth:`Tile.expect` gives them."""
    assert all(write["lanes"] for write in record["o"])
    writes = [(write["element"], write["data"]) for write in record["o"]]
    controls = []
    for write in record["control"]:
        first, swap, shift, halve = (write["control"][f.name] for f in fields(ShiftControl))
        controls.append((write["head"], bool(first), bool(swap), shift, bool(halve)))
    return writes, controls


def bench(tile):
    return VectorBench(Softmax(tile.config), outputs=("o", "control"), **tile.memories)


def score_sets(config):
    """[heads, tile_limit] scores: usual, wide, extreme, equal, ascending, one peak."""
    shape = (config.heads, config.tile_limit)
    rng = np.random.default_rng(config.heads)
    yield rng.normal(0, 3 << SCORE_FRACTION, shape).astype(np.int64)
    yield rng.integers(-_LIMIT, _LIMIT + 1, shape)
    yield rng.choice([-_LIMIT, -_LIMIT + 1, -1, 0, 1, _LIMIT - 1, _LIMIT], shape)
    yield np.full(shape, -_LIMIT)
    yield np.full(shape, _LIMIT)
    yield np.broadcast_to(np.arange(shape[1]), shape) - (5 << SCORE_FRACTION)
    peak = rng.integers(-40 << SCORE_FRACTION, 0, shape)
    peak[:, 0] = 17
    yield peak


def scale_sets(config):
    shape = (config.groups, config.tile_limit)
    yield np.random.default_rng(5).integers(1, 32768, shape)
    yield np.full(shape, 32767)
    yield np.full(shape, 1)


@pytest.mark.parametrize("name", CONFIGS)
def test_first_tile_matches_golden(name):
    config = CONFIGS[name]
    for scores, scales in zip(score_sets(config), cycle(scale_sets(config)), strict=False):
        tile = Tile(config, scores, scales)
        commands = [
            command(config, group, config.rows, config.tile_limit, 1, c=3 * group)
            for group in range(config.groups)
        ]
        records = bench(tile).run(*commands)
        for record, item in zip(records, commands, strict=True):
            assert observed(record) == tile.expect(item, {})


def tile_sequence(config, spread, count):
    """Tiles whose exponents move about by ``spread``, and at last stay together at the top."""
    rng = np.random.default_rng(spread)
    highest = 0
    for index in range(count):
        exponents = rng.integers(-spread, spread + 1, config.heads)
        highest = np.maximum(highest, exponents)
        if index >= count // 2:
            exponents = highest - (index % 2)
        scores = (exponents[:, None] << SCORE_FRACTION) + rng.integers(
            -900, 1, (config.heads, config.tile_limit)
        )
        n = config.tile_limit if index % 3 else int(rng.integers(1, config.tile_limit + 1))
        scales = rng.integers(1, 32768, (config.groups, config.tile_limit))
        yield Tile(config, np.clip(scores, -_LIMIT, _LIMIT), scales, n)


@pytest.mark.parametrize("spread", [3, 25, 80, 8000])
@pytest.mark.parametrize("name", ["odd", "long_tile"])
def test_state_matches_golden_over_many_tiles(name, spread):
    config = CONFIGS[name]
    tiles = list(tile_sequence(config, spread, 14))
    pairs = [
        (tile, command(config, group, config.rows - index % 2, tile.n, index == 0))
        for index, tile in enumerate(tiles)
        for group in range(config.groups)
    ]
    # All heads take part in the first tile, some in the others.
    states, seen, dut = {}, set(), bench(tiles[0])

    async def finish(ctx):
        for head, state in states.items():
            ctx.set(dut.dut.totals.address, head)
            await ctx.tick().repeat(MEMORY_READ_LATENCY)
            assert ctx.get(dut.dut.totals.data) == state.total

    expected = [tile.expect(item, states) for tile, item in pairs]
    records = dut.run(
        *[item for _, item in pairs],
        before=lambda ctx, index: dut.load(ctx, **pairs[index][0].memories),
        finish=finish,
        max_cycles=60_000,
    )
    for record, want in zip(records, expected, strict=True):
        assert observed(record) == want
        seen |= {(swap, halve) for _, first, swap, _, halve in want[1] if not first}
    assert {(False, False), (True, False)} <= seen
    if name == "long_tile":
        assert (False, True) in seen


def test_duration_depends_on_the_lengths_only():
    lengths = [(1, 1), (1, 2), (HEAD_INTERVAL - 1, 2), (HEAD_INTERVAL, 2), (HEAD_INTERVAL, 1)]
    for scores in score_sets(SMALL):
        tile = Tile(SMALL, scores, next(scale_sets(SMALL)))
        commands = [command(SMALL, 1, rows, n, 1) for n, rows in lengths]
        records = bench(tile).run(*commands)
        assert [record["cycles"] for record in records] == [
            softmax_cycles(n, rows) for n, rows in lengths
        ]
        assert [record["gap"] for record in records] == [1] * len(lengths)


def test_short_tiles_keep_the_heads_apart():
    scores, scales = next(score_sets(WIDE)), next(scale_sets(WIDE))
    for n in range(1, WIDE.tile_limit + 1):
        tile = Tile(WIDE, scores, scales, n)
        item = command(WIDE, 1, WIDE.rows, n, 1)
        (record, again) = bench(tile).run(item, {**item, "first": 0}, pauses=2)
        states = {}
        assert observed(record) == tile.expect(item, states)
        assert observed(again) == tile.expect({**item, "first": 0}, states)


@pytest.mark.parametrize("name", CONFIGS)
def test_converts(name):
    assert "totals__address" in convert(Softmax(CONFIGS[name]))
