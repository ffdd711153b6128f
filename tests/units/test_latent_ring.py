from collections import deque

import numpy as np
import pytest

from mla_hw.cycles.latent_ring import (
    LATENT_FILL_LATENCY,
    LATENT_READ_LATENCY,
    LATENT_SCALE_LATENCY,
    PRODUCT_WRITE_LATENCY,
    block_complete_words,
    row_words,
)
from mla_hw.golden.latent_ring import fill_ring, place_latent, place_product
from rtl_gen.units.latent_ring import LatentRing
from tests.configs import ODD, PRODUCTS, SMALL, TOKENS, WIDE, small_core
from tests.streams import convert, feed, simulate

CONFIGS = {
    "small": SMALL,
    "odd": ODD,
    "wide": WIDE,
    "wide_port": small_core(columns=2, port_bytes=16, ring_blocks=5),
    "one_word": small_core(columns=16, kv_lora_rank=1, qk_rope_head_dim=1, ring_blocks=3),
    "products": PRODUCTS,
    "tokens": TOKENS,
}
#: Cores with product rows: fewer and more blocks and words than those of the ring.
PRODUCT_CONFIGS = {
    "products": PRODUCTS,
    "tokens": TOKENS,
    "one_word": small_core(columns=2, product_blocks=11, product_words=1),
    "long": small_core(columns=8, product_blocks=1, product_words=8),
}


def tiles_of(config):
    """Random tiles, more than the ring holds, of one token, whole and partial blocks."""
    rng = np.random.default_rng(config.columns)
    columns, width = config.columns, config.token_words * config.columns
    sizes = [1, columns, columns + 1, 2 * columns - 1, 2 * columns, 3, 1, 3 * columns]
    rows = [rng.integers(-128, 128, (size, width)) for size in sizes]
    rows[1][0], rows[1][-1] = -128, 127
    scales = [rng.integers(0, 1 << 16, size) for size in sizes]
    scales[1][0], scales[1][-1] = 0, (1 << 16) - 1
    return rows, scales


def words_of(config, rows, scales):
    """Words of one tile as they lie in memory, with rubbish in the padding."""
    out = []
    for row, scale in zip(rows, scales, strict=True):
        memory = np.full(config.row_bytes, 0xA5, np.uint8)
        memory[: len(row)] = row.astype(np.uint8)
        memory[len(row) : len(row) + 2] = scale & 255, scale >> 8
        out += memory.reshape(-1, config.columns).tolist()
    return out


class Monitor:
    """Compares ``filled`` with the prediction in every cycle and records accepted words."""

    def __init__(self, config, sizes):
        completing, first = [], 0
        for size in sizes:
            completing += [first + word for word in block_complete_words(config, size)]
            first += size * row_words(config)
        self.completing = set(completing)
        self.accepted = []
        self.highest = 0

    def run(self, dut):
        async def monitor(ctx):
            cycle, expected, pending = 0, 0, deque([0] * LATENT_FILL_LATENCY)
            signals = (dut.i.valid, dut.i.ready, dut.filled, dut.release)
            async for _, _, valid, ready, filled, release in ctx.tick().sample(*signals):
                expected += pending.popleft()
                assert filled == expected, f"cycle {cycle}"
                self.highest = max(self.highest, filled)
                expected -= release
                complete = bool(valid and ready) and len(self.accepted) in self.completing
                pending.append(complete)
                if valid and ready:
                    self.accepted.append(cycle)
                cycle += 1

        return monitor


