"""Files of ``mla-hw paper``: a table per figure."""

import csv
import io
from collections.abc import Iterable, Sequence

from mla_hw.reproduction.check import TableRow, expected
from mla_hw.reproduction.figure import Figure

__all__ = ["figure_csv", "table_csv"]


def figure_csv(figure: Figure) -> str:
    """Return a row per x and a column per curve; the paper's points follow the curves."""
    columns = {_column(curve.name): curve.value for curve in figure.curves}
    if figure.name in {"fig5", "fig6"}:
        columns |= {
            f"{_column(curve.series)}_paper": expected(figure.name, curve)
            for curve in figure.curves
        }
    head = [_column(figure.x_label), *columns]
    return _csv([head, *([x, *(value(x) for value in columns.values())] for x in figure.x)])


def table_csv(rows: Sequence[TableRow]) -> str:
    """Return Table 1."""
    head = ["parameter", *rows[0].counted]
    return _csv([head, *([row.parameter, *row.counted.values()] for row in rows)])


def _column(name: str) -> str:
    return name.replace("=", "").replace(" ", "_")


def _csv(rows: Iterable[Sequence[object]]) -> str:
    content = io.StringIO()
    csv.writer(content, lineterminator="\n").writerows(rows)
    return content.getvalue()
