"""The same files from any folder, user and hash seed, with nothing of the machine in them."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import mla_hw
from tests.cli.command import run_process, snapshot
from tests.reference_cases import case_dir, load_case

USER = "quaxolotl"
ROOT = Path(mla_hw.__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """The same generated from two places, by two users."""
    here, there = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("there")
    for folder, name in ((here, "a"), (there, "model")):
        shutil.copytree(case_dir("tiny-v3"), folder / name)
        np.savez(folder / f"{name}.npz", x=load_case("tiny-v3").x)
        (folder / f"{name}.yaml").write_text("rows: 2\ncolumns: 4\n")

    def generate(folder, paths, out, **environment):
        checkpoint, calibration, hardware = paths
        result = run_process(
            *("generate", checkpoint, "--calibration", calibration, "--hardware", hardware),
            *("--context", 100, "--out", out),
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        )
        assert result.returncode == 0, result.stderr
        assert result.stderr == ""

    generate(here, ("a", "a.npz", "a.yaml"), "core", PYTHONHASHSEED="1")
    (there / "home").mkdir()
    absolute = [there / f"model{end}" for end in ("", ".npz", ".yaml")]
    generate(
        there / "home",
        absolute,
        there / "other",
        PYTHONHASHSEED="77",
        HOME=str(there / "home"),
        USER=USER,
        LOGNAME=USER,
        # An encoding in which × cannot be written, and another time zone.
        LC_ALL="C",
        PYTHONUTF8="0",
        PYTHONCOERCECLOCALE="0",
        TZ="Pacific/Auckland",
    )
    return here / "core", there / "other"


def test_identical_files(places):
    first, second = map(snapshot, places)
    assert first.keys() == second.keys()
    assert not [name for name in first if first[name] != second[name]]
    assert "verilog/accelerator.v" in first


def test_nothing_of_the_machine(places):
    traces = [USER, sys.prefix, str(ROOT), str(Path.home()), str(places[0].parent)]
    traces += [str(places[1].parent), "/tmp", ".mla-hw", ".py"]
    for name, content in snapshot(places[1]).items():
        if content is not None and not name.endswith(".bin"):
            text = content.decode()
            assert not [trace for trace in traces if len(trace) > 1 and trace in text], name
