"""Bounds hold, are tight where the paper gives none, and are left by wrong counts."""

from dataclasses import replace

import pytest

from mla_hw.graph import Count
from mla_hw.reproduction.bounds import FIG5_REASONS, bound_of
from mla_hw.reproduction.check import check_crossings, check_figure, check_table
from mla_hw.reproduction.counts import METHODS, ORDERS
from mla_hw.reproduction.curves import MODELS, figure2, figure3, figure4, figure5, figure6

FIGURES = {"fig3": figure3, "fig4": figure4, "fig5": figure5, "fig6": figure6}


def wrong(deviations):
    return {
        f"{item.method} {item.panel} {item.model}".rstrip() for item in deviations if not item.ok
    }


def changed(methods, method, operations=(), accesses=()):
    """The counts with something added to one method."""
    count = methods[method]
    other = replace(
        count,
        operations=count.operations + Count(**dict(operations)),
        accesses=count.accesses + Count(**dict(accesses)),
    )
    return {**methods, method: other}


@pytest.mark.parametrize("name", FIGURES)
def test_every_curve_is_within_its_bound(methods, name):
    deviations = check_figure(FIGURES[name](methods))
    assert len(deviations) == {"fig3": 16, "fig4": 8, "fig5": 24, "fig6": 12}[name]
    assert not wrong(deviations)


@pytest.mark.parametrize("name", ["fig3", "fig4"])
def test_counted_curves_are_exact(methods, name):
    assert {item.largest for item in check_figure(FIGURES[name](methods))} == {0}


@pytest.mark.parametrize("printed", [True, False])
def test_figure_2_is_exact(orders, printed):
    assert {item.largest for item in check_figure(figure2(orders, printed=printed))} == {0}


def test_figure_2_with_the_other_rows_is_out_of_bound(orders):
    mixed = replace(figure2(orders, printed=False), name="fig2_printed")
    assert {name.split()[0] for name in wrong(check_figure(mixed))} == {"1>2>3", "2>1>3"}


@pytest.mark.parametrize("order", ORDERS)
def test_figure_2_with_a_missing_product(orders, order):
    products = dict(orders[order].products)
    del products["scores_nope"]
    damaged = {**orders, order: replace(orders[order], products=products)}
    for printed in (True, False):
        found = wrong(check_figure(figure2(damaged, printed=printed)))
        assert found == {f"{order} B={batch}" for batch in (1, 4, 16)}


def test_bounds_of_figure_5_are_the_measured_deviations_rounded_up(methods):
    for item in check_figure(figure5(methods)):
        assert 0 <= item.bound.largest - abs(item.largest) < 1e-3
        assert 0 <= item.bound.mean - item.mean < 1e-3


def test_bounds_of_figure_6(methods):
    figure = figure6(methods)
    for curve in figure.curves:
        assert bound_of("fig6", curve).largest == (0.05 if "MLA" in curve.method else 0.01)


def test_every_curve_of_figure_5_has_a_reason():
    assert set(FIG5_REASONS) == {(model, method) for model in MODELS for method in METHODS}


@pytest.mark.parametrize("method", METHODS)
def test_more_rows_read(methods, method):
    damaged = changed(methods, method, accesses={"per_row": 512})
    assert wrong(check_figure(figure3(damaged))) == {
        f"{method} decode accesses",
        f"{method} prefill accesses",
    }
    assert {name.split()[0] for name in wrong(check_figure(figure4(damaged)))} == {method}


@pytest.mark.parametrize("method", METHODS)
def test_more_work_per_pair(methods, method):
    damaged = changed(methods, method, operations={"per_pair": 4000})
    assert wrong(check_figure(figure3(damaged))) == {
        f"{method} decode operations",
        f"{method} prefill operations",
    }


@pytest.mark.parametrize("name", ["fig5", "fig6"])
@pytest.mark.parametrize("method", METHODS)
def test_an_eighth_more_accesses(methods, name, method):
    more = methods[method].accesses.once // 8
    damaged = changed(methods, method, accesses={"once": more})
    found = {name.split()[0] for name in wrong(check_figure(FIGURES[name](damaged)))}
    # All are relative to MHA_l.
    assert method in found


def test_merging_twice_is_out_of_bound(methods):
    damaged = changed(methods, "MLA_rc", operations={"once": methods["MLA_rc"].operations.once})
    assert wrong(check_figure(figure5(damaged))) >= {
        f"MLA_rc L={length} additive" for length in (1024, 2048, 4096)
    }
    assert {name.split()[0] for name in wrong(check_figure(figure6(damaged)))} == {"MLA_rc"}


def test_the_largest_deviation_and_its_place(methods):
    item = next(iter(check_figure(figure5(methods))))
    assert (item.method, item.panel, item.model) == ("MHA_l", "L=1024", "additive")
    assert item.at == 8.19
    assert item.largest == pytest.approx(-0.1332, abs=1e-4)


def test_crossings(methods):
    time, energy = check_crossings(methods)
    assert (time.closed_form, energy.closed_form) == (192, 3)
    for crossing in (time, energy):
        assert crossing.ok
        assert crossing.found == pytest.approx(
            dict.fromkeys((1024, 2048, 4096), crossing.closed_form), rel=1e-12
        )


def test_crossings_of_wrong_counts(methods):
    moved = changed(methods, "MLA_rc", operations={"once": 10**6})
    assert not any(crossing.ok for crossing in check_crossings(moved))
    same = {**methods, "MLA_rc": changed(methods, "MLA_ru", accesses={"once": 1})["MLA_ru"]}
    for crossing in check_crossings(same):
        assert set(crossing.found.values()) == {None}
        assert not crossing.ok


def test_table_1(methods):
    rows = {row.parameter: row.counted for row in check_table(methods)}
    assert rows == {
        "D_model": {"MLA": "7168", "MHA_l": "7168", "MHA_s": "4363"},
        "D_QK": {"MLA": "128", "MHA_l": "128", "MHA_s": "77"},
        "D_V": {"MLA": "128", "MHA_l": "128", "MHA_s": "77"},
        "parameters": {"MLA": "174M", "MHA_l": "470M", "MHA_s": "172M"},
        "parameters in full": {"MLA": "174063616", "MHA_l": "469762048", "MHA_s": "172006912"},
    }
    assert all(row.ok for row in check_table(methods))


def test_table_1_of_wrong_counts(methods):
    damaged = {**methods, "MHA_s": replace(methods["MHA_s"], parameters=172_006_911)}
    assert [row.parameter for row in check_table(damaged) if not row.ok] == ["parameters in full"]
