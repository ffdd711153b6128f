import shutil

import numpy as np
import pytest

from mla_hw.cli.generate import generate
from mla_hw.cli.report import collect_facts, report
from mla_hw.design import Design
from tests.cli.command import CommandLine
from tests.html.folders import write_packed, write_placed, write_simulation
from tests.html.pages import read_page
from tests.reference_cases import case_dir, load_case

HARDWARE = {"rows": 2, "columns": 4}


@pytest.fixture(scope="session")
def bare(tmp_path_factory):
    """A generated folder that nothing else was done with; treat as read-only."""
    folder = tmp_path_factory.mktemp("bare") / "core"
    generate(case_dir("tiny-v3"), out=folder, hardware=HARDWARE, context=64)
    return folder


@pytest.fixture(scope="session")
def complete(tmp_path_factory):
    """A calibrated folder, simulated, synthesised and placed; treat as read-only."""
    root = tmp_path_factory.mktemp("complete")
    np.savez(root / "rows.npz", x=load_case("tiny-v3").x[:20])
    generate(
        case_dir("tiny-v3"),
        out=root / "core",
        hardware=HARDWARE,
        context=64,
        calibration=root / "rows.npz",
    )
    write_simulation(root / "core")
    write_packed(root / "core")
    write_placed(root / "core", seed1=91.25, seed3=88.0, seed2=95.5)
    return root / "core"


@pytest.fixture
def folder(complete, tmp_path):
    """A copy of the complete folder that the test may damage."""
    return shutil.copytree(complete, tmp_path / "core")


@pytest.fixture(scope="session")
def facts(complete):
    return collect_facts(complete, Design.load(complete), lambda _: None)


@pytest.fixture(scope="session")
def bare_facts(bare):
    return collect_facts(bare, Design.load(bare), lambda _: None)


@pytest.fixture(scope="session")
def page(complete, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    report(complete, html=path)
    return read_page(path)


@pytest.fixture
def command(tmp_path, capsys):
    return CommandLine(tmp_path, capsys)
