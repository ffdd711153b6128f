# amaranth: UnusedElaboratable=no

from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import unsigned

from mla_hw.errors import ConfigError
from rtl_gen.units.multiplier import Multiplier
from tests.streams import convert, simulate
from tests.verilog_bench import outputs

PRIMITIVES = Path(__file__).parents[2] / "sim" / "models" / "ecp5.v"
WIDTHS = {"16x8": (16, 8), "16x16": (16, 16), "18x18": (18, 18), "3x2": (3, 2)}
widths = pytest.mark.parametrize(("a_width", "b_width"), WIDTHS.values(), ids=WIDTHS)
signs = pytest.mark.parametrize("is_signed", [True, False], ids=["signed", "unsigned"])


def operands(a_width, b_width, is_signed, count=200):
    """Corner values against each other, then random ones."""

    def limits(width):
        return (-(1 << (width - 1)), 1 << (width - 1)) if is_signed else (0, 1 << width)

    def corners(width):
        low, high = limits(width)
        return [0, 1, -1 if is_signed else high // 2, high - 1, low, low + 1]

    corner = [(a, b) for a in corners(a_width) for b in corners(b_width)]
    rng = np.random.default_rng(0)
    columns = [rng.integers(*limits(width), count) for width in (a_width, b_width)]
    return corner + list(zip(*(column.tolist() for column in columns), strict=True))


@signs
@widths
def test_products_and_latency(a_width, b_width, is_signed):
    dut = Multiplier(a_width=a_width, b_width=b_width, is_signed=is_signed)
    pairs = operands(a_width, b_width, is_signed)
    products = []

    async def bench(ctx):
        for a, b in pairs + [(0, 0)] * dut.timing.latency:
            ctx.set(dut.a, a)
            ctx.set(dut.b, b)
            products.append(ctx.get(dut.p))
            await ctx.tick()

    simulate(dut, bench)
    assert products[dut.timing.latency :] == [a * b for a, b in pairs]


@pytest.mark.rtl
@pytest.mark.icarus
@pytest.mark.parametrize("kind", ["portable", "ecp5"])
@signs
@widths
def test_both_forms_agree_as_verilog(kind, a_width, b_width, is_signed, tmp_path):
    dut = Multiplier(a_width=a_width, b_width=b_width, kind=kind, is_signed=is_signed)
    pairs = operands(a_width, b_width, is_signed)
    (tmp_path / "dut.v").write_text(convert(dut))
    output = outputs(
        tmp_path,
        ["dut.v", str(PRIMITIVES)],
        "top",
        {"a": dut.a.shape(), "b": dut.b.shape(), "rst": unsigned(1)},
        ("p", dut.p.shape()),
        [(*pair, 0) for pair in pairs + [(0, 0)] * dut.timing.latency],
    )
    # What is displayed follows the clock edge, hence one line less.
    assert output[dut.timing.latency - 1 : -1] == [str(a * b) for a, b in pairs]


def test_rejects_kind():
    with pytest.raises(ConfigError, match="multiplier must be portable or ecp5, not 'xilinx'"):
        Multiplier(a_width=16, b_width=8, kind="xilinx")


def test_rejects_operands_wider_than_the_block():
    with pytest.raises(ConfigError, match="ecp5 takes operands of at most 18 bits, not 24 and 16"):
        Multiplier(a_width=24, b_width=16, kind="ecp5")
