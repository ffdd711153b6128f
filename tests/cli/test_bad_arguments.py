"""Boards, sizes, contexts, calibration files and targets that do not do."""

import io
import json
import re
import zipfile
from dataclasses import replace

import numpy as np
import pytest

import boards
from mla_hw.cli import generate as generate_module
from mla_hw.cli import head_passes, output_folder
from mla_hw.errors import CapacityError, ConfigError
from mla_hw.presets import find_preset
from mla_hw.schedule import SCHEMES
from tests.cli.command import snapshot


@pytest.fixture
def hardware(tmp_path):
    def write(text):
        path = tmp_path / "hardware.yaml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def _without_verilog(monkeypatch):
    """Saves the seconds that the gateware takes, where a test is not about it."""
    monkeypatch.setattr(generate_module, "_verilog", lambda _: ({}, {}))


def test_unknown_board(command):
    message = command.refuses("tiny-v3", "--board", "ulx3s-84f")
    assert message.startswith("--board: unknown board 'ulx3s-84f': did you mean ulx3s-85f?")
    assert all(name in message for name in boards.list_boards())


def test_unknown_scheme(command):
    message = command.refuses("tiny-v3", "--scheme", "mha")
    assert message == f"--scheme: must be one of {', '.join(SCHEMES)}, not 'mha'"


@pytest.mark.parametrize("scheme", [scheme for scheme in SCHEMES if scheme != "absorb"])
def test_several_rows_of_a_scheme_that_takes_one(command, scheme):
    message = command.refuses("tiny-v3", "--scheme", scheme, "--rows", 2)
    assert message == f"--rows: only the scheme absorb takes several rows, not {scheme}"


# What does not fit.


def test_more_multipliers_than_the_device_has(command, hardware):
    path = hardware("rows: 8\ncolumns: 32\n")
    message = command.refuses("tiny-v3", "--hardware", path)
    assert message.startswith("LFE5U-85F of ulx3s-85f: needs 262 multipliers, has 156 (106 too ")
    assert message.endswith("lower rows or columns (--hardware)")


def test_multipliers_of_another_family(command, hardware):
    path = hardware("multiplier: ice40\n")
    message = command.refuses("tiny-v3", "--hardware", path)
    assert message == (
        "multiplier must be auto, portable or ecp5 for LFE5U-85F of ulx3s-85f, not 'ice40' "
        "(--hardware)"
    )


def test_more_block_rams_than_the_device_has(command, hardware, monkeypatch):
    board = boards.load_board("ulx3s-85f")
    small = replace(board, device=replace(board.device, bram=3))
    monkeypatch.setattr(generate_module, "load_board", lambda _: small)
    message = command.refuses("tiny-v3", "--hardware", hardware("rows: 4\n"))
    assert "block RAMs, has 3 (" in message
    assert message.endswith("lower activation_bytes or tile_tokens (--hardware)")


@pytest.mark.usefixtures("_without_verilog")
def test_activation_buffer_without_room_for_a_group(command, hardware):
    message = command.refuses("tiny-v3", "--hardware", hardware("activation_bytes: 512\n"))
    assert message.startswith("activation buffer: needs ")
    assert "bytes, has 512 (" in message
    assert message.endswith("raise activation_bytes (--hardware)")
    needed = message.split()[3]
    command.generates("tiny-v3", "--hardware", hardware(f"activation_bytes: {needed}\n"))


@pytest.mark.usefixtures("_without_verilog")
@pytest.mark.parametrize("scheme", ["recompute", "naive"])
def test_activation_buffer_without_room_for_the_weights_of_a_head(command, hardware, scheme):
    arguments = ("tiny-v3", "--scheme", scheme, "--hardware")
    message = command.refuses(*arguments, hardware("activation_bytes: 2048\n"))
    match = re.fullmatch(
        r"activation buffer: needs (\d+) bytes, has 2048 \(\d+ too many\); (\d+) bytes of a half "
        rf"are one head's weights, which --scheme {scheme} multiplies from there and --scheme "
        r"absorb does not; raise activation_bytes \(--hardware\)",
        message,
    )
    # Two halves of two bytes per lane; rows of the array times steps, in tiny-v3.
    weights = {"recompute": 48 * 16, "naive": (16 + 16) * 32}[scheme]
    assert int(match[2]) == 2 * weights < int(match[1])
    command.generates(*arguments, hardware(f"activation_bytes: {match[1]}\n"))


def largest_context(message, available):
    needed, there = (int(message.split()[place]) for place in (4, 7))
    assert there == available < needed
    assert message.startswith(f"memory of ulx3s-85f: needs {needed} bytes, has {available} (")
    return int(message.rsplit(" ", 1)[1])


