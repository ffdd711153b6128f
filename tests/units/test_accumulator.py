# amaranth: UnusedElaboratable=no

import subprocess

import numpy as np
import pytest
from amaranth.hdl import signed, unsigned

from mla_hw.cli.fpga_tools import find_yosys, run_tool
from rtl_gen.units.accumulator import Accumulator
from rtl_gen.verilog import emit_verilog
from tests.streams import simulate
from tests.verilog_bench import outputs

WIDTHS = {"34+24": (34, 24), "37+24": (37, 24), "8+8": (8, 8), "5+3": (5, 3)}
widths = pytest.mark.parametrize(("width", "p_width"), WIDTHS.values(), ids=WIDTHS)


def inputs(p_width, count=300):
    """Runs of both extremes, then random products; each as (first, p)."""
    limit = 1 << (p_width - 1)
    runs = [(step == 0, p) for p in (limit - 1, -limit, 0, -1) for step in range(20)]
    rng = np.random.default_rng(0)
    first, p = rng.random(count) < 0.1, rng.integers(-limit, limit, count)
    return runs + list(zip(first.tolist(), p.tolist(), strict=True))


def expected(pairs, width):
    """Return the sum after each product, wrapped to the width."""
    total, sums = 0, []
    for first, p in pairs:
        total = (0 if first else total) + p
        sums.append((total + (1 << (width - 1))) % (1 << width) - (1 << (width - 1)))
    return sums


@widths
def test_sums_and_latency(width, p_width):
    dut = Accumulator(width=width, p_width=p_width)
    pairs = inputs(p_width)
    sums = []

    async def bench(ctx):
        for first, p in pairs + [(0, 0)] * dut.timing.latency:
            ctx.set(dut.first, first)
            ctx.set(dut.p, p)
            sums.append(ctx.get(dut.sum))
            await ctx.tick()

    simulate(dut, bench)
    assert sums[dut.timing.latency :] == expected(pairs, width)


def write(folder, width, p_width):
    """Write both forms as Verilog, as modules `portable` and `ecp5`."""
    for kind in ("portable", "ecp5"):
        files = emit_verilog(Accumulator(width=width, p_width=p_width, kind=kind), name=kind)
        (folder / f"{kind}.v").write_text("\n".join(files.values()), encoding="utf-8")


PROOF = """
read_verilog portable.v ecp5.v
read_verilog -overwrite -defer +/lattice/cells_sim_ecp5.v
hierarchy -check -top ecp5
proc
select -assert-any t:*CCU2C*
flatten
rename ecp5 chain
design -stash chain
read_verilog portable.v
hierarchy -check -top portable
proc
design -copy-from chain chain
equiv_make portable chain both
hierarchy -top both
opt -full
equiv_simple -undef
equiv_induct -undef
equiv_status -assert
"""


@widths
def test_carry_chain_of_the_ecp5_form_is_proven(width, p_width, tmp_path):
    """For all sums and products, by Yosys' own description of the cell."""
    write(tmp_path, width, p_width)
    (tmp_path / "proof.ys").write_text(PROOF)
    command, _ = find_yosys("proof.ys")
    run_tool(command, log=tmp_path / "proof.log", name="yosys")


@pytest.mark.rtl
@pytest.mark.icarus
@widths
def test_ecp5_form_in_simulation(width, p_width, tmp_path):
    write(tmp_path, width, p_width)
    # That other tools than Yosys can read what is for synthesis.
    subprocess.run(
        ["iverilog", "-g2005", "-DSYNTHESIS", "-t", "null", "-i", "ecp5.v"],
        cwd=tmp_path,
        check=True,
    )
    pairs = inputs(p_width)
    output = outputs(
        tmp_path,
        ["ecp5.v"],
        "ecp5",
        {"first": unsigned(1), "p": signed(p_width)},
        ("sum", signed(width)),
        pairs,
    )
    assert output == [str(total) for total in expected(pairs, width)]
