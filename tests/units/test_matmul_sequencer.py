from itertools import pairwise

import numpy as np
import pytest

from mla_hw.cycles.matmul_sequencer import (
    BLOCK_LATENCY,
    COMMAND_LATENCY,
    COMMAND_TO_COMMAND,
    CONSTANT_LATENCY,
    CONSTANT_WORDS,
    RELEASE_LATENCY,
    STEP_LATENCY,
    TILE_LATENCY,
    tile_issues,
    tile_spacing,
    tile_start,
    tile_steps,
    tiles,
)
from mla_hw.hardware import CONSTANT_BANKS
from rtl_gen.units.matmul_sequencer import MatmulSequencer
from tests.configs import EACH, ODD, PRODUCTS, SEVERAL, SMALL, TOKENS, WIDE, small_core
from tests.matmul import MODES, Surroundings, command, released_blocks, run
from tests.streams import convert

CONFIGS = {
    "small": SMALL,
    "odd": ODD,
    "wide": WIDE,
    "one_row": small_core(rows=1, accumulator_lanes=1, heads=1, columns=2, ring_blocks=9),
    "single_tile_block": small_core(columns=16, ring_blocks=2),
    "several_query_rows": SEVERAL,
    "as_many_query_rows": EACH,
    "products": PRODUCTS,
    "tokens": TOKENS,
}
configs = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
EVENTS = ("step", "tile", "requantize_constants")
WEIGHTS, LATENTS, DRAIN = 1, 2, 4


def program(config):
    """All modes and sources, each tile of the ring freed by its second context product."""
    columns, lanes = config.columns, 1 << config.lane_bits
    commands = [
        command(config, "project", k=k, n=n, source=source, a=a, b=7 * k)
        for source, k, n, a in (
            ("projection_spread", 1, 2 * columns + 1, 5),
            ("projection_lanes", 17, 1, 2),
            ("vector_spread", 6, columns, 0),
            ("vector_lanes", 2, columns + 1, 1),
        )
    ]
    for tokens in (config.tile_tokens, 1, min(columns + 1, config.tile_tokens), config.tile_tokens):
        if config.product_blocks:
            channels, rows = config.kv_lora_rank, config.rows
            fields = {"mode": "expand", "source": "projection_lanes", "constant": 4}
            commands += [
                command(config, target="lanes", k=channels, n=tokens, rows=rows, **fields),
                command(config, target="row", k=tokens, n=columns, b=columns, rows=1, **fields),
                command(config, "project", k=9, n=columns + 1, source="vector_lanes", product=1),
            ]
        commands += [
            command(config, "score", n=tokens, rows=config.rows, a=lanes, b=3 * lanes),
            command(
                config, "context", n=config.value_channels, k=tokens, rows=config.rows, a=lanes
            ),
            command(config, "score", n=tokens, rows=1, a=2 * lanes, b=lanes),
            command(config, "context", n=1, k=tokens, rows=1, a=0, release=1),
        ]
    if config.product_blocks:
        # Tiles that no score reads.
        fields = {"mode": "expand", "source": "projection_lanes", "rows": config.rows}
        commands += [
            command(config, target="row", k=columns + 2, n=columns, release=1, **fields),
            command(config, target="lanes", k=3, n=2 * columns - 1, release=1, **fields),
        ]
    return commands


def execute(config, commands, **options):
    surroundings = Surroundings(config)
    want = [surroundings.tiles(item) for item in commands]
    count = sum(map(len, want))
    trace = run(
        MatmulSequencer(config),
        surroundings,
        commands,
        events=EVENTS,
        end=lambda t: len(t.events["tile"]) == count and t.cycles("tile")[-1] + 9 < len(t.stalls),
        **options,
    )
    return surroundings, want, trace


