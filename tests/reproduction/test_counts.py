"""Counts of the graph against the formulas that were fitted to the drawn curves, and readings."""

import random

import pytest

from mla_hw.reproduction import formulas
from mla_hw.reproduction.counts import METHODS, ORDERS
from mla_hw.reproduction.curves import figure2, figure3, figure4

LENGTHS = random.Random(5).sample(range(1, 1 << 17), 20)


def values(figure):
    """y by name of the curve, at the x of the figure."""
    return {curve.name: [curve.value(x) for x in figure.x] for curve in figure.curves}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("length", [1, *LENGTHS])
def test_methods_equal_the_formulas(methods, method, length):
    count = methods[method]
    assert count.decode(length) == (
        formulas.decode_operations(method, length),
        formulas.decode_accesses(method, length),
    )
    assert count.prefill(length) == (
        formulas.prefill_operations(method, length),
        formulas.prefill_accesses(method, length),
    )


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("batch", [1, 4, 7, 16])
def test_orders_equal_the_formulas(orders, order, batch):
    for length in LENGTHS:
        assert orders[order].operations(length, batch) == formulas.order_operations(
            order, length, batch
        )


@pytest.mark.parametrize("printed", [True, False])
def test_both_versions_of_figure_2(orders, printed):
    formula = formulas.printed_order_operations if printed else formulas.order_operations
    figure = figure2(orders, printed=printed)
    assert len(figure.curves) == 9
    for curve in figure.curves:
        batch = int(curve.panel.removeprefix("B="))
        for length in LENGTHS:
            assert curve.value(length) == formula(curve.method, length, batch)


def test_the_slips_of_figure_2(orders):
    printed, counted = (values(figure2(orders, printed=flag)) for flag in (True, False))
    assert {name for name, ys in printed.items() if ys != counted[name]} == {
        "1>2>3 B=1",
        "1>2>3 B=4",
        "1>2>3 B=16",
        # One query row is right for one sequence.
        "2>1>3 B=4",
        "2>1>3 B=16",
    }
    # What the note on the slips says.
    assert orders["1>2>3"].query_dim == 128
    for batch in (1, 4, 16):
        least = counted[f"1>2>3 B={batch}"]
        for other in ("1>3>2", "2>1>3"):
            pairs = zip(least, counted[f"{other} B={batch}"], strict=True)
            assert all(mine < theirs for mine, theirs in pairs)


def test_figure_2_as_it_was_drawn(orders):
    drawn = values(figure2(orders, printed=True))
    assert drawn["1>3>2 B=1"][-1] == pytest.approx(3.324e10, rel=4e-4)
    assert drawn["1>2>3 B=1"][-1] == pytest.approx(3.425e10, rel=4e-4)
    assert drawn["2>1>3 B=1"][-1] == pytest.approx(1.3245e10, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("MLA_rc decode", 75.404, 77.478),
        ("MLA_ru decode", 1.001, 3.121),
        ("MHA_l prefill", None, 3014.7),
        ("MHA_s prefill", None, 2725.5),
        ("MLA_rc prefill", None, 12830),
        ("MLA_ru prefill", None, 9935),
    ],
)
def test_figure_4_as_it_was_drawn(methods, name, first, last):
    drawn = values(figure4(methods))[name]
    assert drawn[-1] == pytest.approx(last, rel=2e-4)
    if first is not None:
        assert drawn[0] == pytest.approx(first, rel=5e-4)


@pytest.mark.parametrize("method", ["MHA_l", "MHA_s"])
def test_mha_reads_an_element_per_operation(methods, method):
    drawn = values(figure4(methods))[f"{method} decode"]
    assert min(drawn) > 0.9997
    assert max(drawn) < 1


def test_merging_the_weights_costs_the_same_for_any_number_of_tokens(methods):
    recompute, reuse = methods["MLA_rc"], methods["MLA_ru"]
    merging = 128 * 1536 * 128 * 512
    assert recompute.decode(9)[0] - reuse.decode(9)[0] == merging
    assert recompute.prefill(9)[0] - reuse.prefill(9)[0] == merging


def test_axes_of_the_figures(orders, methods):
    for figure in (figure2(orders, printed=True), figure4(methods)):
        assert (figure.x[0], figure.x[-1], len(figure.x)) == (1, 3951, 80)
    assert (figure3(methods).x[0], figure3(methods).x[-1]) == (1, 8192)
