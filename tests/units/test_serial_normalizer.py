import numpy as np
import pytest

from mla_hw.errors import ConfigError
from mla_hw.golden.serial_normalizer import normalize_left
from rtl_gen.units.serial_normalizer import SerialNormalizer
from tests.streams import convert, simulate


@pytest.mark.parametrize(("bits", "stride"), [(48, 2), (28, 1), (15, 1), (7, 2), (2, 1)])
def test_matches_golden(bits, stride):
    dut = SerialNormalizer(bits=bits, stride=stride)
    rng = np.random.default_rng(0)
    values = {1 << bit for bit in range(bits)} | {(2 << bit) - 1 for bit in range(bits)}
    values |= {int(rng.integers(1, 1 << bits)) >> int(rng.integers(bits)) for _ in range(20)}

    async def testbench(ctx):
        for value in sorted(values - {0}):
            ctx.set(dut.value, value)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            ctx.set(dut.value, 0)
            for _ in range(dut.timing.latency - 1):
                assert not ctx.get(dut.done)
                await ctx.tick()
            # The next search starts in the cycle of the result.
            assert ctx.get(dut.done)
            result = ctx.get(dut.normalized), ctx.get(dut.count)
            assert result == normalize_left(value, bits, stride)
        await ctx.tick()
        assert not ctx.get(dut.done)

    simulate(dut, testbench)


@pytest.mark.parametrize("stride", [0, 8])
def test_rejects_a_stride_outside_the_word(stride):
    with pytest.raises(ConfigError, match=f"stride must be from 1 to bits - 1 = 7, not {stride}"):
        SerialNormalizer(bits=8, stride=stride)


def test_converts():
    assert "input [47:0] value" in convert(SerialNormalizer(bits=48, stride=2))
