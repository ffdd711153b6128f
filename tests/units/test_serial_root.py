import numpy as np
import pytest

from mla_hw.errors import ConfigError
from mla_hw.golden.serial_root import square_root
from rtl_gen.units.serial_root import SerialRoot
from tests.streams import convert, simulate


def radicands(bits):
    limit = 1 << bits
    root = (1 << (bits // 2)) - 1
    rng = np.random.default_rng(bits)
    corner = {0, 1, 2, 3, root, root**2 - 1, root**2, limit - 1}
    squares = [int(value) ** 2 for value in rng.integers(0, root + 1, 10)]
    near = {value + offset for value in squares for offset in (-1, 0, 1)}
    return sorted(
        value
        for value in corner | near | set(rng.integers(0, limit, 10).tolist())
        if 0 <= value < limit
    )


@pytest.mark.parametrize("bits", [2, 6, 20, 48])
def test_matches_golden(bits):
    dut = SerialRoot(bits=bits)

    async def testbench(ctx):
        for radicand in radicands(bits):
            ctx.set(dut.radicand, radicand)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            ctx.set(dut.radicand, 0)
            for _ in range(dut.timing.latency - 1):
                assert not ctx.get(dut.done)
                await ctx.tick()
            # The next root starts in the cycle of the result.
            assert ctx.get(dut.done)
            assert ctx.get(dut.root) == square_root(radicand)
        await ctx.tick()
        assert not ctx.get(dut.done)

    simulate(dut, testbench)


@pytest.mark.parametrize("bits", [0, 7])
def test_rejects_odd_widths(bits):
    with pytest.raises(ConfigError, match=f"bits must be even and at least 2, not {bits}"):
        SerialRoot(bits=bits)


def test_converts():
    assert "input [47:0] radicand" in convert(SerialRoot(bits=48))
