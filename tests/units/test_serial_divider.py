import numpy as np
import pytest

from mla_hw.errors import ConfigError
from mla_hw.golden.serial_divider import divide
from rtl_gen.units.serial_divider import SerialDivider
from tests.streams import convert, simulate

# Widths of numerator, denominator and quotient, and the least denominator that is tried.
CASES = {
    "norm": (38, 24, 15, 1 << 23),
    "normalize": (42, 28, 15, 1 << 27),
    "pack": (29, 15, 15, 1 << 14),
    "plain": (12, 7, 12, 1),
    "one_bit": (4, 4, 1, 1),
}
NUMERATORS = {"norm": [32767 << 23], "normalize": [(1 << 42) - 1], "pack": [127 << 22]}


def operands(name):
    numerator_bits, denominator_bits, quotient_bits, least = CASES[name]
    rng = np.random.default_rng(0)
    largest = (1 << denominator_bits) - 1
    denominators = [least, least + 1, largest, *rng.integers(least, largest, 12).tolist()]
    for denominator in denominators:
        bound = min(denominator << quotient_bits, 1 << numerator_bits)
        numerators = [0, denominator - 1, bound - 1, *rng.integers(0, bound, 4).tolist()]
        for numerator in NUMERATORS.get(name, numerators):
            assert numerator < bound
            yield numerator, denominator


@pytest.mark.parametrize("name", CASES)
def test_matches_golden(name):
    numerator_bits, denominator_bits, quotient_bits, _ = CASES[name]
    dut = SerialDivider(
        numerator_bits=numerator_bits,
        denominator_bits=denominator_bits,
        quotient_bits=quotient_bits,
    )

    async def testbench(ctx):
        for numerator, denominator in operands(name):
            ctx.set(dut.numerator, numerator)
            ctx.set(dut.denominator, denominator)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            ctx.set(dut.numerator, 0)
            for _ in range(dut.timing.latency - 1):
                assert not ctx.get(dut.done)
                await ctx.tick()
            # The next division starts in the cycle of the result.
            assert ctx.get(dut.done)
            assert ctx.get(dut.quotient) == divide(numerator, denominator)
        await ctx.tick()
        assert not ctx.get(dut.done)
        assert ctx.get(dut.quotient) == divide(numerator, denominator)

    simulate(dut, testbench)


def test_a_start_abandons_the_division_under_way():
    dut = SerialDivider(numerator_bits=8, denominator_bits=8, quotient_bits=8)

    async def testbench(ctx):
        # The second start comes in the last cycle of the first division.
        ctx.set(dut.start, 1)
        for numerator, cycles in ((200, dut.timing.latency - 1), (90, dut.timing.latency)):
            ctx.set(dut.numerator, numerator)
            ctx.set(dut.denominator, 7)
            for _ in range(cycles):
                assert not ctx.get(dut.done)
                ctx.set(dut.start, 1 if _ == 0 else 0)
                await ctx.tick()
        assert ctx.get(dut.done)
        assert ctx.get(dut.quotient) == 90 // 7

    simulate(dut, testbench)


def test_rejects_a_numerator_whose_quotient_cannot_fit():
    with pytest.raises(ConfigError, match=r"numerator_bits must be at most .* = 12, not 13"):
        SerialDivider(numerator_bits=13, denominator_bits=8, quotient_bits=4)


def test_rejects_an_empty_word():
    with pytest.raises(ConfigError, match="must be at least 1, not 4, 4 and 0"):
        SerialDivider(numerator_bits=4, denominator_bits=4, quotient_bits=0)


def test_converts():
    verilog = convert(SerialDivider(numerator_bits=42, denominator_bits=28, quotient_bits=15))
    assert "input [41:0] numerator" in verilog
