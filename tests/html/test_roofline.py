"""Roofline: points and tables are the figures of merit."""

import json
from dataclasses import replace

import plotly.graph_objects as go
import pytest

from mla_hw.cycles.figures import roofline_efficiency
from mla_hw.html.roofline import roofline_figure
from tests.html.pages import plain


def without_variables(value):
    """Put a colour in the place of the style sheet's variables, which Plotly does not know."""
    if isinstance(value, dict):
        return {key: without_variables(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_variables(item) for item in value]
    return "red" if isinstance(value, str) and value.startswith("--") else value


@pytest.fixture
def figures(facts):
    return [(step, step.figures(facts.design)) for step in (facts.simulated, facts.last)]


def test_the_figure_is_one_that_plotly_knows(figures):
    figure = without_variables(roofline_figure(figures))
    go.Figure(figure)
    json.dumps(figure, allow_nan=False)


def test_points_and_roof(figures, facts):
    roof, *points = roofline_figure(figures)["data"]
    phases = [item for _, items in figures for item in items]
    assert len(points) == len(phases) > 10
    core = facts.design.core
    size = core.rows * core.columns
    for point, item in zip(points, phases, strict=True):
        assert point["name"] == item.phase
        (x,), (y,) = point["x"], point["y"]
        assert x == item.macs / item.payload_bytes
        assert y == item.macs / item.cycles
        # On or below the roof.
        assert y <= min(size, x * core.port_bytes) + 1e-9
    assert roof["y"] == [roof["x"][0] * core.port_bytes, size, size]
    assert roof["x"][1] == size / core.port_bytes


def test_a_phase_without_payload_has_no_point(figures):
    step, phases = figures[0]
    phases = [replace(phases[0], payload_bytes=0), *phases[1:]]
    assert len(roofline_figure([(step, phases)])["data"]) == len(phases)


def test_tables(page, figures):
    for table, (step, phases) in zip(page.tables["roofline"], figures, strict=True):
        rows = {row[0]: row for row in table}
        assert f"{step.name}" in page.sections["roofline"]
        for item in phases:
            _, cycles, macs, payload, _, bound, array, port, efficiency = rows[item.phase]
            assert plain(cycles) == item.cycles
            assert plain(macs) == item.macs
            assert plain(payload) == item.payload_bytes
            assert plain(array) == pytest.approx(100 * item.array_utilisation, abs=0.051)
            assert plain(port) == pytest.approx(100 * item.port_utilisation, abs=0.051)
            assert plain(efficiency) == pytest.approx(
                100 * item.least_cycles / item.cycles, abs=0.051
            )
            assert bound == ("array" if item.array_utilisation > item.port_utilisation else "port")
        total = rows["total"]
        assert plain(total[1]) == step.timeline.total
        assert plain(total[-1]) == pytest.approx(100 * roofline_efficiency(phases), abs=0.051)
