import numpy as np
import pytest
from amaranth import signed

from mla_hw.hardware import memory_slices
from rtl_gen.units.simple_memory import SimpleMemory
from tests.streams import simulate

SHAPES = {
    "scratch": (signed(16), 120),
    "table": (32, 4),
    "two": (8, 2),
    "two_slices": (signed(16), 1100),
    "three_slices": (24, 2570),
}
# Powers of two, the rest, and what is rounded up.
SLICES = {
    (1, 16): [2],
    (512, 64): [512],
    (513, 64): [512, 2],
    (1000, 16): [1000],
    (1100, 16): [1024, 76],
    (1100, 24): [1024, 76],
    (2560, 16): [2048, 512],
    (3600, 16): [4096],
    (2570, 24): [2048, 512, 10],
    (16128, 8): [16384],
    (40000, 8): [16384, 16384, 8192],
}


@pytest.mark.parametrize(("shape", "depth"), SHAPES.values(), ids=SHAPES)
def test_matches_an_array(shape, depth):
    rng = np.random.default_rng(0)
    dut, cycles = SimpleMemory(shape, depth), 400
    low = -(1 << 15) if shape == signed(16) else 0
    width = shape if isinstance(shape, int) else shape.width
    values = rng.integers(low, low + (1 << width), cycles)
    writes, places, reads = (rng.integers(0, bound, cycles) for bound in (2, depth, depth))

    async def testbench(ctx):
        expected = [0] * depth
        for en, place, value, address in zip(writes, places, values, reads, strict=True):
            # What is read while it is written is not promised.
            address = (place + 1) % depth if en and address == place else address
            ctx.set(dut.w, {"en": int(en), "address": int(place), "data": int(value)})
            ctx.set(dut.read.address, int(address))
            await ctx.tick().repeat(dut.timing.latency)
            if en:
                expected[place] = int(value)
            assert ctx.get(dut.read.data) == expected[address]

    simulate(dut, testbench)


@pytest.mark.parametrize(("size", "slices"), SLICES.items())
def test_slices(size, slices):
    assert memory_slices(*size) == slices
    assert sum(slices) >= size[0]
