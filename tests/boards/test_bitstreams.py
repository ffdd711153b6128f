"""Whole boards with a small array: placed, routed and packed."""

import json
from types import SimpleNamespace

import pytest

from boards import load_board
from mla_hw.cli.generate import generate
from mla_hw.cli.synth import synth
from mla_hw.design import Design
from mla_hw.hardware import HardwareConfig
from mla_hw.presets import find_preset
from mla_hw.schedule import schedule_layer
from rtl_gen.accelerator import Accelerator
from rtl_gen.verilog import port_table

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


def write_stub(folder, name):
    """Make a folder of a core with the ports of the board's and nothing inside."""
    board = load_board(name)
    hardware = HardwareConfig.from_dict({**board.hardware, "activation_bytes": 65536})
    config = find_preset("tiny-v3").config
    core = schedule_layer(config, hardware, multiplier=board.device.family).core
    ports = port_table(Accelerator(core))
    head = [f"{p['direction']} [{p['width'] - 1}:0] {port}" for port, p in ports.items()]
    zeros = [f"assign {port} = 0;" for port, p in ports.items() if p["direction"] == "output"]
    text = f"module accelerator({', '.join(head)});\n{' '.join(zeros)}\nendmodule\n"
    (folder / "verilog").mkdir()
    (folder / "verilog" / "accelerator.v").write_text(text, encoding="utf-8")
    manifest = {"board": name, "hash": "0", "ports": ports, "verilog": ["accelerator.v"]}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return core


@pytest.mark.slow
@pytest.mark.synth
@pytest.mark.parametrize(
    ("board", "end"), [("icebreaker", "bin"), ("tangnano20k", "fs"), ("orangecrab-85f", "bit")]
)
def test_what_is_around_a_core_gets_its_bitstream(tmp_path, monkeypatch, board, end):
    """PLL, link, memory and pins, where no core has room; and a controller of DDR3 SDRAM."""
    core = write_stub(tmp_path, board)
    monkeypatch.setattr(Design, "load", lambda _: SimpleNamespace(core=core))
    report = synth(tmp_path, place=True)
    assert report.design == "board"
    assert report.fits
    assert report.timing_met[1]
    assert report.bitstream == str(tmp_path / "build" / "synth" / f"{board}.{end}")
    assert min(report.luts_per_unit[name] for name in ("link", "arbiter", "memory")) > 0
