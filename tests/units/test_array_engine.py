from itertools import pairwise

import numpy as np
import pytest

from mla_hw.cycles.array_engine import (
    done_latency,
    matmul_cycles,
    payload_latency,
    tile_interval,
)
from mla_hw.cycles.matmul_sequencer import (
    COMMAND_LATENCY,
    COMMAND_TO_COMMAND,
    CONSTANT_WORDS,
    tile_issues,
    tile_spacing,
    tile_start,
    tile_steps,
    tiles,
)
from mla_hw.cycles.requantizer import requantizer_timing
from mla_hw.golden.systolic_array import multiply_accumulate
from mla_hw.hardware import CONSTANT_BANKS
from rtl_gen.units.array_engine import ArrayEngine
from tests.configs import EACH, ODD, PRODUCTS, SEVERAL, SMALL, TOKENS, WIDE, small_core
from tests.matmul import (
    MODES,
    TARGETS,
    Surroundings,
    command,
    is_by_row,
    modes,
    released_blocks,
    run,
)
from tests.streams import convert

CONFIGS = {
    "small": SMALL,
    "odd": ODD,
    "wide": WIDE,
    "one_row": small_core(rows=1, accumulator_lanes=1, heads=1, columns=2, ring_blocks=9),
    "more_lanes_than_columns": small_core(
        rows=6, accumulator_lanes=3, heads=6, columns=2, ring_blocks=10
    ),
    "several_query_rows": SEVERAL,
    "as_many_query_rows": EACH,
    "products": PRODUCTS,
    "tokens": TOKENS,
}
configs = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
modes_of_configs = pytest.mark.parametrize(
    ("config", "mode"),
    [
        pytest.param(config, mode, id=f"{name}-{mode}")
        for name, config in CONFIGS.items()
        for mode in modes(config)
    ],
)
PAYLOADS = {"project": "requantize", "expand": "requantize"}
OUTPUTS = ("requantize", "score", "context")


def program(config):
    """All modes, sources and targets, edge lengths, a ring that wraps, commands back to back."""
    rows, columns, lanes = config.rows, config.columns, 1 << config.lane_bits
    kv, tokens = config.value_channels, config.tile_limit
    score = config.score_depth - rows * tokens
    context = config.context_depth - rows // config.accumulator_lanes * kv

    def project(**fields):
        return command(config, "project", b=(1 << 23) + 5, **fields)

    def attention(group, tokens, rows):
        fields = {"rows": rows, "group": group}
        return [
            *expansions(tokens, rows),
            command(config, "score", n=tokens, a=group * lanes * kv, b=lanes, c=score, **fields),
            command(config, "context", n=kv, k=tokens, a=2 * lanes, c=context, **fields),
        ]

    def expansions(tokens, rows):
        if not config.product_blocks:
            return []
        channels = config.token_words * columns
        fields = {"mode": "expand", "source": "projection_lanes", "rows": rows, "constant": 3}
        return [
            command(config, target="lanes", k=channels - 1, n=tokens, a=lanes, c=1, **fields),
            command(
                config, target="row", k=tokens, n=columns + 1, b=columns, c=2 * columns, **fields
            ),
            project(k=2 * columns + 1, n=columns + 1, source="vector_spread", product=1),
        ]

    return [
        project(
            k=columns + 3, n=2 * columns + 1, source="projection_spread", target="scratch", c=7
        ),
        project(k=1, n=1, a=3, source="vector_spread", target="output"),
        *attention(0, min(tokens, 2 * columns + 1), rows),
        *attention(1, min(tokens, 2 * columns + 1), max(1, rows - 1)),
        project(k=1, n=5 * columns, a=rows - 1, source="vector_lanes", target="lanes", constant=2),
        *attention(1, 1, 1),
        project(k=9, n=columns, a=lanes * 4, source="projection_lanes", target="spread", c=9),
        *attention(0, tokens, rows),
    ]


def releases(commands):
    """Let the last context product before each new score free the ring."""
    out = [dict(item) for item in commands]
    lengths = [
        (i, item["k"]) for i, item in enumerate(out) if item["mode"] == MODES.index("context")
    ]
    for (index, length), (_, following) in zip(lengths, [*lengths[1:], (None, 0)], strict=True):
        out[index]["release"] = int(length != following)
    return out


