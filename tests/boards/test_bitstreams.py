"""Whole boards with a small array: placed, routed and packed."""

import pytest

from mla_hw.cli.generate import generate
from mla_hw.cli.synth import synth

SMALL = {"rows": 1, "columns": 2}


@pytest.mark.slow
@pytest.mark.synth
@pytest.mark.parametrize(
    ("board", "head"),
    # The part's name stands in ecppack's header; prjoxide writes only the vendor's mark.
    [("ulx3s-25f", b"LFE5U-25F"), ("crosslink-nx-evn", b"LSCC")],
)
def test_a_board_gets_its_bitstream(tmp_path, board, head):
    out = tmp_path / "core"
    generate("tiny-v3", out=out, board=board, hardware=SMALL, context=64, image=False)
    report = synth(out, place=True)
    assert report.design == "board"
    assert report.fits
    # Whether a single seed meets its clock is not for a test; `make boards` shows it.
    assert list(report.timing_met) == [1]
    assert report.fmax_mhz[1] > 40
    path = out / "build" / "synth" / f"{board}.bit"
    assert report.bitstream == str(path)
    assert head in path.read_bytes()[:400]
    # The parts around the core are there, and its multipliers.
    units = report.luts_per_unit
    assert min(units[name] for name in ("link", "arbiter", "memory", "array_engine")) > 0
    assert report.dsp.used == 2 + 6
