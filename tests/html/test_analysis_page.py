"""The page of ``mla-hw analyze``: its sections hold what the report holds."""

import pytest

from mla_hw.analysis.quantity import quantity
from mla_hw.cli.analyze import analyze
from tests.html.pages import plain, read_page


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A report and its page."""
    path = tmp_path_factory.mktemp("analysis") / "page.html"
    report = analyze(
        "small-v2lite",
        hardware={"rows": 2, "columns": 4},
        contexts=(30, 200000),
        batches=(1, 3),
        schemes=("absorb", "recompute", "mha"),
        predict=True,
        html=path,
    )
    return report, read_page(path)


def test_sections(made):
    report, page = made
    assert list(page.sections) == [
        *("schemes", "context", "roofline", "traffic", "phases", "break-even", "cache"),
        *("prediction", "warnings"),
    ]
    assert report.warnings[0] in page.sections["warnings"]


def test_one_table_of_estimates_per_step(made):
    report, page = made
    tables = page.tables["schemes"]
    assert len(tables) == 4
    rows = [row for table in tables for row in table[1:]]
    for row, item in zip(rows, report.estimates, strict=True):
        assert row[0] == item.work.scheme
        assert row[2] == quantity(item.total.macs)
        assert row[-3] == quantity(item.cycles)
    assert "200\u202f000 cached tokens, 3 sequences" in page.sections["schemes"]


def test_plots(made):
    report, page = made
    for batch in (1, 3):
        cycles = page.data[f"cycles-{batch}-plot-data"]["data"]
        assert [trace["name"] for trace in cycles] == ["absorb", "recompute", "mha"]
        for trace in cycles:
            items = [
                item
                for item in report.estimates
                if (item.work.scheme, item.shape.batch) == (trace["name"], batch)
            ]
            assert trace["x"] == [30, 200000]
            assert trace["y"] == [item.cycles / batch for item in items]
    first = report.estimates[:3]
    roof, *points = page.data["roofline-plot-data"]["data"]
    assert roof["y"][1] == report.machine.macs_per_cycle
    phases = [phase for item in first for phase in item.phases if phase.bytes]
    assert [point["y"] for point in points] == [[phase.macs / phase.cycles] for phase in phases]
    bars = page.data["traffic-plot-data"]["data"]
    assert [sum(values) for values in zip(*(bar["x"] for bar in bars), strict=True)] == [
        item.total.bytes for item in first
    ]


def test_phases_and_break_even_points(made):
    report, page = made
    for table, item in zip(page.tables["phases"], report.estimates, strict=False):
        assert [row[0] for row in table[1:]] == [phase.phase for phase in item.phases]
    rows = page.tables["break-even"][0][1:]
    assert len(rows) == len(report.break_evens) > 3
    assert [row[3] for row in rows] == [point.better for point in report.break_evens]


def test_cache_and_claims(made):
    _, page = made
    sizes, claims = page.tables["cache"]
    assert [plain(row[1]) for row in sizes[1:]] == [80, 80, 640, 640]
    assert all(cell in ("holds", "–") for row in claims[1:] for cell in row[1:])


def test_predictions_add_up(made):
    report, page = made
    absorb = next(item for item in report.predictions if item.scheme == "absorb")
    table = page.tables["prediction"][0]
    for row in table[1:]:
        assert plain(row[2]) == sum(map(plain, row[4:]))
    assert plain(table[-1][2]) == absorb.total


def test_without_an_array_a_sweep_or_a_prediction(tmp_path):
    path = tmp_path / "page.html"
    analyze(
        "deepseek-v3",
        **{"peak_macs": 1000, "bandwidth": 10, "clock": 100},
        contexts=(64,),
        phase="prefill",
        html=path,
    )
    page = read_page(path)
    assert list(page.sections) == [
        *("schemes", "roofline", "traffic", "phases", "break-even", "cache"),
    ]
    assert "64 tokens, 1 sequence" in page.sections["schemes"]