def expected(config, surroundings, commands):
    """Every payload in order: output name to list of dicts."""
    out = {name: [] for name in OUTPUTS}
    bank = 0
    for item in commands:
        mode, target = MODES[item["mode"]], TARGETS[item["target"]]
        word = surroundings.constants[item["constant"]]
        shifts = {"pre": word & 31, "post": word >> 8 & 31}
        factor = {"factor": word >> 16 & 32767} if config.product_blocks else {}
        head = item["group"] << config.lane_bits
        for index, tile in enumerate(surroundings.tiles(item)):
            acc = multiply_accumulate(tile.a, tile.b)
            first = index * config.columns
            if mode == "project":
                step = 1 << config.lane_bits if target == "lanes" else 1
                out["requantize"] += [
                    {
                        "acc": acc[row, c],
                        "column": c,
                        "bank": bank % CONSTANT_BANKS,
                        "target": item["target"],
                        "element": (item["c"] + row * item["b"] + (first + c) * step) % (1 << 24),
                        **shifts,
                        **factor,
                    }
                    for row in range(config.query_rows)
                    for c in range(tile.columns)
                ]
                bank += 1
            elif mode == "expand":
                row_step, column_step = 1, 1 << config.product_bits
                if is_by_row(item):
                    row_step, column_step = column_step, row_step
                out["requantize"] += [
                    {
                        "acc": acc[r, c],
                        "column": c,
                        "bank": bank % CONSTANT_BANKS,
                        "target": TARGETS.index("row"),
                        "element": item["c"] + r * row_step + (first + c) * column_step,
                        **shifts,
                        **factor,
                    }
                    for r in range(item["rows"])
                    for c in range(tile.columns)
                ]
            elif mode == "score":
                out["score"] += [
                    {
                        "acc": acc[r, c],
                        "block_token": tile.block * config.columns + c,
                        "token": first + c,
                        "group": item["group"],
                        "head": head | r,
                        "address": item["c"] + r * config.tile_limit + first + c,
                        "first": first + c == 0,
                        **shifts,
                    }
                    for r in range(item["rows"])
                    for c in range(tile.columns)
                ]
            else:
                out["context"] += [
                    {
                        "lane": r % config.accumulator_lanes,
                        "acc": acc[r, c],
                        "head": head | r,
                        "address": item["c"]
                        + r // config.accumulator_lanes * config.value_channels
                        + first
                        + c,
                    }
                    for r in range(item["rows"])
                    for c in range(tile.columns)
                ]
    return out


def check(config, trace, want):
    """Compare all payloads: in order, those of a lane of the accumulator for each lane."""
    for name in OUTPUTS:
        lanes = range(config.accumulator_lanes) if name == "context" else [None]
        for lane in lanes:
            wanted = [
                {key: int(value) for key, value in item.items() if key != "lane"}
                for item in want[name]
                if item.get("lane") == lane
            ]
            values = trace.values(name)
            if name == "context":
                values = [value for at, value in values if at == lane]
            assert wanted
            assert [{key: getattr(value, key) for key in wanted[0]} for value in values] == wanted


@configs
@pytest.mark.parametrize("pauses", ["none", "random"])
def test_matches_golden(config, pauses):
    surroundings = Surroundings(config)
    commands = releases(program(config))
    want = expected(config, surroundings, commands)
    options = {}
    if pauses == "random":
        rng = np.random.default_rng(1)
        options = {
            "weight_pauses": rng.choice([0, 0, 0, 1, 4], 50).tolist(),
            "command_pauses": [0, 0, 7, 1],
            "fills": np.cumsum(rng.integers(20, 160, 60)).tolist(),
        }
    trace = run(
        ArrayEngine(config),
        surroundings,
        commands,
        events=OUTPUTS,
        end=lambda trace: len(trace.dones) == len(commands),
        **options,
    )
    check(config, trace, want)
    if pauses == "none":
        assert (trace.starts, trace.dones) == timeline(config, commands)
    freed = [released_blocks(config, item) for item in commands if item["release"]]
    assert trace.values("release") == freed


