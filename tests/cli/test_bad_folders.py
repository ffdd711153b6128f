"""Folders and rows that simulate and synth cannot use: one line, nothing written."""

import json

import numpy as np
import pytest

from tests.cli.command import snapshot
from tests.reference_cases import case_dir


def edit(folder, change):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    change(manifest)
    path.write_text(json.dumps(manifest), encoding="utf-8")


def refuses(command, folder, *arguments):
    before = snapshot(folder)
    message = command.fails(*arguments)
    assert snapshot(folder) == before
    return message


@pytest.mark.parametrize("name", ["simulate", "synth"])
@pytest.mark.parametrize("kind", ["absent", "empty", "file"])
def test_no_folder_of_generate(command, tmp_path, name, kind):
    path = tmp_path / kind
    if kind == "empty":
        path.mkdir()
    elif kind == "file":
        path.write_text("")
    message = refuses(command, tmp_path, name, path)
    assert message.startswith(f"{path}")


@pytest.mark.parametrize("name", ["simulate", "synth"])
@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", "\xff"])
def test_manifest_that_is_none(command, generated, name, text):
    (generated / "manifest.json").write_bytes(text.encode("latin-1"))
    assert str(generated) in refuses(command, generated, name, generated)


@pytest.mark.parametrize("name", ["board", "hash", "ports"])
def test_synth_needs(command, generated, name):
    edit(generated, lambda manifest: manifest.pop(name))
    message = refuses(command, generated, "synth", generated)
    assert f"manifest.json: {name}: expected " in message


def test_synth_of_a_board_that_is_gone(command, generated):
    edit(generated, lambda manifest: manifest.update(board="ulx3s-86f"))
    assert "unknown board 'ulx3s-86f'" in refuses(command, generated, "synth", generated)


@pytest.mark.parametrize("baud", [20_000_000, 7_000_000])
def test_baud_rate_that_the_clock_does_not_make(command, generated, baud):
    (generated / "build" / "synth").mkdir(parents=True)
    (generated / "build" / "synth" / "of_before").write_text("")
    message = refuses(command, generated, "synth", generated, "--baud", str(baud))
    assert message.startswith(f"--baud, at core_mhz 60 of ulx3s-85f: {baud} Bd ")


@pytest.mark.parametrize("board", ["generic-axi", "lfe5u-85f-512m"])
def test_run_on_a_board_without_host_link(command, generated, board):
    edit(generated, lambda manifest: manifest.update(board=board))
    message = refuses(command, generated, "run", "--port", "none", generated)
    assert message == (f"{board} has no host link: generate for a board whose file has the key top")


def test_synth_without_verilog(command, generated):
    (generated / "verilog" / "loader.v").unlink()
    for name in ("simulate", "synth"):
        message = refuses(command, generated, name, generated)
        assert message == (
            f"{generated}: is damaged (verilog/loader.v is missing): generate it again"
        )


def test_folder_of_another_version(command, generated):
    edit(generated, lambda manifest: manifest.update(format=1))
    message = refuses(command, generated, "simulate", generated)
    assert "has format 1, this version reads 3: generate the folder again" in message


@pytest.mark.parametrize(
    "name",
    [
        "hash",
        "weights_hash",
        "model",
        "hardware",
        "core",
        "context",
        "semaphores",
        "phases",
        "constants",
        "scales",
        "regions",
        "tensors",
        "ports",
        "verilog",
    ],
)
@pytest.mark.parametrize("value", ["absent", None, [3], {"a": "b"}])
def test_damaged_manifest(command, generated, name, value):
    def change(manifest):
        if value == "absent":
            del manifest[name]
        else:
            manifest[name] = value

    edit(generated, change)
    message = refuses(command, generated, "simulate", generated)
    assert message.startswith(f"{generated}: is damaged (")
    assert message.endswith("): generate it again")


def test_a_damaged_folder_is_generated_again(command, generated):
    (generated / "manifest.json").write_text("{")
    assert "is not valid JSON" in refuses(command, generated, "simulate", generated)
    command.succeeds("generate", case_dir("tiny-v3"), "--no-image", "--out", generated)
    assert json.loads((generated / "manifest.json").read_text())["board"] == "ulx3s-85f"


@pytest.mark.parametrize("stride", ["cache_stride", "y_stride"])
def test_strides_of_query_rows_that_do_not_fit(command, generated_rows, stride):
    edit(generated_rows, lambda manifest: manifest.update({stride: manifest[stride] + 16}))
    message = refuses(command, generated_rows, "simulate", generated_rows)
    assert f"the {'context' if stride == 'cache_stride' else stride} does not fit" in message


