"""What generate writes, and what its options change."""

import os
import re
from pathlib import Path

import numpy as np
import pytest

from mla_hw.cli import generate as generate_module
from mla_hw.cli import main
from mla_hw.compile_layer import compile_layer
from mla_hw.cycles.predict import predict
from mla_hw.design import Design
from mla_hw.hardware import HardwareConfig
from tests.cli.command import FILES, names, read, snapshot
from tests.reference_cases import case_dir, load_case, write_case

TINY = case_dir("tiny-v3")
README = Path(__file__).resolve().parents[2] / "README.md"


def test_files(generated):
    assert names(generated) == FILES
    assert {"accelerator.v", "accelerator_instance.vt"} < names(generated / "verilog")
    design = Design.load(generated)
    assert (design.core.rows, design.core.columns) == (2, 4)
    assert (generated / "program.txt").read_text() == str(design.program)
    assert len(design.image) == design.memory.image_size
    manifest = read(generated)
    assert manifest["tools"].keys() >= {"mla-hw", "python", "amaranth", "numpy"}
    assert read(generated, "predicted.json")["hash"] == manifest["hash"]


def test_registers_have_the_constants_of_the_core(generated):
    manifest, header = read(generated), (generated / "registers.h").read_text()
    page = (generated / "registers.md").read_text()
    core = manifest["core"]
    limits = core["tile_tokens"] | core["query_rows"] << 9 | core["program_depth"] << 16
    assert f"#define MLA_HASH_RESET 0x{manifest['hash']}ull" in header
    assert f"#define MLA_LIMITS_RESET 0x{limits:08x}u" in header
    assert "#define MLA_SHAPE_RESET 0x08020402u" in header
    for value in (int(manifest["hash"], 16), limits, 0x08020402):
        assert f"| ro | 0x{value:x} |" in page
    # What the emitted registers read as.
    verilog = (generated / "verilog" / "registers.v").read_text()
    assert f"assign shape_value = 32'd{0x08020402};" in verilog
    assert f"assign limits_value = 32'd{limits};" in verilog


def test_predictions(generated):
    design = Design.load(generated)
    predicted = read(generated, "predicted.json")
    assert [row["position"] for row in predicted["cycles"]] == [0, 1, 3, 7, 15, 31, 63]
    for row in predicted["cycles"]:
        timeline = predict(design.program, design.core, design.memory, row["position"])
        assert row["total"] == timeline.total == sum(row["phases"].values())
        assert set(row["phases"]) == {"q_a", "q_b", "kv_a", "uk", "attention", "uv", "o"}
    assert predicted["memory"] == "fixed:32"
    assert "numpy" in predicted["tools"]


@pytest.mark.usefixtures("_without_verilog")
@pytest.mark.parametrize(
    ("context", "positions"),
    [(1, [0]), (2, [0, 1]), (5, [0, 1, 3, 4]), (8, [0, 1, 3, 7])],
)
def test_positions_end_with_the_context(command, context, positions):
    command.generates("tiny-v3", "--context", context)
    rows = read(command.out, "predicted.json")["cycles"]
    assert [row["position"] for row in rows] == positions


@pytest.mark.usefixtures("_without_verilog")
def test_no_image(command):
    output = command.generates("tiny-v3", "--no-image")
    assert "write program\n" in output
    assert names(command.out) == FILES - {"image.bin", "verilog"}
    assert Design.load(command.out).image == b""


@pytest.mark.usefixtures("_without_verilog")
def test_warning_without_calibration(command, capsys, tmp_path):
    arguments = ["generate", str(TINY), "--context", "8", "--out", str(command.out)]
    assert main(arguments) == 0
    warning = capsys.readouterr().err
    assert warning.startswith("mla-hw: warning: no --calibration: ")
    assert warning.count("\n") == 1
    by_chance = read(command.out)["scales"]

    rows = tmp_path / "rows.npz"
    np.savez(rows, x=load_case("tiny-v3").x)
    assert main([*arguments, "--calibration", str(rows)]) == 0
    assert capsys.readouterr().err == ""
    assert read(command.out)["scales"] != by_chance
    assert read(command.out)["calibration"]["rows"] == len(load_case("tiny-v3").x)


@pytest.mark.usefixtures("_without_verilog")
def test_the_function_prints_nothing(command, capsys):
    lines = []
    report = generate_module.generate(TINY, out=command.out, context=8, progress=lines.append)
    assert capsys.readouterr() == ("", "")
    stages = [line.split()[0] for line in lines]
    assert stages == ["choose", "compile", "predict", "emit", "write"]
    assert report.directory == command.out
    assert report.predicted == read(command.out, "predicted.json")
    assert report.design.manifest == read(command.out)
    (warning,) = report.warnings
    assert warning.startswith("no --calibration: ")


@pytest.mark.usefixtures("_without_verilog")
def test_seed_of_a_preset(command):
    images = []
    for options in ([], ["--seed", 0], ["--seed", 1]):
        command.generates("tiny-v3", "--context", 8, *options)
        images.append((command.out / "image.bin").read_bytes())
    assert images[0] == images[1] != images[2]