def timeline(config, commands):
    """Start and end of each command by the cycle model, when all data is there."""
    starts, ends = [], []
    ready, last, spacing = 0, -1000, 0
    for item in commands:
        mode, k, rows = MODES[item["mode"]], item["k"], item["rows"]
        starts.append(ready)
        now = ready + COMMAND_LATENCY
        for _ in range(tiles(config, item["n"])):
            first = tile_start(now, tile_steps(config, mode, k), last, spacing)
            last = first + tile_issues(config, mode, k) - 1
            spacing = tile_spacing(config, mode, rows)
            now = last + 1
        ready = last + COMMAND_TO_COMMAND
        ends.append(last + done_latency(config, mode, rows))
    return starts, ends


@modes_of_configs
@pytest.mark.parametrize("k", [1, 12])
def test_latency(config, mode, k):
    """From start to end; first and last payload; one command alone."""
    rows, n = config.rows, 2 * config.columns
    item = command(config, mode, k=k, n=n, rows=rows, source="projection_spread")
    surroundings = Surroundings(config)
    surroundings.tiles(item)
    name = PAYLOADS.get(mode, mode)
    trace = run(
        ArrayEngine(config), surroundings, [item], events=[name], end=lambda trace: trace.dones
    )
    assert trace.dones[0] - trace.starts[0] == matmul_cycles(config, mode, k=k, n=n, rows=rows)
    first_tile = COMMAND_LATENCY + tile_issues(config, mode, k) - 1
    assert trace.cycles(name)[0] - trace.starts[0] == first_tile + payload_latency(config)


@modes_of_configs
def test_throughput(config, mode):
    """Tiles follow each other without a bubble, or at the pace of the drain."""
    rows, count = config.rows, 4
    n = count * config.columns
    for k in (1, 3 * config.columns * config.rows):
        item = command(config, mode, k=k, n=n, rows=rows, source="vector_lanes")
        if mode == "context" and k > config.tile_tokens:
            item["k"] = k = config.tile_tokens
        surroundings = Surroundings(config)
        surroundings.tiles(item)
        name = PAYLOADS.get(mode, mode)
        trace = run(ArrayEngine(config), surroundings, [item], events=[name], end=lambda t: t.dones)
        payloads = len(trace.cycles(name)) // count
        firsts = trace.cycles(name)[::payloads]
        interval = tile_interval(config, mode, k, rows)
        assert {after - before for before, after in pairwise(firsts)} == {interval}
        issues, steps = tile_issues(config, mode, k), tile_steps(config, mode, k)
        assert interval == issues + max(0, tile_spacing(config, mode, rows) - steps)


@configs
def test_constants_outlast_their_tile(config):
    """A bank is written after its last tile has left the requantiser, however short tiles are."""
    item = command(config, "project", k=1, n=12 * config.columns, source="vector_spread")
    surroundings = Surroundings(config)
    count = len(surroundings.tiles(item))
    trace = run(
        ArrayEngine(config),
        surroundings,
        [item],
        events=("requantize", "requantize_constants"),
        end=lambda t: t.dones,
    )
    sums = trace.cycles("requantize")
    written = trace.cycles("requantize_constants")
    sums_per_tile = config.query_rows * config.columns
    for tile in range(count):
        assert written[CONSTANT_WORDS * (tile + 1) - 1] < sums[tile * sums_per_tile]
    for tile in range(count - CONSTANT_BANKS):
        last_use = sums[(tile + 1) * sums_per_tile - 1] + requantizer_timing().latency
        assert last_use < written[CONSTANT_WORDS * (tile + CONSTANT_BANKS)]


def test_ends_in_program_order():
    """A short drain after a long one does not overtake it."""
    config = CONFIGS["more_lanes_than_columns"]
    commands = [
        command(config, "context", k=1, n=1, rows=config.rows),
        command(config, "project", k=1, n=1, source="vector_spread"),
        command(config, "context", k=1, n=1, rows=1),
        command(config, "score", n=1, rows=config.rows),
        command(config, "project", k=1, n=1, source="vector_spread"),
    ]
    surroundings = Surroundings(config)
    for item in commands:
        surroundings.tiles(item)
    trace = run(
        ArrayEngine(config), surroundings, commands, end=lambda t: len(t.dones) == len(commands)
    )
    assert (trace.starts, trace.dones) == timeline(config, commands)
    assert all(before < after for before, after in pairwise(trace.dones))


@configs
def test_converts(config):
    assert "module top" in convert(ArrayEngine(config))