@pytest.mark.parametrize(
    ("key", "value"), [("columns", 0), ("port_bytes", 0), ("constants", 10**30)]
)
def test_numbers_that_no_core_has(command, generated, key, value):
    edit(generated, lambda manifest: manifest["core"].update({key: value}))
    message = refuses(command, generated, "simulate", generated)
    assert message.startswith(f"{generated}: is damaged (")


def test_manifest_of_another_core(command, generated):
    edit(generated, lambda manifest: manifest["core"].update(rows=4))
    message = refuses(command, generated, "simulate", generated)
    assert "the hash does not fit" in message


@pytest.mark.parametrize("name", ["program.bin", "image.bin"])
def test_file_cut_short(command, generated, name):
    path = generated / name
    path.write_bytes(path.read_bytes()[:-48])
    message = refuses(command, generated, "simulate", generated)
    assert message.startswith(f"{generated}: is damaged (")


def test_missing_program(command, generated):
    (generated / "program.bin").unlink()
    assert "program.bin" in refuses(command, generated, "simulate", generated)


@pytest.mark.parametrize(("place", "wanted"), [(-1, "weights_hash"), (100, "program in image.bin")])
def test_changed_image(command, generated, place, wanted):
    path = generated / "image.bin"
    image = bytearray(path.read_bytes())
    image[place] ^= 1
    path.write_bytes(image)
    message = refuses(command, generated, "simulate", generated)
    assert f"is damaged (the {wanted} does not fit)" in message


def test_folder_without_image(command, generated):
    (generated / "image.bin").unlink()
    message = refuses(command, generated, "simulate", generated)
    assert message.endswith("has no image.bin: generate it without --no-image")


ROWS = np.random.default_rng(2).standard_normal((6, 64))


@pytest.mark.parametrize(
    ("arrays", "wanted"),
    [
        ({"hidden": ROWS}, "array x is missing"),
        ({"x": ROWS[:, 1:]}, "array x must have the shape [n, 64], not [6, 63]"),
        ({"x": ROWS[0]}, "array x must have the shape [n, 64], not [64]"),
        ({"x": ROWS.astype(str)}, "array x must hold numbers, not <U32"),
        ({"x": ROWS.astype(object)}, "not an NPZ file of plain arrays"),
        ({"x": np.where(ROWS > 1, np.nan, ROWS)}, "array x must hold finite numbers"),
        ({"x": ROWS[:0]}, "array x must have at least one row"),
        ({"x": ROWS, "y": ROWS[:, 1:]}, "array y must have the shape [n, 64], not [6, 63]"),
        ({"x": ROWS[:2], "y": ROWS}, "array y has 6 rows, x only 2"),
    ],
)
def test_hidden_rows_that_do_not_do(command, generated, tmp_path, arrays, wanted):
    path = tmp_path / "rows.npz"
    np.savez(path, **arrays)
    message = refuses(command, generated, "simulate", generated, "--hidden", path)
    assert message.startswith(f"--hidden {path}: {wanted}")


def test_missing_hidden_rows(command, generated, tmp_path):
    path = tmp_path / "absent.npz"
    message = refuses(command, generated, "simulate", generated, "--hidden", path)
    assert message == f"--hidden {path}: cannot be read: No such file or directory"


def test_more_tokens_than_the_context(command, generated, tmp_path):
    path = tmp_path / "rows.npz"
    np.savez(path, x=np.zeros((65, 64)))
    message = refuses(command, generated, "simulate", generated, "--hidden", path)
    assert message.startswith(f"--hidden {path}: 65 tokens are more than the context of 64")


@pytest.mark.parametrize("prefill", [6, 7])
def test_prefill_of_all_tokens(command, generated, tmp_path, prefill):
    path = tmp_path / "rows.npz"
    np.savez(path, x=ROWS)
    message = refuses(
        command, generated, "simulate", generated, "--hidden", path, "--prefill", prefill
    )
    assert message == (f"--prefill: must be from 0 to 5, below the number of tokens, not {prefill}")


@pytest.mark.parametrize(
    "memory",
    [
        "",
        "fixed",
        "fixed:",
        "fixed:0",
        "fixed:-3",
        "fixed:3.5",
        "fixed:٣",
        f"fixed:{'9' * 5000}",
        "random:0",
        "dram:3",
    ],
)
def test_unknown_memory(command, generated, memory):
    message = refuses(command, generated, "simulate", generated, "--memory", memory)
    assert message.startswith("--memory: ")
    assert memory.partition(":")[2] in message


@pytest.mark.parametrize("option", ["--json", "--output"])
def test_result_below_a_missing_folder(command, generated, tmp_path, option):
    path = tmp_path / "absent" / "file"
    message = refuses(command, generated, "simulate", generated, option, path)
    assert message == f"{option} {path}: the folder {path.parent} does not exist"
