"""The points that were read from the paper's figures: complete, and where the paper has them."""

from importlib import resources

import numpy as np
import pytest

from mla_hw.reproduction.counts import METHODS
from mla_hw.reproduction.reference import LENGTHS, corners, points, reference_x

DATA = resources.files("mla_hw.reproduction") / "data"


def test_files():
    names = {path.name for path in DATA.iterdir()}
    curves = {
        f"{figure}_{tag}_L{length}.csv"
        for figure in ("fig5", "fig6")
        for tag in ("MHAl", "MHAs", "rc", "ru")
        for length in LENGTHS
    }
    assert names == curves | {"README.md", "fig4_corners.csv"}
    assert "arXiv 2506.02523" in (DATA / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("method", METHODS)
def test_x_of_figure_5(method, length):
    grid = sorted([*(163.84 * np.linspace(0.05, 5, 40)), 163.84])
    assert tuple(points("fig5", method, length)) == reference_x("fig5")
    assert reference_x("fig5") == pytest.approx(grid, abs=0.006)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("method", METHODS)
def test_x_of_figure_6(method, length):
    assert tuple(sorted(points("fig6", method, length))) == reference_x("fig6")
    assert sorted(1 / x for x in reference_x("fig6")) == pytest.approx(
        np.linspace(0.066, 2, 20), rel=1e-4
    )


@pytest.mark.parametrize(("method", "y0", "slope"), [("MHA_l", 0.99689, 0.01556)])
def test_figure_6_is_a_constant_and_a_share_of_computing(method, y0, slope):
    for x, y in points("fig6", method, 1024).items():
        assert y == pytest.approx(y0 + slope / x, abs=1e-4)


def test_readings():
    assert points("fig5", "MLA_rc", 1024)[163.84] == 2.128
    assert points("fig5", "MLA_ru", 4096)[8.19] == 1.6
    assert points("fig6", "MLA_rc", 1024)[15.1515] == 0.3573
    assert corners() == {
        "Google Edge TPU": 100,
        "NVIDIA A100": 156,
        "NVIDIA H800": 295.22,
        "Apple A17 Pro": 583.33,
    }
