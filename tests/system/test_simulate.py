import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mla_hw.cli.simulate import simulate
from mla_hw.design import Design
from mla_hw.errors import ConfigError
from sim.bench import TOP, CoreBench, Port
from sim.waves import signals
from tests.reference_cases import case_dir
from tests.sim.fst import signal_names

HIDDEN = case_dir("tiny-v3") / "expected.npz"


@pytest.fixture(scope="module")
def folder(cores, tmp_path_factory):
    """A generated folder of these tests alone; what is compiled already comes along."""
    return shutil.copytree(
        cores("tiny-v3", "4x8")[0],
        tmp_path_factory.mktemp("simulate") / "tiny",
        ignore=shutil.ignore_patterns("results"),
    )


def files(folder):
    """All but what is built."""
    paths = (path.relative_to(folder) for path in folder.rglob("*"))
    return {path for path in paths if path.parts[0] != "build"}


def rows(tmp_path, **arrays):
    path = tmp_path / "hidden.npz"
    np.savez(path, **arrays)
    return path


@pytest.mark.rtl
def test_report_and_files(folder, tmp_path):
    before = files(folder)
    lines = []
    with np.load(HIDDEN) as stored:
        # The reference belongs to the last rows.
        x, reference = stored["x"][28:36], stored["y"][:4]
    report = simulate(
        folder,
        hidden=rows(tmp_path, x=x, y=reference),
        output=tmp_path / "y.npz",
        json_path=tmp_path / "report.json",
        trace=tmp_path / "trace.json",
        progress=lines.append,
    )
    assert report.bit_exact
    assert report.difference is None
    assert report.tokens == len(x)

    assert len(report.relative_error) == len(report.cosine) == len(reference)
    with np.load(tmp_path / "y.npz") as stored:
        y_int, y = stored["y_int"], stored["y"]
    assert y_int.dtype == np.int16
    np.testing.assert_array_equal(y_int * Design.load(folder).scales["y"], y)
    errors = np.linalg.norm(y[-4:] - reference, axis=1) / np.linalg.norm(reference, axis=1)
    np.testing.assert_allclose(report.relative_error, errors)
    total = np.linalg.norm(y[-4:] - reference) / np.linalg.norm(reference)
    assert report.relative_error_total == pytest.approx(total)
    cosine = [a @ b / np.sqrt(a @ a * (b @ b)) for a, b in zip(y[-4:], reference, strict=True)]
    np.testing.assert_allclose(report.cosine, cosine)

    for side in ("simulated", "predicted"):
        assert sum(phase[side] for phase in report.phases) == sum(report.cycles[side])
    counted = [counters["cycles"] for counters in report.counters]
    assert counted == report.cycles["simulated"]
    written = json.loads((tmp_path / "report.json").read_text())
    assert written == json.loads((folder / "results" / "simulate-verilator.json").read_text())
    assert written["bit_exact"] is True
    assert {"mla-hw", "cocotb", "verilator"} <= set(written["tools"])
    assert written["hash"] == Design.load(folder).manifest["hash"]
    assert {path.parts[0] for path in files(folder) - before} == {"results"}
    results = (folder / "results" / "simulate-verilator.json",)
    outputs = [tmp_path / name for name in ("report.json", "y.npz", "trace.json")]
    assert report.files == (*results, *outputs)
    assert all(path.is_file() for path in report.files)
    assert "files" not in written
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert sum(event.get("cat") == "instruction" for event in events) == 2 * len(
        report.instructions
    )
    assert lines[-1] == f"token 8 of 8: {report.cycles['simulated'][-1]} cycles, bit-exact"


@pytest.mark.rtl
def test_no_rows_are_given(folder):
    report = simulate(folder, memory="random:9")
    assert report.bit_exact
    assert report.tokens == 4
    assert report.relative_error == report.cosine == ()
    assert report.relative_error_total is None


@pytest.mark.rtl
def test_prefill(folder, tmp_path):
    with np.load(HIDDEN) as stored:
        hidden = rows(tmp_path, x=stored["x"][:20], y=stored["x"][4:20])
    whole = simulate(folder, hidden=hidden, output=tmp_path / "whole.npz")
    rest = simulate(folder, hidden=hidden, prefill=17, output=tmp_path / "rest.npz")
    assert rest.bit_exact
    assert rest.tokens == 3
    np.testing.assert_array_equal(
        np.load(tmp_path / "rest.npz")["y_int"], np.load(tmp_path / "whole.npz")["y_int"][17:]
    )
    assert rest.cycles["simulated"] == whole.cycles["simulated"][17:]
    assert rest.relative_error == whole.relative_error[13:]
    assert [item["token"] for item in rest.instructions][:: len(rest.instructions) - 1] == [17, 19]


@pytest.mark.rtl
@pytest.mark.icarus
def test_icarus_gives_the_same(folder, tmp_path):
    with np.load(HIDDEN) as stored:
        hidden = rows(tmp_path, x=stored["x"][:2])
    one, other = (
        simulate(folder, hidden=hidden, simulator=name) for name in ("verilator", "icarus")
    )
    assert other.bit_exact
    assert one.instructions == other.instructions
    assert one.counters == other.counters