@pytest.mark.usefixtures("_without_verilog")
def test_an_existing_path_wins_over_a_preset(command, tmp_path, monkeypatch):
    (tmp_path / "tiny-v3").mkdir()
    for path in TINY.iterdir():
        (tmp_path / "tiny-v3" / path.name).write_bytes(path.read_bytes())
    command.generates(TINY, "--context", 8)
    wanted = snapshot(command.out)
    monkeypatch.chdir(tmp_path)
    command.generates("tiny-v3", "--context", 8)
    assert snapshot(command.out) == wanted


# Sizes and times.


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small-v2lite", "minicpm3-4b", "deepseek-v2-lite"])
def test_presets(command, name):
    command.generates(name, "--no-image")
    assert names(command.out) == FILES - {"image.bin"}


@pytest.mark.slow
def test_a_preset_that_no_board_holds(command, hardware):
    message = command.refuses("deepseek-v3", "--no-image")
    assert message.startswith("activation buffer: needs ")
    assert message.endswith("raise activation_bytes (--hardware)")
    message = command.refuses("deepseek-v3", "--hardware", hardware(activation_bytes=1 << 18))
    assert message.startswith("memory of ulx3s-85f: needs 1")
    assert message.endswith("no --context fits")


@pytest.mark.slow
def test_the_cycles_of_the_readme(command, hardware):
    keys = hardware(rows=8, columns=16, port_bytes=16)
    command.generates("deepseek-v2-lite", "--no-image", "--hardware", keys)
    predicted = read(command.out, "predicted.json")["cycles"]
    phases = ("kv_a", "q", "uk", "attention", "uv", "o")
    text = README.read_text(encoding="utf-8").replace("\u00a0", " ")
    rows = re.findall(r"^\| (\d+)((?: \| [\d ]+){7}) \|$", text, re.MULTILINE)
    assert len(rows) == 3
    for position, cells in rows:
        step = next(item for item in predicted if item["position"] == int(position))
        numbers = [int(cell.replace(" ", "")) for cell in cells.split("|")[1:]]
        assert numbers == [*(step["phases"][phase] for phase in phases), step["total"]]


def cpu_seconds():
    """Time of this process and its children: other tests run beside this one."""
    return sum(os.times()[:4])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny-v3", "v2lite-dims"])
def test_time_for_the_core_of_128_elements(command, hardware, tmp_path, name):
    folder = TINY if name == "tiny-v3" else write_case(name, tmp_path / name)
    start = cpu_seconds()
    command.generates(folder, "--hardware", hardware(rows=8, columns=16, port_bytes=16))
    assert cpu_seconds() - start < 60
    core = read(command.out)["core"]
    assert (core["rows"], core["columns"], core["port_bytes"]) == (8, 16, 16)


@pytest.mark.slow
def test_time_of_a_prediction():
    hardware = HardwareConfig(rows=8, columns=16, port_bytes=16)
    design = compile_layer(load_case("v2lite-dims").weights, hardware, context=4097).design
    start = cpu_seconds()
    timeline = predict(design.program, design.core, design.memory, 4096)
    assert cpu_seconds() - start < 5
    assert 1_300_000 < timeline.total < 1_500_000


@pytest.mark.usefixtures("_without_verilog")
@pytest.mark.parametrize("same_sequence", [False, True])
def test_query_rows(command, same_sequence):
    """The folder says how many there are and where x, y and the caches of each lie."""
    options = ("--rows", 3, "--context", 32, *(["--same-sequence"] if same_sequence else []))
    printed = command.generates("tiny-v3", *options)
    kind = "tokens of one sequence" if same_sequence else "sequences"
    assert f"4×8 core for 3 {kind}, scheme absorb, hash" in printed
    design, manifest = Design.load(command.out), read(command.out)
    core, hidden = design.core, design.model.hidden_size
    assert core.query_rows == manifest["core"]["query_rows"] == 3
    assert manifest["same_sequence"] == design.memory.same_sequence == same_sequence
    own = 32 * core.row_bytes
    assert manifest["cache_stride"] == (0 if same_sequence else own)
    assert design.regions["cache"].size == (own if same_sequence else 3 * own)
    assert manifest["y_stride"] == 2 * hidden
    # 4 // 3 = 1 lane each, side by side with a fourth.
    assert design.regions["x"].size == 4 * 2 * hidden
    header, page = ((command.out / f"registers.{end}").read_text() for end in ("h", "md"))
    assert "#define MLA_POSITION_2 0x208u" in header
    assert "| 0x308 | `base_cache_2` | rw, only while not running |" in page
    assert "POSITION_3" not in header
    steps = read(command.out, "predicted.json")["cycles"]
    last = 29 if same_sequence else 31
    assert [step["position"] for step in steps][-2:] == [15, last]
    by_row = [last + row * same_sequence for row in range(3)]
    timeline = predict(design.program, core, design.memory, by_row)
    assert steps[-1]["total"] == timeline.total


@pytest.mark.usefixtures("_without_verilog")
def test_a_core_for_one_row_knows_nothing_of_others(command):
    command.generates("tiny-v3", "--context", 32)
    design, manifest = Design.load(command.out), read(command.out)
    assert manifest["cache_stride"] == manifest["y_stride"] == 0
    assert not manifest["same_sequence"]
    assert design.regions["x"].size == 2 * design.model.hidden_size
    assert "query_row" not in (command.out / "program.txt").read_text()
    assert "POSITION_1" not in (command.out / "registers.h").read_text()
