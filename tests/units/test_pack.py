import numpy as np
import pytest

from mla_hw.cycles.pack import pack_cycles
from mla_hw.golden.pack import pack_row
from rtl_gen.units.pack import Pack
from tests.configs import ODD, SMALL, WIDE
from tests.streams import convert
from tests.vector import VectorBench

CONFIGS = {"small": SMALL, "odd": ODD, "wide": WIDE}
CONSTANT = 2
# Ratio and shift: about 1, tiny, one that saturates the key, no shift, nothing left.
RATIOS = [(30000, 15), (3, 12), (32767, 11), (1, 0), (0, 31), (32767, 31)]


def rows(config):
    """Latents and key of one cache row: random and corners."""
    k, n = config.kv_lora_rank, config.qk_rope_head_dim
    rng = np.random.default_rng(k)
    for latent, key in ((32767, 32767), (1200, 30000), (9, 5), (3000, 40), (1, 1), (32767, 0)):
        yield rng.integers(-latent, latent + 1, k), rng.integers(-key, key + 1, n)
    yield np.zeros(k, np.int64), np.zeros(n, np.int64)
    yield np.full(k, -32767), np.full(n, 32767)
    yield np.zeros(k, np.int64), np.arange(n) - n // 2
    yield np.array([-4] + [1] * (k - 1)), np.zeros(n, np.int64)


def expected_bytes(config, latents, key, scale):
    """Bytes in the order in which they are written, with their places in the cache row."""
    word = config.columns
    places = [
        *range(len(latents)),
        *(config.latent_words * word + i for i in range(len(key))),
        config.token_words * word,
        config.token_words * word + 1,
    ]
    values = [*latents.tolist(), *key.tolist(), scale & 0xFF, scale >> 8]
    return list(zip(places, [value & 0xFF for value in values], strict=True))


class PackBench(VectorBench):
    """Fills the staging memory from the bench's own port before the first command."""

    def __init__(self, config, ratio, shift):
        constants = [0xFFFFFFFF] * config.constants
        constants[CONSTANT] = 0xFFE00000 | shift << 16 | ratio
        super().__init__(
            Pack(config), outputs=("packed",), pulses=("saturated",), constants=constants
        )
        self.config = config

    async def before(self, ctx, latents, key):
        port = self.dut.row_i
        ctx.set(port.en, 1)
        for start, values in ((0, latents), (self.config.kv_lora_rank, key)):
            for index, value in enumerate(values.tolist()):
                ctx.set(port.index, start + index)
                ctx.set(port.data, value)
                await ctx.tick()
        ctx.set(port.en, 0)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize(("ratio", "shift"), RATIOS)
def test_matches_golden(name, ratio, shift):
    config = CONFIGS[name]
    total = 0
    for latents, key in rows(config):
        bench = PackBench(config, ratio, shift)
        item = {"constant": CONSTANT, "k": len(latents), "n": len(key)}
        # Packing leaves the row as it is: the second time gives the same.
        records = bench.run(
            item, item, prepare=lambda ctx, b=bench, c=latents, k=key: b.before(ctx, c, k)
        )
        *quantized, scale, saturated = pack_row(latents, key, ratio, shift)
        for record in records:
            writes = [(write["index"], write["data"]) for write in record["packed"]]
            assert writes == expected_bytes(config, *quantized, scale)
            assert record["saturated"] == saturated
        total += saturated
    assert (total > 0) == (ratio >> shift > 1)


def test_duration_depends_on_the_lengths_only():
    lengths = [(10, 6), (1, 1), (4, 3), (7, 6)]
    for latents, key in rows(SMALL):
        bench = PackBench(SMALL, 123, 7)
        commands = [{"constant": CONSTANT, "k": k, "n": n} for k, n in lengths]
        records = bench.run(
            *commands, prepare=lambda ctx, b=bench, c=latents, k=key: b.before(ctx, c, k)
        )
        assert [record["cycles"] for record in records] == [pack_cycles(k, n) for k, n in lengths]
        assert [record["gap"] for record in records] == [1] * len(lengths)


def test_bytes_never_saturate():
    """The largest magnitude of a row becomes 127, the same without the limit."""
    for scale in range(1, 32768):
        n = 15 - scale.bit_length()
        inverse, shift = (127 << 22) // (scale << n), 22 - n
        unlimited = (scale * inverse + (1 << shift >> 1)) >> shift
        assert unlimited == 127
        if scale % 97 == 0:
            latents, _, found, _ = pack_row(np.array([scale]), np.array([0]), 0, 0)
            assert (latents[0], found) == (unlimited, scale)


@pytest.mark.parametrize("name", CONFIGS)
def test_converts(name):
    assert "row_i" in convert(Pack(CONFIGS[name]))
