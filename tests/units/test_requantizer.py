import re
from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest

from mla_hw.golden.requantizer import requantize
from mla_hw.hardware import CONSTANT_BANKS
from mla_hw.program.instructions import FIELDS
from rtl_gen.units.requantizer import Requantizer
from tests.configs import ODD, PRODUCTS, SMALL, WIDE
from tests.streams import convert, simulate

CONFIGS = {
    "small": SMALL,
    "odd": replace(ODD, acc_width=37),
    "wide": replace(WIDE, columns=16, acc_width=30),
    "narrow": replace(SMALL, columns=2, acc_width=14),
    "products": replace(PRODUCTS, acc_width=33),
}
PAUSES = {"full_speed": [0], "throttled": [0, 1, 0, 3]}
ROW = FIELDS["target"].choices.index("row")
SHIFTS = [(0, 0), (0, 15), (3, 15), (12, 14), (31, 31), (20, 0), (1, 1), (7, 22), (5, 31)]


def tiles(config, count):
    """Yield (constants, pre, post, columns, sums) per tile."""
    rng = np.random.default_rng(config.columns)
    limit = 1 << (config.acc_width - 1)
    for number in range(count):
        constants = rng.integers(0, 1 << 15, config.columns)
        constants[rng.integers(config.columns)] = rng.choice([0, 1, 32767])
        pre, post = SHIFTS[number] if number < len(SHIFTS) else map(int, rng.integers(0, 32, 2))
        # Column by column as the array drains, and then in any order.
        columns = [0, config.columns - 1, *rng.integers(0, config.columns, 14)]
        sums = rng.integers(-limit, limit, len(columns)) >> rng.integers(0, config.acc_width)
        # Extremes, and both sides of the 16-bit limit after the first shift.
        edge = (32767 << pre) + ((1 << pre) >> 1)
        corner = [0, limit - 1, -limit, edge - 1, edge, -edge, -edge - 1, 1 << pre >> 1]
        sums[:8] = [value if -limit <= value < limit else -1 for value in corner]
        yield constants, pre, post, [int(column) for column in columns], sums


def factor_of(number):
    """Constant that a tile of product rows brings along."""
    return (0, 1, 32767, 19, 20000)[number // 5 % 5]


def constant_words(constants, columns):
    """Return the two words in which the weight stream brings the constants."""
    raw = constants.astype("<i2").tobytes()
    return [list(raw[:columns]), list(raw[columns:])]


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("pauses", PAUSES.values(), ids=PAUSES)
def test_matches_golden(config, pauses):
    dut = Requantizer(config)
    stimulus = list(tiles(config, 24))
    expected, seen, finished = [], [], []
    for number, (constants, pre, post, columns, sums) in enumerate(stimulus):
        for index, (column, acc) in enumerate(zip(columns, sums, strict=True)):
            bits, factor = 16, constants[[column]]
            if config.product_blocks and number % 5 == ROW:
                bits, factor = 8, np.array([factor_of(number)])
            y, saturated = requantize(np.array([acc]), factor, pre, post, bits=bits)
            expected.append((int(y[0]), saturated, number % 5, (number << 8) + index))

    async def source(ctx):
        wait = cycle(pauses)
        for number, (constants, pre, post, columns, sums) in enumerate(stimulus):
            words = constant_words(constants, config.columns)
            bank = number % CONSTANT_BANKS
            for index, (column, acc) in enumerate(zip(columns, sums, strict=True)):
                # Each half is written in the very cycle in which it is first used.
                write = {"en": 0}
                if index < 2:
                    write = {"en": 1, "bank": bank, "half": index, "data": words[index]}
                ctx.set(dut.constant, dut.constant.shape().const(write))
                ctx.set(
                    dut.i,
                    dut.i.shape().const({
                        "en": 1,
                        "acc": int(acc),
                        "column": column,
                        "bank": bank,
                        "pre": pre,
                        "post": post,
                        "target": number % 5,
                        "element": (number << 8) + index,
                        **({"factor": factor_of(number)} if config.product_blocks else {}),
                    }),
                )
                await ctx.tick()
                ctx.set(dut.constant.en, 0)
                ctx.set(dut.i.en, 0)
                if gap := next(wait):
                    await ctx.tick().repeat(gap)
        finished.append(True)

    async def sink(ctx):
        while len(seen) < len(expected) or not finished:
            await ctx.tick()
            if ctx.get(dut.o.en):
                seen.append((
                    ctx.get(dut.o.data),
                    ctx.get(dut.saturated),
                    ctx.get(dut.o.target),
                    ctx.get(dut.o.element),
                ))
            else:
                assert not ctx.get(dut.saturated)

    simulate(dut, source, sink)
    assert seen == expected
    limited = sum(saturated for _, saturated, _, _ in expected)
    assert 0 < limited < len(expected)


def test_latency_and_throughput():
    dut, elements = Requantizer(SMALL), 8

    async def testbench(ctx):
        outputs = []
        for now in range(40):
            ctx.set(dut.i.en, now < elements)
            outputs.append(ctx.get(dut.o.en))
            await ctx.tick()
        high = [now for now, en in enumerate(outputs) if en]
        assert high[0] == dut.timing.latency
        assert high[-1] == dut.timing.cycles(elements)
        assert len(high) == elements

    simulate(dut, testbench)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_verilog(config):
    assert "output saturated" in convert(Requantizer(config))


def test_instantiated_multipliers():
    verilog = convert(Requantizer(replace(SMALL, multiplier="ecp5")))
    assert len(re.findall(r"^  MULT18X18D ", verilog, re.MULTILINE)) == 1