@pytest.mark.rtl
@pytest.mark.slow
def test_waves(folder, tmp_path):
    with np.load(HIDDEN) as stored:
        hidden = rows(tmp_path, x=stored["x"][:1])
    report = simulate(folder, hidden=hidden, waves=True)
    assert [path.name for path in report.files] == [
        "simulate-verilator.json",
        "waves.fst",
        "waves.gtkw",
    ]
    assert all(path.is_file() for path in report.files)
    there = signal_names(Path(report.waves).read_bytes())
    save = (folder / "results" / "waves.gtkw").read_text().splitlines()
    wanted = {line.replace("[", " [") for line in save if line.startswith(f"{TOP}.")}
    assert wanted <= there
    assert len(wanted) > 40


@pytest.mark.rtl
def test_another_core_is_refused(folder, monkeypatch):
    design = Design.load(folder)
    other = dataclasses.replace(design, manifest={**design.manifest, "hash": "0123456789abcdef"})
    monkeypatch.setattr(Design, "load", lambda _: other)
    with pytest.raises(ConfigError, match=r"configuration hash .* manifest\.json 0123456789abcdef"):
        simulate(folder)


X = np.zeros((3, 64))
BAD_ROWS = {
    "width": ({"x": np.zeros((3, 65))}, r"array x must have the shape \[n, 64\], not \[3, 65\]"),
    "dimensions": ({"x": np.zeros(64)}, r"array x must have the shape \[n, 64\]"),
    "type": ({"x": np.full((3, 64), "a")}, "array x must hold numbers"),
    "nan": ({"x": np.full((3, 64), np.nan)}, "finite numbers, not NaN or Inf"),
    "missing": ({"y": X}, "array x is missing"),
    "reference": ({"x": X, "y": np.zeros((3, 63))}, r"array y must have the shape \[n, 64\]"),
    "longer reference": ({"x": X, "y": np.ones((4, 64))}, "array y has 4 rows, x only 3"),
    "context": ({"x": np.zeros((129, 64))}, "129 tokens are more than the context of 128"),
}


@pytest.mark.parametrize("kind", BAD_ROWS)
def test_bad_rows(folder, tmp_path, kind):
    arrays, message = BAD_ROWS[kind]
    with pytest.raises(ConfigError, match=message):
        simulate(folder, hidden=rows(tmp_path, **arrays))


BAD_OPTIONS = {
    "prefill": (
        {"prefill": 4},
        "--prefill: must be from 0 to 3, below the number of tokens, not 4",
    ),
    "negative prefill": ({"prefill": -1}, "--prefill: must be from 0 to 3"),
    "memory": (
        {"memory": "slow"},
        "--memory: must be fixed:LATENCY, .* or dram, not 'slow'",
    ),
    "simulator": ({"simulator": "modelsim"}, "--sim: must be one of verilator, icarus"),
    "file": ({"hidden": "/nowhere/x.npz"}, "--hidden /nowhere/x.npz: cannot be read"),
    "output": (
        {"output": "/nowhere/y.npz"},
        "--output /nowhere/y.npz: the folder /nowhere does not exist",
    ),
    "json": (
        {"json_path": "/nowhere/y.json"},
        "--json /nowhere/y.json: the folder /nowhere does not exist",
    ),
    "no integer": (
        {"prefill": "1"},
        "--prefill: must be from 0 to 3, .*, not '1'",
    ),
    "long seed": ({"memory": f"random:{'9' * 30}"}, "--memory: SEED must be from 1 to "),
    "unwritable": ({"output": "/proc/y.npz"}, "--output /proc/y.npz: cannot be written: "),
    "one file": (
        {"output": "/tmp/one", "json_path": "/tmp/one"},
        "--output /tmp/one: is the file of --json",
    ),
    "own input": ({"hidden": HIDDEN, "output": HIDDEN}, "--output .*: is the file of --hidden"),
}


@pytest.mark.parametrize("kind", BAD_OPTIONS)
def test_bad_options(folder, tmp_path, kind):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("build", "results"))
    before = files(copy)
    options, message = BAD_OPTIONS[kind]
    with pytest.raises(ConfigError, match=message):
        simulate(copy, **options)
    assert files(copy) == before


def test_folders_that_cannot_be_written(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("build", "results"))
    (copy / "results").write_text("")
    with pytest.raises(ConfigError, match=r"results: cannot be written: must be a folder, "):
        simulate(copy)


def test_path_with_a_space(folder, tmp_path):
    """Verilator's makefiles cannot build there; Icarus can."""
    copy = tmp_path / "a copy"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("build", "results"))
    with pytest.raises(
        ConfigError, match="build/verilator: Verilator's makefiles build in no path with"
    ):
        simulate(copy)


def test_folders_that_are_not_generated(folder, tmp_path):
    with pytest.raises(ConfigError, match=r"has no manifest\.json"):
        simulate(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("build", "image.bin"))
    with pytest.raises(ConfigError, match="generate it without --no-image"):
        simulate(copy)


def test_save_file_has_groups(folder):
    ports = {name: Port(**port) for name, port in Design.load(folder).manifest["ports"].items()}
    groups = signals(CoreBench(ports=ports, memory_bytes=1024))
    assert list(groups)[:3] == ["Run", "Engine: reader", "Engine: array"]
    assert ("memory__ar__addr", 32) in groups["Memory port"]
