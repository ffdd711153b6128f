"""Whole boards in simulation: the driver decodes tokens over the serial line, bit-exactly."""

import json

import numpy as np
import pytest

from boards import load_board
from boards.top import board_top
from mla_hw.cli.board_memory import memory_timing, sdram_timing
from mla_hw.cli.generate import generate
from mla_hw.cycles.predict import predict
from mla_hw.design import Design, verilog_sources, weights_hash
from mla_hw.golden.interpreter import Machine
from rtl_gen.verilog import emit_verilog, port_table
from sim.board_bench import MODULE, BoardSimulation
from sim.memory_bench import chip_parameters
from tests.reference_cases import case_dir, load_case

pytestmark = [pytest.mark.slow, pytest.mark.rtl]

TOKENS, DIVISOR = 4, 8
#: Share by which LiteDRAM may differ from the model, and SDRAM from the prediction.
SDRAM_BOUND = 0.02
COLUMN_BITS = {"MT48LC16M16": 9}


def golden_rows(design, x):
    machine = Machine(design.core, design.program, design.memory, design.image, design.constants)
    rows = []
    for position, row in enumerate(x):
        machine.restart()
        machine.write_hidden(row)
        machine.run(position)
        rows.append(machine.y().tolist())
    return rows


@pytest.fixture
def make_design(tmp_path):
    """Generate tiny-v3 for a board."""

    def make(board, **hardware):
        np.savez(tmp_path / "rows.npz", x=load_case("tiny-v3").x[:20])
        generate(
            case_dir("tiny-v3"),
            out=tmp_path / "core",
            board=board,
            calibration=tmp_path / "rows.npz",
            context=TOKENS,
            hardware=hardware or None,
        )
        return Design.load(tmp_path / "core")

    return make


def simulate_board(folder, design, top, controller=None, **options):
    """Build a board's top, decode rows, return what came back and what should have."""
    texts = emit_verilog(top, name=MODULE)
    if controller is not None:
        texts[f"{controller.name}.v"] = controller.verilog
    build = folder / "board"
    build.mkdir()
    core = verilog_sources(folder / "core", design.manifest)
    assert not {path.name for path in core} & set(texts)
    for name, text in texts.items():
        (build / name).write_text(text, encoding="utf-8")
    simulation = BoardSimulation(
        folder=build,
        design=folder / "core",
        sources=[*core, *(build / name for name in texts)],
        ports={name: entry["width"] for name, entry in port_table(top).items()},
        divisor=DIVISOR,
        inverted_reset="rst" in top.active_low,
        **options,
    )
    simulation.build()
    x, _ = design.quantize_hidden(load_case("tiny-v3").x[:TOKENS])
    return simulation.decode(x), golden_rows(design, x)


def test_ulx3s_with_its_sdram(tmp_path, make_design):
    """Core, LiteDRAM's controller, a model of the chip that checks commands and distances."""
    design, board = make_design("ulx3s-25f"), load_board("ulx3s-25f")
    top, controller = board_top(board, design.core, divisor=DIVISOR)
    chip = chip_parameters(
        controller, clock_mhz=board.core_mhz, column_bits=COLUMN_BITS[board.memory.part]
    )
    models = ("ecp5.v", "ecp5_io.v", "pll.v")
    found, wanted = simulate_board(tmp_path, design, top, controller, chip=chip, models=models)
    assert found["y"] == wanted
    assert found["errors"] == 0
    assert found["clock_hz"] == board.core_mhz * 1e6
    # The light goes on when the SDRAM can be used.
    assert found["led"] == [0, 1]
    # The first request may come before the PLL has locked.
    assert found["traffic"]["repeated"] <= 1
    # All of the image but x and y went over the line.
    assert 0 < len(design.image) - found["written"] < 1024
    # The arbiter takes each address a cycle later than the model knows.
    timing = sdram_timing(board, design.core.port_bytes)
    cycles = [
        predict(design.program, design.core, design.memory, [position], sdram=timing).total
        for position in range(TOKENS)
    ]
    assert [counters["cycles"] for counters in found["counters"]] == pytest.approx(
        cycles, rel=SDRAM_BOUND
    )


@pytest.mark.parametrize(
    ("name", "models"),
    [("crosslink-nx-evn", ("nexus.v", "pll.v"))],
)
def test_memory_on_the_fpga(tmp_path, make_design, name, models):
    """A board without a memory chip: core and large RAM, buttons and light inverted."""
    design, board = make_design(name), load_board(name)
    top, controller = board_top(board, design.core, divisor=DIVISOR)
    assert controller is None
    assert board.top.active_low == ("rst", "led")
    found, wanted = simulate_board(tmp_path, design, top, models=models)
    assert found["y"] == wanted
    assert found["clock_hz"] == board.core_mhz * 1e6
    assert found["traffic"]["repeated"] <= 1
    # Memory on the FPGA can always be used, and the light is on when its pin is 0.
    assert found["led"][1] == 0
    # What the cycle model predicts for the board, but for the last write: its response comes a
    # cycle earlier than the first beat of a read.
    latency, _ = memory_timing(board, design.core.port_bytes)
    cycles = [
        predict(design.program, design.core, design.memory, [position], latency=latency).total - 1
        for position in range(TOKENS)
    ]
    assert [counters["cycles"] for counters in found["counters"]] == cycles


def test_a_wrong_image_is_seen(tmp_path, make_design):
    """The comparison can fail: the board gets another image than the golden model."""
    design, board = make_design("crosslink-nx-evn"), load_board("crosslink-nx-evn")
    top, _ = board_top(board, design.core, divisor=DIVISOR)
    image = tmp_path / "core" / "image.bin"
    damaged = bytearray(image.read_bytes())
    first = design.memory.regions["weights"].offset
    damaged[first + 64 : first + 128] = bytes(64)
    image.write_bytes(damaged)
    manifest = json.loads((tmp_path / "core" / "manifest.json").read_text(encoding="utf-8"))
    manifest["weights_hash"] = weights_hash(bytes(damaged), design.memory)
    (tmp_path / "core" / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    found, wanted = simulate_board(tmp_path, design, top, models=("nexus.v", "pll.v"))
    assert found["y"] != wanted
