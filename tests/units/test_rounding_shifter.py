import numpy as np
import pytest

from mla_hw.golden.arithmetic import round_shift, saturate, symmetric_limit
from rtl_gen.units.rounding_shifter import RoundingShifter, Shifter
from tests.streams import convert, simulate

# width, shift_bits, out_width: requantiser, score unit, a sum that is narrower than the result.
SHAPES = {
    "requantizer": (37, 5, 16),
    "score": (40, 5, 24),
    "long": (36, 6, 8),
    "narrow": (9, 4, 16),
}


def cases(width, shift_bits, out_width):
    rng = np.random.default_rng(width)
    limit, out_limit = 1 << (width - 1), symmetric_limit(out_width)
    edges = {0, 1, -1, 2, -2, limit - 1, -limit}
    for shift in range(0, width, 3):
        half = (1 << shift) >> 1
        for sign in (1, -1):
            for off in (-1, 0, 1):
                edges |= {sign * half + off, sign * (out_limit << shift) + half + off}
                edges |= {sign * ((out_limit + 1) << shift) + off, sign * (1 << shift) + off}
    values = [value for value in sorted(edges) if -limit <= value < limit]
    for value in values:
        for shift in {
            0,
            1,
            width // 2,
            (1 << shift_bits) - 1,
            *rng.integers(0, 1 << shift_bits, 4),
        }:
            yield int(value), int(shift)
    for _ in range(200):
        value = int(rng.integers(-limit, limit)) >> int(rng.integers(0, width))
        yield value, int(rng.integers(0, 1 << shift_bits))


async def run(ctx, dut, stimulus, *ports):
    """Present one value per cycle; return what ``ports`` hold ``latency`` cycles later."""
    outputs = []
    for cycle in range(len(stimulus) + dut.timing.latency):
        if cycle < len(stimulus):
            value, shift = stimulus[cycle]
            ctx.set(dut.i, value)
            ctx.set(dut.shift, shift)
        if cycle >= dut.timing.latency:
            outputs.append([
                ctx.get(port)
                for port in (dut.o, getattr(dut, "saturated", None))
                if port is not None
            ])
        await ctx.tick()
    return outputs


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_rounding_shifter_matches_golden(shape):
    width, shift_bits, out_width = shape
    dut = RoundingShifter(width=width, shift_bits=shift_bits, out_width=out_width)
    stimulus = list(cases(*shape))
    met = set()

    async def testbench(ctx):
        outputs = await run(ctx, dut, stimulus, dut.o, dut.saturated)
        for (value, shift), output in zip(stimulus, outputs, strict=True):
            expected, saturated = saturate(round_shift(value, shift), out_width)
            assert output == [expected, saturated], f"value={value} shift={shift}"
            met.add((saturated, value > 0))

    simulate(dut, testbench)
    assert (1, True) in met or out_width > width
    assert (1, False) in met or out_width > width


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_shifter_keeps_the_rounding_bit(shape):
    width, shift_bits, _ = shape
    dut = Shifter(width=width, shift_bits=shift_bits)
    stimulus = list(cases(*shape))

    async def testbench(ctx):
        outputs = await run(ctx, dut, stimulus, dut.o)
        for (value, shift), (o,) in zip(stimulus, outputs, strict=True):
            assert (o >> 1) + (o & 1) == round_shift(value, shift), f"value={value} shift={shift}"

    simulate(dut, testbench)


def test_latency():
    assert Shifter(width=37, shift_bits=5).timing.latency == 2
    assert Shifter(width=37, shift_bits=7).timing.latency == 3
    dut = RoundingShifter(width=37, shift_bits=5, out_width=16)

    async def testbench(ctx):
        ctx.set(dut.i, 100)
        ctx.set(dut.shift, 3)
        await ctx.tick()
        ctx.set(dut.i, 0)
        seen = []
        for _ in range(6):
            seen.append(ctx.get(dut.o))
            await ctx.tick()
        assert [cycle for cycle, value in enumerate(seen, 1) if value] == [dut.timing.latency]
        assert 13 in seen

    simulate(dut, testbench)


def test_verilog():
    verilog = convert(RoundingShifter(width=37, shift_bits=5, out_width=16))
    assert "output saturated" in verilog
