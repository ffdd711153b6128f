import numpy as np
import pytest

from mla_hw.cycles.drain_controller import (
    PAYLOAD_TIMING,
    POST_LATENCY,
    drain_cycles,
    lanes,
    last_payload,
    slot_cycles,
)
from mla_hw.cycles.matmul_sequencer import STEP_LATENCY, TILE_LATENCY
from mla_hw.cycles.systolic_array import DRAIN_TIMING, result_latency
from rtl_gen.units.drain_controller import DrainController
from tests.configs import EACH, ODD, PRODUCTS, SEVERAL, SMALL, TOKENS, WIDE, small_core
from tests.matmul import MODES, TARGETS, modes
from tests.streams import convert, simulate

CONFIGS = {
    "small": SMALL,
    "odd": ODD,
    "wide": WIDE,
    "one_row": small_core(rows=1, accumulator_lanes=1, heads=1, columns=2, ring_blocks=9),
    "more_lanes_than_columns": small_core(rows=6, accumulator_lanes=3, heads=6, columns=2),
    "several_query_rows": SEVERAL,
    "as_many_query_rows": EACH,
    "products": PRODUCTS,
    "tokens": TOKENS,
}
configs = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def make_tiles(config):
    """Tiles of all kinds: each with the cycle of its announcement, mostly as soon as may be."""
    rng = np.random.default_rng(0)
    kinds = [
        (mode, target)
        for mode in modes(config)
        for target in ("row" if mode == "expand" else "output", "lanes")
    ]
    tiles, now = [], 2
    for number in range(24):
        mode, target = kinds[rng.integers(len(kinds))]
        tile = {
            "en": 1,
            "final": number % 3 != 0,
            "mode": MODES.index(mode),
            "target": TARGETS.index(target),
            "bank": number % 4,
            "pre": rng.integers(32),
            "post": rng.integers(32),
            "rows": config.query_rows if mode == "project" else rng.integers(1, config.rows + 1),
            "group": rng.integers(4),
            "columns": rng.integers(1, config.columns + 1),
            "index": rng.integers(config.tile_blocks),
            "block": rng.integers(config.ring_blocks),
            "element": rng.integers(2),
        }
        if config.query_rows > 1:
            tile["distance"] = rng.integers(1 << 24)
        if config.product_blocks:
            tile["factor"] = rng.integers(1 << 15)
        tiles.append((now, {name: int(value) for name, value in tile.items()}))
        now += drain_cycles(config, mode, int(tile["rows"])) + int(rng.choice([0, 0, 3]))
    return tiles


def result(tile, row, column):
    """A number that tells where it comes from."""
    return (tile << 16) + (row << 8) + column


def shown_after(config):
    """Cycles from a tile's announcement to its first result at the array's output."""
    return STEP_LATENCY - TILE_LATENCY + result_latency(config.columns, 0)


def expected(config, tiles):
    """Payloads as (cycle, port, lane, fields), and the cycles of ``done``."""
    payloads, dones = [], []
    for number, (announced, tile) in enumerate(tiles):
        mode = MODES[tile["mode"]]
        first = announced + shown_after(config) + PAYLOAD_TIMING.latency
        if tile["final"]:
            dones.append(first + last_payload(config, mode, tile["rows"]) + POST_LATENCY)
        for row in range(tile["rows"]):
            slot, lane = divmod(row, lanes(config, mode))
            for column in range(tile["columns"]):
                now = first + slot * slot_cycles(config, mode) + lane + column
                fields = {"acc": result(number, row, column)}
                head = (tile["group"] << config.lane_bits) + row
                shifts = {"pre": tile["pre"], "post": tile["post"]}
                if mode == "project":
                    scattered = TARGETS[tile["target"]] == "lanes"
                    stride = 1 << config.lane_bits if scattered else 1
                    fields |= {
                        "column": column,
                        "bank": tile["bank"],
                        "target": tile["target"],
                        "element": (
                            tile["element"] + row * tile.get("distance", 0) + column * stride
                        )
                        % (1 << 24),
                        **shifts,
                    }
                    payloads.append((now, "requantize", 0, fields))
                elif mode == "expand":
                    row_step, column_step = 1, 1 << config.product_bits
                    if TARGETS[tile["target"]] == "row":
                        row_step, column_step = column_step, row_step
                    fields |= {
                        "target": TARGETS.index("row"),
                        "element": tile["element"] + row * row_step + column * column_step,
                        "factor": tile["factor"],
                        **shifts,
                    }
                    payloads.append((now, "requantize", 0, fields))
                elif mode == "score":
                    token = tile["index"] * config.columns + column
                    address = tile["element"] + row * config.tile_limit + column
                    fields |= {
                        "block_token": tile["block"] * config.columns + column,
                        "token": token,
                        "group": tile["group"],
                        "head": head,
                        "address": address % (1 << (config.score_depth - 1).bit_length()),
                        "first": token == 0,
                        **shifts,
                    }
                    payloads.append((now, "score", 0, fields))
                else:
                    address = tile["element"] + slot * config.value_channels + column
                    fields |= {"head": head, "address": address}
                    payloads.append((now, "context", lane, fields))
    return payloads, dones


def place(item):
    """Cycle, port and lane."""
    return item[:3]


@configs
def test_payloads_and_latency(config):
    tiles = make_tiles(config)
    want, want_done = expected(config, tiles)
    dut = DrainController(config)
    announced = dict(tiles)
    payloads, dones = [], []

    async def bench(ctx):
        # Of each row the tile and the cycle in which it shows column 0.
        shown = {}
        for now in range(want_done[-1] + 50):
            ctx.set(dut.tile, announced.get(now, {"en": 0}))
            for row, (number, since) in shown.items():
                column = min(now - since, config.columns - 1)
                ctx.set(dut.results[row], result(number, row, column))
            ports = [("requantize", 0, dut.requantize), ("score", 0, dut.score)]
            ports += [("context", lane, dut.context[lane]) for lane in range(len(dut.context))]
            for name, lane, port in ports:
                if ctx.get(port.en):
                    payloads.append((now, name, lane, ctx.get(port)))
            if ctx.get(dut.done):
                dones.append(now)
            pulses = ctx.get(dut.drain)
            await ctx.tick()
            finished = [n for n, (at, _) in enumerate(tiles) if at + shown_after(config) <= now + 1]
            for row in range(config.rows):
                if pulses >> row & 1:
                    shown[row] = (finished[-1], now + DRAIN_TIMING.latency)

    simulate(dut, bench)
    want.sort(key=place)
    assert [place(item) for item in sorted(payloads, key=place)] == [place(item) for item in want]
    for (*_, value), (*_, fields) in zip(sorted(payloads, key=place), want, strict=True):
        assert {field: getattr(value, field) for field in fields} == fields
    assert dones == want_done


@configs
def test_converts(config):
    assert "module top" in convert(DrainController(config))
