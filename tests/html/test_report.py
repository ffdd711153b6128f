"""The page as a file: self-contained, always the same, escaped; and what the command refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mla_hw.cli.report import report
from mla_hw.design import Design
from tests.cli.command import snapshot
from tests.html.folders import simulation_of, write_json
from tests.html.pages import read_page


def edit(folder, change, name="manifest.json"):
    path = folder / name
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")


def refuses(command, folder, *arguments):
    before = snapshot(folder)
    message = command.fails("report", folder, *arguments)
    assert snapshot(folder) == before
    return message


def test_written_into_the_folder(command, folder):
    before = snapshot(folder)
    output = command.succeeds("report", folder)
    assert output.endswith(f"written to {folder / 'report.html'}\n")
    after = snapshot(folder)
    assert after.pop("report.html")
    assert after == before


@pytest.mark.parametrize("name", ["manifest.json", "program.txt", "image.bin"])
def test_does_not_write_over_the_folder(command, folder, name):
    message = refuses(command, folder, "--html", folder / name)
    assert message.endswith("which is not replaced")
    assert message.startswith(f"--html {folder / name}: is a file of ")


def test_sizes_of_tensors_are_numbers(command, folder):
    edit(folder, lambda manifest: manifest["tensors"][0].update(size=[]))
    assert "tensors: is damaged" in refuses(command, folder)


def test_needs_nothing_but_itself(page, complete, tmp_path):
    text = report(complete, html=tmp_path / "page.html").path.read_text(encoding="utf-8")
    for tag, attributes in page.elements:
        assert tag not in ("link", "img", "iframe")
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")
    assert text.count("plotly.js v") == 1
    assert "default-src &#x27;none&#x27;" in text
    assert "url(" not in text.split("<style>")[1].split("</style>")[0]


def test_always_the_same(complete, folder, tmp_path):
    pages = [
        report(where, html=tmp_path / name).path.read_bytes()
        for where, name in ((complete, "a.html"), (folder, "b.html"))
    ]
    assert pages[0] == pages[1]
    assert str(tmp_path).encode() not in pages[0]
    assert str(complete).encode() not in pages[0]


def test_ids_are_unique(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_what_comes_from_files_is_escaped(folder, tmp_path):
    evil = "<img src=x onerror=alert(1)></script>"
    edit(folder, lambda manifest: manifest["tools"].update({evil: evil}))
    data = simulation_of(Design.load(folder), memory=evil, simulator=evil, saturated={evil: 1})
    data["tools"] = {evil: evil}
    for item in data["instructions"]:
        item["cause"] = evil
    data |= {"bit_exact": False, "difference": {evil: evil}}
    write_json(folder / "results" / "simulate-verilator.json", data)
    path = report(folder, html=tmp_path / "page.html").path
    assert "<img" not in path.read_text(encoding="utf-8").partition("plotly.js v")[0]
    page = read_page(path)
    assert list(page.headings)[-1] == "warnings"
    assert evil in page.sections["warnings"]
    # Plotly reads tags in what it shows.
    texts = json.dumps(page.data["timeline-plot-data"])
    assert "<img" not in texts
    assert "&lt;img" in texts


def test_plotly_is_loaded_by_this_command_only():
    script = (
        "import sys, mla_hw, mla_hw.cli.generate, mla_hw.cli.simulate, mla_hw.cli.synth\n"
        "mla_hw.cli.main(['models'])\n"
        "print([name for name in sys.modules if name.startswith('plotly')])"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("kind", ["absent", "empty", "file"])
def test_no_folder_of_generate(command, tmp_path, kind):
    path = tmp_path / kind
    if kind == "empty":
        path.mkdir()
    elif kind == "file":
        path.write_text("")
    before = snapshot(tmp_path)
    assert command.fails("report", path).startswith(f"{path}: ")
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "\xff"])
def test_manifest_that_is_none(command, folder, text):
    (folder / "manifest.json").write_bytes(text.encode("latin-1"))
    assert str(folder) in refuses(command, folder)


KEYS = (
    *("board", "layer", "tools", "passes", "calibration", "scales", "phases", "regions"),
    *("hash", "weights_hash", "scheme", "context", "model", "core", "tensors"),
)
VALUES = ("absent", None, [[3]], {"a": "b"})
#: What these keys may well be.
GOOD = (("tools", {"a": "b"}), ("passes", [[3]]))


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name in KEYS for value in VALUES if (name, value) not in GOOD],
)
def test_damaged_manifest(command, folder, name, value):
    def change(manifest):
        if value == "absent":
            del manifest[name]
        else:
            manifest[name] = value

    edit(folder, change)
    message = refuses(command, folder)
    assert "generate" in message
    assert str(folder) in message


def test_board_that_is_gone(command, folder):
    edit(folder, lambda manifest: manifest.update(board="ulx3s-86f"))
    message = refuses(command, folder)
    assert message.startswith(f"{folder / 'manifest.json'}: board: unknown board 'ulx3s-86f'")


SIMULATION = "results/simulate-verilator.json"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"hash": 3}'])
def test_simulation_that_is_none(command, folder, text):
    (folder / SIMULATION).write_text(text)
    assert refuses(command, folder).startswith(f"{folder / SIMULATION}: ")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("bit_exact",), 1),
        (("difference",), "y"),
        (("tokens",), -1),
        (("cycles",), None),
        (("cycles", "simulated"), [3]),
        (("cycles", "predicted"), [1, 2, True]),
        (("counters",), [{}]),
        (("counters", 0, "cycles"), "many"),
        (("instructions",), {}),
        (("instructions", 0), []),
        (("instructions", 0, "index"), 9999),
        (("instructions", 0, "token"), None),
        (("instructions", 0, "iteration"), ["a"]),
        (("instructions", 0, "engine"), "dispatcher"),
        (("instructions", 0, "cause"), 4),
        (("instructions", 0, "stalls"), {"weights": 1}),
        (("instructions", 0, "start"), {"simulated": 1}),
        (("instructions", 0, "end", "simulated"), 1.5),
        (("relative_error",), ["a"]),
        (("cosine",), None),
        (("relative_error_total",), "small"),
        (("saturated",), [1]),
        (("saturated",), {"x": -1}),
        (("memory",), 32),
        (("tools",), {"numpy": 2}),
    ],
)
def test_damaged_simulation(command, folder, place, value):
    def change(data):
        for key in place[:-1]:
            data = data[key]
        data[place[-1]] = value

    edit(folder, change, SIMULATION)
    message = refuses(command, folder)
    assert message.startswith(f"{folder / SIMULATION}: is damaged (")
    assert message.endswith("): simulate again")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pack.json", "{"),
        ("pack.json", "{}"),
        ("pack.json", '{"utilization": {"DP16KD": 3}}'),
        ("pack.json", '{"utilization": {"DP16KD": {"used": "x"}}}'),
        ("seed1.json", "[]"),
        ("seed1.json", '{"fmax": {}}'),
        ("seed1.json", '{"fmax": {"clk": {"achieved": null}}}'),
        ("seed1.json", '{"fmax": {"clk": 4}}'),
        ("seedx.json", '{"fmax": {"clk": {"achieved": 4}}}'),
    ],
)
def test_damaged_synthesis(command, folder, name, text):
    path = folder / "build" / "synth" / name
    path.write_text(text)
    message = refuses(command, folder)
    assert message.startswith(f"{path}: ")


def test_a_placement_that_has_not_ended(command, folder):
    for path in (folder / "build" / "synth").glob("seed*.json"):
        path.unlink()
    command.succeeds("report", folder)
    assert "mla-hw synth --place says" in read_page(folder / "report.html").sections["resources"]


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_page_that_cannot_be_written(command, folder, tmp_path, kind):
    path = tmp_path / "absent" / "page.html" if kind == "missing" else tmp_path
    message = refuses(command, folder, "--html", path)
    assert message.startswith(f"--html {path}: ")


def test_disk_that_is_full(command, folder, tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    path.write_text("as before")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    message = command.fails("report", folder, "--html", path)
    assert message == f"--html {path}: cannot be written: No space left on device"
    assert path.read_text() == "as before"
    assert {entry.name for entry in tmp_path.iterdir()} == {"core", "page.html"}


def test_a_device_is_written_to_and_not_replaced(folder, command):
    command.succeeds("report", folder, "--html", os.devnull)
    assert Path(os.devnull).is_char_device()