@configs
@pytest.mark.parametrize("pauses", ["none", "random"])
def test_steps_and_tiles(config, pauses):
    options = {}
    if pauses == "random":
        rng = np.random.default_rng(1)
        options = {
            "weight_pauses": rng.choice([0, 0, 1, 3], 40).tolist(),
            "command_pauses": [0, 5, 0, 1],
            "fills": np.cumsum(rng.integers(1, 120, 60)).tolist(),
        }
    commands = program(config)
    surroundings, want, trace = execute(config, commands, **options)

    steps = iter(trace.values("step"))
    descriptions = iter(trace.values("tile"))
    bank = 0
    for item, its_tiles in zip(commands, want, strict=True):
        project = MODES[item["mode"]] == "project"
        word = surroundings.constants[item["constant"]]
        for index, tile in enumerate(its_tiles):
            for number, (a, b) in enumerate(zip(tile.a, tile.b, strict=True)):
                step = next(steps)
                assert list(step.a) == a.tolist()
                assert list(step.b) == b.tolist()
                assert (step.first, step.last) == (number == 0, number == len(tile.a) - 1)
            got = next(descriptions)
            assert got.final == (index == len(its_tiles) - 1)
            assert got.columns == tile.columns
            assert got.rows == (config.query_rows if project else item["rows"])
            assert (got.pre, got.post) == (word & 31, word >> 8 & 31)
            if project and config.query_rows > 1:
                assert got.distance == item["b"]
            if config.product_blocks:
                assert got.factor == word >> 16 & 32767
            if project:
                assert got.bank == bank % CONSTANT_BANKS
                bank += 1
            if MODES[item["mode"]] == "score":
                assert (got.index, got.block) == (index, tile.block)
    assert next(steps, None) is None

    constants = trace.values("requantize_constants")
    words = _constant_words(want, commands, surroundings)
    assert [list(value.data) for value in constants] == words
    assert [(value.bank, value.half) for value in constants] == [
        (number // CONSTANT_WORDS % CONSTANT_BANKS, number % CONSTANT_WORDS)
        for number in range(len(words))
    ]
    freed = [released_blocks(config, item) for item in commands if item["release"]]
    assert trace.values("release") == freed


def _constant_words(want, commands, surroundings):
    """The words ahead of each tile of a projection."""
    words, position = [], 0
    for item, its_tiles in zip(commands, want, strict=True):
        if MODES[item["mode"]] == "project":
            for _ in its_tiles:
                words += surroundings.words[position : position + CONSTANT_WORDS]
                position += CONSTANT_WORDS + (0 if item["product"] else item["k"])
    return words


@configs
def test_latency(config):
    """Every issue, and what follows from it, in the cycle that the model states."""
    commands = program(config)
    _, _, trace = execute(config, commands)
    first_issues, last_issues, releases, starts = [], [], [], []
    ready, last, spacing = 0, -1000, 0
    for item in commands:
        mode, k = MODES[item["mode"]], item["k"]
        starts.append(ready)
        now = ready + COMMAND_LATENCY
        for _ in range(tiles(config, item["n"])):
            first = tile_start(now, tile_steps(config, mode, k), last, spacing)
            last = first + tile_issues(config, mode, k) - 1
            spacing = tile_spacing(config, mode, item["rows"])
            now = last + 1
            first_issues.append(first + (CONSTANT_WORDS if mode == "project" else 0))
            last_issues.append(last)
        ready = last + COMMAND_TO_COMMAND
        if item["release"]:
            releases.append(last)
    assert trace.starts == starts
    steps = trace.events["step"]
    assert [now - STEP_LATENCY for now, step in steps if step.first] == first_issues
    assert [now - STEP_LATENCY for now, step in steps if step.last] == last_issues
    assert [now - TILE_LATENCY for now in trace.cycles("tile")] == last_issues
    assert [now - RELEASE_LATENCY for now in trace.cycles("release")] == releases
    constants = trace.cycles("requantize_constants")[:CONSTANT_WORDS]
    assert [now - CONSTANT_LATENCY for now in constants] == [COMMAND_LATENCY, COMMAND_LATENCY + 1]


def test_throughput():
    """One step per cycle from the first to the last where the drain does not hold back."""
    steps = SMALL.tile_tokens
    commands = [command(SMALL, "context", k=steps, n=SMALL.kv_lora_rank, rows=SMALL.rows)]
    _, want, trace = execute(SMALL, commands)
    cycles = trace.cycles("step")
    assert len(cycles) == steps * len(want[0])
    assert {after - before for before, after in pairwise(cycles)} == {1}
    assert not any(trace.stalls)


def test_tells_what_it_waits_for():
    project = command(SMALL, "project", k=20, n=1, source="vector_lanes")
    score = command(SMALL, "score", n=1, rows=1)
    short = command(SMALL, "context", k=1, n=2 * SMALL.columns, rows=2)
    for item, options, cause in (
        (project, {"weight_pauses": [3]}, WEIGHTS),
        (score, {"fills": [50]}, LATENTS),
        (short, {}, DRAIN),
    ):
        _, _, trace = execute(SMALL, [item], **options)
        assert set(trace.stalls) == {0, cause}
    _, _, trace = execute(SMALL, [score], fills=[50])
    assert trace.cycles("step")[0] == 50 + BLOCK_LATENCY + STEP_LATENCY


def test_released_blocks_are_not_counted_again():
    """A tile that follows a release waits for its own block, however soon it comes."""
    tile = [
        command(SMALL, "score", n=1, rows=1),
        command(SMALL, "context", n=1, k=1, rows=1, release=1),
    ]
    _, want, trace = execute(SMALL, tile * 2, fills=[0, 300])
    second = len(want[0][0].a) + len(want[1][0].a)
    assert trace.cycles("step")[second] == 300 + BLOCK_LATENCY + STEP_LATENCY


@configs
def test_converts(config):
    assert "module top" in convert(MatmulSequencer(config))
