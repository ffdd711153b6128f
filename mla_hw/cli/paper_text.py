"""Tables of ``mla-hw paper``."""

from itertools import groupby

from rich.console import Console
from rich.table import Table

from mla_hw.cli.paper import PaperReport
from mla_hw.cli.text import console, plain_table, print_paths
from mla_hw.reproduction.bounds import FIG5_REASONS, FIG6_REASON
from mla_hw.reproduction.check import Crossing, Deviation, TableRow
from mla_hw.reproduction.curves import FIG2_SLIP, figure_name

__all__ = ["crossing_line", "deviation_table", "model_table", "print_paper", "table1"]

_WRONG = " !"


def print_paper(report: PaperReport) -> None:
    """Say how far every curve is from the paper's, and where the two differ."""
    output = console()
    output.print(table1(report.table))
    _note(
        output,
        "Largest relative deviation of every curve, and the x where it is: of Figs 2 to 4 from "
        "formulas that were fitted to the drawn curves, of Figs 5 and 6 from points of them.\n",
    )
    for name, group in groupby(report.deviations, lambda item: item.figure):
        items = list(group)
        if name == "fig5":
            _print_models(output, items)
        else:
            output.print(deviation_table(items))
        if name == "fig2_counted":
            _note(output, f"{FIG2_SLIP}\n")
        if name == "fig6":
            _note(output, f"{FIG6_REASON}\n")
    for crossing in report.crossings:
        _note(output, crossing_line(crossing))
    for item in report.deviations:
        if not item.ok:
            _note(output, f"out of bound: {_series(item)}: {_found(item)}, {_bounds(item)}")
    verdict = "everything is within its bound"
    _note(output, verdict if report.ok else f"NOT as in the paper: what is marked with{_WRONG}")
    print_paths(output, report.directory)


def table1(rows: tuple[TableRow, ...]) -> Table:
    """Table 1; a value that is not the paper's is marked."""
    table = plain_table("parameter", *rows[0].counted, title="Table 1")
    for row in rows:
        cells = []
        for column, value in row.counted.items():
            wanted = row.wanted[column]
            cells.append(value if value == wanted else f"{value}, not {wanted}{_WRONG}")
        table.add_row(row.parameter, *cells)
    return table


def deviation_table(items: list[Deviation]) -> Table:
    """Largest deviations of one figure: a row per method, a column per panel."""
    panels = list(dict.fromkeys(item.panel for item in items))
    title = figure_name(items[0].figure)
    table = plain_table("curve", *panels, "bound", title=title)
    for method in dict.fromkeys(item.method for item in items):
        row = [item for item in items if item.method == method]
        table.add_row(method, *map(_found, row), _percent(row[0].bound.largest))
    return table


def model_table(items: list[Deviation], model: str) -> Table:
    """Largest and mean deviations of one model of Fig 5."""
    columns = ("largest deviation", "bound", "mean", "bound")
    table = plain_table("curve", *columns, title=f"Fig 5, {model} model")
    for item in items:
        if item.model == model:
            mean = _percent(item.bound.mean or 0.0)
            table.add_row(
                f"{item.method} {item.panel}",
                _found(item),
                _percent(item.bound.largest),
                _percent(item.mean),
                mean,
            )
    return table


def crossing_line(crossing: Crossing) -> str:
    """Say where MLA_rc and MLA_ru cost the same."""
    found = ", ".join(
        f"{'nowhere' if value is None else f'{value:.10g}'} at L={length}"
        for length, value in crossing.found.items()
    )
    mark = "" if crossing.ok else _WRONG
    return (
        f"MLA_rc = MLA_ru in {crossing.what}: {crossing.closed_form:g} {crossing.unit} in closed "
        f"form; found {found}{mark}"
    )


def _print_models(output: Console, items: list[Deviation]) -> None:
    for model in dict.fromkeys(item.model for item in items):
        output.print(model_table(items, model))
        for (of_model, method), reason in FIG5_REASONS.items():
            if of_model == model:
                _note(output, f"  {method}: {reason}.")
        _note(output, "")
    _note(
        output,
        "The paper gives no bound for Fig 5: these are the measured deviations, rounded up. The "
        "reasons are our reading of the curves.\n",
    )


def _note(output: Console, text: str) -> None:
    output.print(text, highlight=False, markup=False)


def _series(item: Deviation) -> str:
    return f"{figure_name(item.figure)}, {item.method} {item.panel} {item.model}".rstrip()


def _found(item: Deviation) -> str:
    if item.largest == 0:
        text = "0"
    elif item.against == "formula":
        text = f"{item.largest:+.1e} at {item.at:g}"
    else:
        text = f"{item.largest * 100:+.2f} % at {item.at:.4g}"
    return text if item.ok else f"{text}{_WRONG}"


def _bounds(item: Deviation) -> str:
    text = f"bound {_percent(item.bound.largest)}"
    if item.bound.mean is None:
        return text
    return f"{text}; mean {_percent(item.mean)}, bound {_percent(item.bound.mean)}"


def _percent(value: float) -> str:
    return f"{value * 100:g} %" if value < 1e-3 else f"{value * 100:.1f} %"
