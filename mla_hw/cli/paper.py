"""``mla-hw paper``: Table 1 and Figs 2 to 6 of arXiv 2506.02523, compared with the paper."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mla_hw.cli.output_folder import check_target, replace_folder
from mla_hw.cli.versions import tool_versions
from mla_hw.reproduction.check import (
    Crossing,
    Deviation,
    TableRow,
    check_crossings,
    check_figure,
    check_table,
)
from mla_hw.reproduction.counts import METHODS, ORDERS, count_method, count_order
from mla_hw.reproduction.curves import figure2, figure3, figure4, figure5, figure6
from mla_hw.reproduction.draw import svg
from mla_hw.reproduction.files import figure_csv, table_csv

__all__ = ["PaperReport", "paper"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperReport:
    """Result of :func:`paper`.

    Parameters
    ----------
    directory : Path
    table : tuple of TableRow
        Table 1.
    deviations : tuple of Deviation
        Of every curve, in the order of the figures.
    crossings : tuple of Crossing
        Where MLA_rc and MLA_ru cost the same.
    """

    directory: Path
    table: tuple[TableRow, ...]
    deviations: tuple[Deviation, ...]
    crossings: tuple[Crossing, ...]

    @property
    def ok(self) -> bool:
        """Whether everything is within its bound."""
        return (
            all(row.ok for row in self.table)
            and all(deviation.ok for deviation in self.deviations)
            and all(crossing.ok for crossing in self.crossings)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the contents of ``paper.json``."""
        return {
            "paper": "arXiv 2506.02523",
            "ok": self.ok,
            "table1": [row.to_dict() for row in self.table],
            "curves": [deviation.to_dict() for deviation in self.deviations],
            "crossings": [crossing.to_dict() for crossing in self.crossings],
            "versions": tool_versions("numpy", "matplotlib"),
        }


def paper(out: str | Path, *, progress: Callable[[str], None] | None = None) -> PaperReport:
    """Count, draw and compare.

    Parameters
    ----------
    out : str or Path
        Folder that is made; one that paper made is replaced, any other non-empty one refused.
        It is written whether or not all curves are within their bounds.
    progress : callable or None
        Gets one line per stage.

    Raises
    ------
    MlaHwError
        For everything that the caller can mend; nothing is left half-written.
    """
    say = progress or (lambda line: None)
    what = f"--out {out}"
    target = Path(os.path.realpath(out))
    check_target(target, what, maker="paper")
    say("count the graphs")
    methods = {name: count_method(name) for name in METHODS}
    orders = {name: count_order(name) for name in ORDERS}
    figures = (
        figure2(orders, printed=True),
        figure2(orders, printed=False),
        figure3(methods),
        figure4(methods),
        figure5(methods),
        figure6(methods),
    )
    say("compare with the paper")
    report = PaperReport(
        directory=Path(out),
        table=check_table(methods),
        deviations=tuple(item for figure in figures for item in check_figure(figure)),
        crossings=check_crossings(methods),
    )
    say("draw")
    files: dict[str, str | bytes] = {"table1.csv": table_csv(report.table)}
    for figure in figures:
        files |= {f"{figure.name}.csv": figure_csv(figure), f"{figure.name}.svg": svg(figure)}
    files["paper.json"] = json.dumps(report.to_dict(), indent=2, ensure_ascii=False) + "\n"
    replace_folder(target, files, what)
    return report