@pytest.mark.usefixtures("_without_verilog")
@pytest.mark.parametrize("passes", [1, 2])
def test_context_beyond_the_memory(command, hardware, monkeypatch, passes):
    """The context that the message names fits, the next one does not."""

    def check_device(core, device, board):
        # Two passes make a longer program, which leaves less memory.
        if core.groups > 4 // passes:
            raise CapacityError(core.groups, 4 // passes, "block RAMs", device.name)

    board = boards.load_board("ulx3s-85f")
    board = replace(board, memory=replace(board.memory, size_mib=1))
    monkeypatch.setattr(generate_module, "load_board", lambda _: board)
    monkeypatch.setattr(head_passes, "check_device", check_device)
    path = hardware("rows: 2\ncolumns: 4\n")
    options = ("small-v2lite", "--hardware", path, "--no-image", "--context")
    message = command.refuses(*options, 100_000)
    largest = largest_context(message, 1 << 20)
    assert largest_context(command.refuses(*options, largest + 1), 1 << 20) == largest
    command.generates(*options, largest)
    manifest = json.loads((command.out / "manifest.json").read_text())
    assert manifest["context"] == largest
    assert len(manifest["passes"]) == passes


def test_no_context_fits(command, monkeypatch):
    board = boards.load_board("ulx3s-85f")
    board = replace(board, memory=replace(board.memory, size_mib=0))
    monkeypatch.setattr(generate_module, "load_board", lambda _: board)
    assert command.refuses("tiny-v3").endswith("no --context fits")


def test_context_beyond_the_model(command):
    message = command.refuses("tiny-v3", "--context", 163841)
    assert message == "--context: must be from 1 to 163840 (max_position_embeddings), not 163841"


@pytest.mark.parametrize(
    ("sizes", "wanted"),
    [
        ({"hidden_size": 70000}, "hidden_size = 70000: the core counts to 65535 for the array"),
        ({"num_attention_heads": 1 << 30}, "num_attention_heads = 1073741824: the core counts to"),
    ],
)
def test_dimensions_that_the_core_does_not_count_to(command, monkeypatch, sizes, wanted):
    config = replace(find_preset("tiny-v3").config, **sizes)
    # Without the gigabytes of weights.
    monkeypatch.setattr(generate_module, "load_config", lambda _: config)
    assert command.refuses("huge").startswith(wanted)


# Query rows.


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (
            ("--rows", 5),
            "--rows: must be from 1 to 4, the rows of the array (rows, --hardware), not 5",
        ),
        (("--same-sequence",), "--same-sequence: needs --rows of at least 2, the tokens of a step"),
        (
            ("--rows", 4, "--same-sequence", "--context", 3),
            "--context: must be at least --rows = 4 with --same-sequence, not 3",
        ),
    ],
)
def test_query_rows_that_there_is_no_room_for(command, options, wanted):
    assert command.refuses("tiny-v3", *options) == wanted


def test_query_rows_that_memories_have_no_room_for(command, hardware, monkeypatch):
    path = hardware("activation_bytes: 1024\n")
    message = command.refuses("tiny-v3", "--rows", 4, "--hardware", path)
    assert message.startswith("activation buffer: needs ")
    assert message.endswith("raise activation_bytes (--hardware) or lower --rows")
    board = boards.load_board("ulx3s-85f")
    small = replace(board, device=replace(board.device, bram=3))
    monkeypatch.setattr(generate_module, "load_board", lambda _: small)
    message = command.refuses("tiny-v3", "--rows", 2)
    assert "block RAMs, has 3 (" in message
    assert message.endswith("lower activation_bytes or tile_tokens (--hardware) or --rows")


# Calibration.


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


ROWS = np.random.default_rng(1).standard_normal((5, 64))


@pytest.mark.parametrize(
    ("arrays", "wanted"),
    [
        ({"y": ROWS}, "array x is missing"),
        ({"x": ROWS[:, :63]}, "array x must have the shape [n, 64], not [5, 63]"),
        ({"x": ROWS[0]}, "array x must have the shape [n, 64], not [64]"),
        ({"x": ROWS[None]}, "array x must have the shape [n, 64], not [1, 5, 64]"),
        ({"x": ROWS[:0]}, "array x must have at least one row"),
        ({"x": np.where(ROWS > 1, np.nan, ROWS)}, "array x must hold finite numbers"),
        ({"x": np.where(ROWS > 1, np.inf, ROWS)}, "array x must hold finite numbers"),
        ({"x": ROWS * 1e200}, "array x must hold numbers of float32's range"),
        ({"x": ROWS * 1e-300}, "array x must hold numbers of float32's range"),
        ({"x": ROWS.astype(str)}, "array x must hold numbers, not <U32"),
        ({"x": ROWS.astype(complex)}, "array x must hold numbers, not complex128"),
        ({"x": ROWS > 0}, "array x must hold numbers, not bool"),
        ({"x": ROWS.astype(object)}, "not an NPZ file of plain arrays"),
    ],
)
def test_calibration_rows_that_do_not_do(command, tmp_path, arrays, wanted):
    path = npz(tmp_path / "rows.npz", **arrays)
    message = command.refuses("tiny-v3", "--calibration", path)
    assert message.startswith(f"--calibration {path}: {wanted}")