class Reads:
    """Presents one read per cycle and checks each answer when it is due."""

    def __init__(self, ctx, dut):
        self.ctx, self.dut = ctx, dut
        self.lanes = deque([None] * LATENT_READ_LATENCY)
        self.scales = deque([None] * LATENT_SCALE_LATENCY)

    async def present(self, request=None, expected=None, address=None, scale=None):
        if request is not None:
            self.ctx.set(self.dut.read, request)
        if address is not None:
            self.ctx.set(self.dut.scale.address, address)
        self.lanes.append(expected)
        self.scales.append(scale)
        expected, scale = self.lanes.popleft(), self.scales.popleft()
        if expected is not None:
            assert list(self.ctx.get(self.dut.b))[: len(expected)] == expected
        if scale is not None:
            assert self.ctx.get(self.dut.scale.data) == scale
        await self.ctx.tick()


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("pauses", [(0,), (0, 0, 3, 0, 1)], ids=["fast", "slow"])
@pytest.mark.parametrize("full", [False, True])
def test_matches_golden(config, pauses, full):
    """Each block is read, by column and by row, from the very cycle on in which it is counted.

    With ``full``, reading begins when the ring is full.
    """
    columns = config.columns
    rows, scales = tiles_of(config)
    sizes = [len(tile) for tile in rows]
    blocks = [-(-size // columns) for size in sizes]
    dut = LatentRing(config)
    monitor = Monitor(config, sizes)
    released = 0

    async def announce(ctx):
        await feed(ctx, dut.tile, [{"tokens": size} for size in sizes], pauses)

    async def source(ctx):
        reserved = 0
        for tile, tile_scales in zip(rows, scales, strict=True):
            for first in range(0, len(tile), columns):
                while reserved - released == config.ring_blocks:
                    await ctx.tick()
                reserved += 1
                part = slice(first, first + columns)
                await feed(ctx, dut.i, words_of(config, tile[part], tile_scales[part]), pauses)

    async def sink(ctx):
        nonlocal released
        reads, base = Reads(ctx, dut), 0
        while full and ctx.get(dut.filled) < config.ring_blocks:
            await reads.present()
        for tile, tile_scales, n_blocks in zip(rows, scales, blocks, strict=True):
            for index in range(n_blocks):
                while ctx.get(dut.filled) <= index:
                    await reads.present()
                block = (base + index) % config.ring_blocks
                held = tile[index * columns : (index + 1) * columns]
                held_scales = tile_scales[index * columns : (index + 1) * columns]
                for channel in reversed(range(held.shape[1])):
                    word, offset = divmod(channel, columns)
                    request = {"column": 1, "block": block, "word": word, "index": offset}
                    await reads.present(request, held[:, channel].tolist())
                for token in reversed(range(len(held))):
                    for word in range(config.token_words):
                        request = {"column": 0, "block": block, "word": word, "index": token}
                        lanes = held[token, word * columns : (word + 1) * columns].tolist()
                        address, scale = block * columns + token, int(held_scales[token])
                        await reads.present(request, lanes, address, scale)
            ctx.set(dut.release, n_blocks)
            await reads.present()
            ctx.set(dut.release, 0)
            released += n_blocks
            base += n_blocks
        for _ in range(LATENT_READ_LATENCY):
            await reads.present()

    simulate(dut, announce, source, sink, background=[monitor.run(dut)], max_cycles=50_000)
    assert len(monitor.accepted) == sum(sizes) * row_words(config)
    assert sum(blocks) > config.ring_blocks
    if full:
        assert monitor.highest == config.ring_blocks


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_memories_match_golden(config):
    """The whole ring, stale lanes of partial blocks included; throughput of the writes."""
    rows, scales = tiles_of(config)
    sizes = [len(tile) for tile in rows]
    banks, held_scales = fill_ring(config, rows, scales)
    dut = LatentRing(config)
    monitor = Monitor(config, sizes)

    async def announce(ctx):
        await feed(ctx, dut.tile, [{"tokens": size} for size in sizes])

    async def testbench(ctx):
        for tile, tile_scales in zip(rows, scales, strict=True):
            # Every block is released as soon as it is counted, so that the ring never runs over.
            for word in words_of(config, tile, tile_scales):
                await feed(ctx, dut.i, [word])
                ctx.set(dut.release, ctx.get(dut.filled))
        for _ in range(LATENT_FILL_LATENCY):
            await ctx.tick()
            ctx.set(dut.release, ctx.get(dut.filled))
        await ctx.tick()
        reads = Reads(ctx, dut)
        for block in range(config.ring_blocks):
            for word in range(config.token_words):
                for token in range(config.columns):
                    channels = word * config.columns + np.arange(config.columns)
                    expected = banks[place_latent(config, block, token, channels)].tolist()
                    request = {"column": 0, "block": block, "word": word, "index": token}
                    address = block * config.columns + token
                    await reads.present(request, expected, address, int(held_scales[address]))
        for _ in range(LATENT_READ_LATENCY):
            await reads.present()

    simulate(dut, announce, testbench, background=[monitor.run(dut)], max_cycles=50_000)
    # A word per cycle, across the border of tiles, too.
    assert np.diff(monitor.accepted).tolist() == [1] * (len(monitor.accepted) - 1)


@pytest.mark.parametrize("config", PRODUCT_CONFIGS.values(), ids=PRODUCT_CONFIGS)
def test_product_rows(config):
    """Elements in any order; each can be read, by column and by row, as soon as it may be."""
    rng = np.random.default_rng(2)
    columns = config.columns
    shape = (config.product_blocks * columns, config.product_words * columns)
    held = rng.integers(-128, 128, shape)
    dut = LatentRing(config)

    async def testbench(ctx):
        reads = Reads(ctx, dut)

        async def write(row, channel):
            element = row << config.product_bits | channel
            ctx.set(dut.product, {"en": 1, "element": element, "data": int(held[row, channel])})
            await reads.present()
            ctx.set(dut.product.en, 0)

        async def read(row, channel, *, column):
            (block, token), (word, offset) = divmod(row, columns), divmod(channel, columns)
            request = {"product": 1, "column": column, "block": block, "word": word}
            request["index"] = offset if column else token
            rows, channels = np.arange(columns) + block * columns, slice(word * columns, None)
            lanes = held[rows, channel] if column else held[row, channels][:columns]
            await reads.present(request, lanes.tolist())

        for place in rng.permutation(held.size):
            await write(*divmod(int(place), shape[1]))
        for block in range(config.product_blocks):
            for channel in range(shape[1]):
                await read(block * columns, channel, column=1)
        for row in range(shape[0]):
            for word in range(config.product_words):
                await read(row, word * columns, column=0)
        # A read, right behind the write that it sees.
        for _ in range(20):
            row, channel = (int(rng.integers(size)) for size in shape)
            held[row, channel] = rng.integers(-128, 128)
            await write(row, channel)
            for _ in range(PRODUCT_WRITE_LATENCY - 1):
                await reads.present()
            await read(row, channel, column=int(rng.integers(2)))
        for _ in range(LATENT_READ_LATENCY):
            await reads.present()

    simulate(dut, testbench, max_cycles=50_000)


@pytest.mark.parametrize("config", PRODUCT_CONFIGS.values(), ids=PRODUCT_CONFIGS)
def test_golden_places_of_products_without_conflict(config):
    rows, channels = config.product_blocks * config.columns, config.product_words * config.columns
    bank, address = place_product(config, *np.indices((rows, channels)))
    places = set(zip(bank.ravel().tolist(), address.ravel().tolist(), strict=True))
    assert len(places) == bank.size == config.columns * config.product_depth
    assert address.max() < config.product_depth
    for by_row in bank.reshape(-1, config.columns):
        assert len(set(by_row.tolist())) == config.columns
    for by_column in bank.T.reshape(-1, config.columns):
        assert len(set(by_column.tolist())) == config.columns


def test_waits_for_the_tile():
    dut = LatentRing(SMALL)

    async def testbench(ctx):
        ctx.set(dut.i.valid, 1)
        for _ in range(3):
            assert not ctx.get(dut.i.ready)
            await ctx.tick()
        ctx.set(dut.tile.payload, {"tokens": 1})
        ctx.set(dut.tile.valid, 1)
        await ctx.tick()
        ctx.set(dut.tile.valid, 0)
        assert not ctx.get(dut.i.ready)  # it begins in the cycle after it was taken
        await ctx.tick()
        for _ in range(row_words(SMALL)):
            assert ctx.get(dut.i.ready)
            await ctx.tick()
        assert not ctx.get(dut.i.ready)

    simulate(dut, testbench)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_golden_places_without_conflict(config):
    block, token, channel = np.meshgrid(
        np.arange(config.ring_blocks),
        np.arange(config.columns),
        np.arange(config.token_words * config.columns),
        indexing="ij",
    )
    bank, address = place_latent(config, block, token, channel)
    places = set(zip(bank.ravel().tolist(), address.ravel().tolist(), strict=True))
    assert len(places) == bank.size == config.columns * config.ring_depth
    for by_column in np.moveaxis(bank, 1, -1).reshape(-1, config.columns):
        assert len(set(by_column.tolist())) == config.columns
    for by_row in bank.reshape(-1, config.columns):
        assert len(set(by_row.tolist())) == config.columns


def test_complete_words():
    # Rows of three data words, one word with the scale, and no padding.
    config = small_core(columns=4, port_bytes=4, kv_lora_rank=8, qk_rope_head_dim=4)
    assert row_words(config) == 4
    assert block_complete_words(config, 1) == (3,)
    assert block_complete_words(config, 4) == (15,)
    assert block_complete_words(config, 9) == (15, 31, 35)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_converts(config):
    verilog = convert(LatentRing(config))
    assert all(f"bank_{bank}" in verilog for bank in range(config.columns))
    assert ("product_0" in verilog) == (config.product_blocks > 0)
