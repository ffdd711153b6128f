# amaranth: UnusedElaboratable=no

import re
from importlib.resources import files

import numpy as np
import pytest
from amaranth.hdl import unsigned

from mla_hw.errors import ConfigError
from mla_hw.hardware import MULTIPLIER_KINDS
from rtl_gen.units.multiplier import Multiplier
from sim.runner import PRIMITIVES
from tests.streams import convert, simulate
from tests.verilog_bench import outputs

# Models of the blocks that come with Yosys; it has none of Gowin's, and ECP5's has no registers.
YOSYS_MODELS = {
    "ice40": (files("pyosys") / "share" / "ice40" / "cells_sim.v", "SB_MAC16"),
    "nexus": (files("pyosys") / "share" / "lattice" / "cells_sim_nexus.v", "MULT18X18"),
}
WIDTHS = {"16x8": (16, 8), "16x16": (16, 16), "18x18": (18, 18), "17x9": (17, 9), "3x2": (3, 2)}
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


def products_as_verilog(folder, dut, models, pairs):
    """Simulate the unit's Verilog with models of its block, all found in the folder."""
    (folder / "dut.v").write_text(convert(dut))
    output = outputs(
        folder,
        ["dut.v", *map(str, models)],
        "top",
        {"a": dut.a.shape(), "b": dut.b.shape(), "rst": unsigned(1)},
        ("p", dut.p.shape()),
        [(*pair, 0) for pair in pairs + [(0, 0)] * dut.timing.latency],
    )
    # What is displayed follows the clock edge, hence one line less.
    return output[dut.timing.latency - 1 : -1]


@pytest.mark.rtl
@pytest.mark.icarus
@pytest.mark.parametrize("kind", MULTIPLIER_KINDS)
@signs
@widths
def test_all_forms_agree_as_verilog(kind, a_width, b_width, is_signed, tmp_path):
    dut = Multiplier(a_width=a_width, b_width=b_width, kind=kind, is_signed=is_signed)
    pairs = operands(a_width, b_width, is_signed)
    models = [PRIMITIVES[kind]] if kind in PRIMITIVES else []
    assert products_as_verilog(tmp_path, dut, models, pairs) == [str(a * b) for a, b in pairs]


def test_every_block_has_a_model():
    assert {"portable", *PRIMITIVES} == set(MULTIPLIER_KINDS)


@pytest.mark.rtl
@pytest.mark.icarus
@pytest.mark.parametrize("kind", YOSYS_MODELS)
@signs
@widths
def test_models_agree_with_those_of_yosys(kind, a_width, b_width, is_signed, tmp_path):
    dut = Multiplier(a_width=a_width, b_width=b_width, kind=kind, is_signed=is_signed)
    pairs = operands(a_width, b_width, is_signed)
    path, cell = YOSYS_MODELS[kind]
    text = path.read_text(encoding="utf-8")
    # The file has constructs that Icarus does not take, outside of these modules.
    names = [cell, *re.findall(r"module (OXIDE_DSP_\w+)", text)]
    modules = [re.search(rf"^module {name}\b.*?^endmodule", text, re.M | re.S)[0] for name in names]
    (tmp_path / "yosys.v").write_text("\n".join(modules), encoding="utf-8")
    assert products_as_verilog(tmp_path, dut, ["yosys.v"], pairs) == [str(a * b) for a, b in pairs]


def test_rejects_kind():
    message = "multiplier must be one of portable, ecp5, ice40, gowin, nexus, not 'xilinx'"
    with pytest.raises(ConfigError, match=message):
        Multiplier(a_width=16, b_width=8, kind="xilinx")


@pytest.mark.parametrize("kind", MULTIPLIER_KINDS[1:])
def test_rejects_operands_wider_than_the_block(kind):
    with pytest.raises(ConfigError, match=f"{kind} takes operands of at most 18 bits, not 24 and"):
        Multiplier(a_width=24, b_width=16, kind=kind)