def archive_without_arrays():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x", "not an array")
    return buffer.getvalue()


def plain_array():
    buffer = io.BytesIO()
    np.save(buffer, ROWS)
    return buffer.getvalue()


def archive_cut_short():
    buffer = io.BytesIO()
    np.savez(buffer, x=ROWS)
    return buffer.getvalue()[:-40]


def damaged_archive():
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=ROWS)
    data = bytearray(buffer.getvalue())
    data[100:400] = bytes(300)
    return bytes(data)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x = 1\n",
        b"PK\x03\x04",
        plain_array(),
        archive_without_arrays(),
        archive_cut_short(),
        damaged_archive(),
    ],
    ids=["empty", "text", "header", "npy", "no-arrays", "cut-short", "damaged"],
)
def test_calibration_file_of_another_kind(command, tmp_path, content):
    path = tmp_path / "rows.npz"
    path.write_bytes(content)
    assert command.refuses("tiny-v3", "--calibration", path).startswith(f"--calibration {path}: ")


def test_calibration_file_that_cannot_be_read(command, tmp_path):
    for path, reason in ((tmp_path / "no.npz", "No such file"), (tmp_path, "Is a directory")):
        message = command.refuses("tiny-v3", "--calibration", path)
        assert message.startswith(f"--calibration {path}: cannot be read: {reason}")


# Where to.


def test_out_is_a_foreign_folder(command):
    (command.out / "manifest.json").unlink()
    message = command.refuses("tiny-v3")
    assert message.endswith("is not empty and was not made by generate, so it is not replaced")


@pytest.mark.parametrize("text", ['{"name": "an app", "version": "1"}', "[]", "{", ""])
def test_a_foreign_manifest_does_not_make_a_folder_ours(command, text):
    (command.out / "manifest.json").write_text(text)
    assert "was not made by generate" in command.refuses("tiny-v3")


def test_out_is_a_file(command):
    target = command.parent / "file"
    target.write_text("mine")
    before = snapshot(command.parent)
    message = command.fails("generate", "tiny-v3", "--out", target)
    assert message == f"--out {target}: must be a folder to make or replace, not a file"
    assert snapshot(command.parent) == before


def test_out_below_a_missing_folder(command):
    target = command.parent / "absent" / "core"
    message = command.fails("generate", "tiny-v3", "--out", target)
    assert message == f"--out {target}: the folder {target.parent} does not exist"


def test_out_below_a_file(command):
    target = command.out / "old.txt" / "core"
    message = command.fails("generate", "tiny-v3", "--out", target)
    assert message.endswith("old.txt is a file, not a folder")


def test_out_below_a_folder_that_cannot_be_written(command):
    """Not even root makes folders there."""
    message = command.fails("generate", "tiny-v3", "--out", "/proc/core")
    assert message.startswith("--out /proc/core: cannot be written: ")


def no_permission(*_, **__):
    raise PermissionError(13, "Permission denied")


def test_out_where_nothing_can_be_made(command, monkeypatch):
    monkeypatch.setattr(output_folder.tempfile, "mkdtemp", no_permission)
    message = command.refuses("tiny-v3")
    assert message == f"--out {command.out}: cannot be written: Permission denied"


# Values that only the functions can be given.


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"seed": -1}, "--seed: must be an integer of at least 0, not -1"),
        ({"seed": "1"}, "--seed: must be an integer of at least 0, not '1'"),
        ({"layer": -1}, "--layer: must be an integer of at least 0, not -1"),
        ({"layer": True}, "--layer: must be an integer of at least 0, not True"),
        ({"context": 0}, "--context: must be from 1 to 163840 (max_position_embeddings), not 0"),
        ({"context": "8"}, "--context: must be an integer of at least 0, not '8'"),
    ],
)
@pytest.mark.usefixtures("_without_verilog")
def test_arguments_of_generate(command, options, wanted):
    before = snapshot(command.parent)
    with pytest.raises(ConfigError) as caught:
        generate_module.generate("tiny-v3", out=command.out, **options)
    assert str(caught.value) == wanted
    assert snapshot(command.parent) == before
