"""What generate writes, what its options change, and that it replaces a folder as a whole."""

import errno
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from mla_hw.cli import generate as generate_module
from mla_hw.cli import head_passes, main
from mla_hw.compile_layer import compile_layer
from mla_hw.cycles.predict import predict
from mla_hw.design import Design
from mla_hw.hardware import HardwareConfig
from tests.cli.command import snapshot
from tests.reference_cases import case_dir, load_case, write_case

FILES = {
    "image.bin",
    "manifest.json",
    "predicted.json",
    "program.bin",
    "program.txt",
    "registers.h",
    "registers.md",
    "schedule.txt",
    "verilog",
}
TINY = case_dir("tiny-v3")
README = Path(__file__).resolve().parents[2] / "README.md"


def read(folder, name="manifest.json"):
    return json.loads((folder / name).read_text(encoding="utf-8"))


def names(folder):
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def _without_verilog(monkeypatch):
    """Saves the seconds that the gateware takes, where a test is not about it."""
    monkeypatch.setattr(generate_module, "_verilog", lambda _: ({}, {}))
    monkeypatch.setattr(head_passes, "check_device", lambda *_: None)


@pytest.fixture
def hardware(tmp_path):
    def write(**keys):
        path = tmp_path / "hardware.yaml"
        path.write_text(json.dumps(keys))  # JSON is YAML
        return path

    return write


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


# Hardware keys.

#: A value that is not the default of ulx3s-85f, and what of the core it changes.
EFFECTS = {
    "rows": (2, {"rows": 2}),
    "columns": (16, {"columns": 16}),
    "port_bytes": (16, {"port_bytes": 16}),
    "tile_tokens": (32, {"tile_tokens": 32}),
    "accumulator_lanes": (2, {"accumulator_lanes": 2}),
    "outstanding_reads": (16, {"outstanding_reads": 16}),
    "multiplier": ("portable", {"multiplier": "portable"}),
}


@pytest.mark.usefixtures("_without_verilog")
@pytest.mark.parametrize("key", EFFECTS)
def test_hardware_key(command, hardware, key):
    command.generates("tiny-v3", "--context", 8)
    default = read(command.out)
    value, effect = EFFECTS[key]
    command.generates("tiny-v3", "--context", 8, "--hardware", hardware(**{key: value}))
    manifest = read(command.out)
    assert default["hardware"][key] != value == manifest["hardware"][key]
    assert {name: manifest["core"][name] for name in effect} == effect
    assert default["core"] != manifest["core"]
    assert default["hash"] != manifest["hash"]


@pytest.mark.usefixtures("_without_verilog")
def test_activation_bytes_bound_the_pass(command, hardware):
    passes = []
    for size in (65536, 2560):
        path = hardware(rows=2, columns=4, activation_bytes=size)
        command.generates("small-v2lite", "--context", 8, "--hardware", path)
        manifest = read(command.out)
        passes.append(len(manifest["passes"]))
        core = manifest["core"]
        assert 2 * 2 * core["rows"] * core["activation_depth"] <= size
    assert passes[0] == 1 < passes[1]


def test_every_key_is_tried():
    assert {*EFFECTS, "activation_bytes"} == HardwareConfig().to_dict().keys()


def test_multiplier_and_port_show_in_the_verilog(generated, command, hardware):
    def blocks(folder):
        return sum(
            path.read_text().count("MULT18X18D") for path in (folder / "verilog").glob("*.v")
        )

    def widest(folder):
        return max(port["width"] for port in read(folder)["ports"].values())

    options = {"rows": 2, "columns": 4, "multiplier": "portable", "port_bytes": 32}
    command.generates(TINY, "--context", 64, "--hardware", hardware(**options))
    assert blocks(generated) > 0 == blocks(command.out)
    assert widest(generated) == 64
    assert widest(command.out) == 256


@pytest.mark.parametrize(("board", "array"), [("ulx3s-85f", (4, 8)), ("ulx3s-25f", (2, 4))])
def test_default_of_a_board(command, monkeypatch, board, array):
    monkeypatch.setattr(generate_module, "_verilog", lambda _: ({}, {}))
    command.generates("tiny-v3", "--board", board)
    manifest = read(command.out)
    assert manifest["board"] == board
    assert (manifest["core"]["rows"], manifest["core"]["columns"]) == array
    assert manifest["context"] == 4096


# Replacing.


@pytest.mark.usefixtures("_without_verilog")
def test_a_generated_folder_is_replaced(command):
    command.generates("tiny-v3", "--context", 8)
    assert names(command.out) == FILES - {"verilog"}  # old.txt is gone
    assert names(command.parent) == {"core"}


@pytest.mark.usefixtures("_without_verilog")
@pytest.mark.parametrize("kind", ["absent", "empty", "link", "dangling link", "relative"])
def test_targets(command, tmp_path, monkeypatch, kind):
    (tmp_path / "new").mkdir()
    target = tmp_path / "new" / "core"
    place = target
    if kind == "empty":
        target.mkdir()
    elif kind == "link":
        place = command.out
        target.symlink_to(command.out)
    elif kind == "dangling link":
        place = tmp_path / "new" / "elsewhere"
        target.symlink_to(place)
    elif kind == "relative":
        monkeypatch.chdir(tmp_path)
        target = Path("new") / ".." / "new" / "core"
    output = command.succeeds("generate", "tiny-v3", "--context", 8, "--out", target)
    assert f"written to {target}" in output
    assert names(place) == FILES - {"verilog"}
    assert target.is_symlink() == ("link" in kind)
    assert names(tmp_path / "new") <= {"core", "elsewhere"}


@pytest.mark.usefixtures("_without_verilog")
def test_permissions_are_the_users(command):
    mask = os.umask(0o027)
    try:
        command.generates("tiny-v3", "--context", 8)
    finally:
        os.umask(mask)
    assert command.out.stat().st_mode & 0o777 == 0o750
    assert (command.out / "manifest.json").stat().st_mode & 0o777 == 0o640


@pytest.mark.usefixtures("_without_verilog")
@pytest.mark.parametrize("when", ["write_bytes", "rename"])
def test_full_disk(command, monkeypatch, when):
    """The last write or the last rename fails: the folder of before is back."""
    original = getattr(Path, when)

    def fail(path, *arguments):
        if path.name in {"predicted.json", "new"}:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(path, *arguments)

    monkeypatch.setattr(Path, when, fail)
    message = command.refuses("tiny-v3", "--context", 8)
    assert message == f"--out {command.out}: cannot be written: No space left on device"


@pytest.mark.usefixtures("_without_verilog")
@pytest.mark.parametrize("owner", [generate_module, Path])
def test_a_bug_leaves_nothing(command, monkeypatch, owner):
    def fail(*_):
        raise RuntimeError("a bug")

    before = snapshot(command.parent)
    monkeypatch.setattr(owner, "_verilog" if owner is generate_module else "write_bytes", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        generate_module.generate("tiny-v3", out=command.out, context=8)
    assert snapshot(command.parent) == before


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
