"""Combinational rounding and saturation, exhaustively for small words."""

import numpy as np
import pytest
from amaranth import Cat, Module, Signal, signed
from amaranth.sim import Simulator

from mla_hw.golden import arithmetic as golden
from rtl_gen.arithmetic import round_shift, saturate

VALUES = range(-128, 128)


def evaluate(expression):
    """Value of the expression for every signed byte."""
    m, value = Module(), Signal(signed(8))
    result = expression(value)
    o = Signal(result.shape())
    m.d.comb += o.eq(result)
    results = []

    async def testbench(ctx):
        for number in VALUES:
            ctx.set(value, number)
            results.append(ctx.get(o))

    sim = Simulator(m)
    sim.add_testbench(testbench)
    sim.run()
    return results


@pytest.mark.parametrize("shift", [1, 2, 5, 7])
def test_round_shift_matches_golden(shift):
    expected = golden.round_shift(np.array(VALUES), shift).tolist()
    assert evaluate(lambda value: round_shift(value, shift)) == expected


@pytest.mark.parametrize("bits", [2, 5, 7])
def test_saturate_matches_golden(bits):
    expected = [golden.saturate(number, bits) for number in VALUES]
    assert evaluate(lambda value: saturate(value, bits)[0]) == [int(e) for e, _ in expected]
    assert evaluate(lambda value: Cat(saturate(value, bits)[1])) == [n for _, n in expected]
