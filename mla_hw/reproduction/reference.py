"""Points that were read from the paper's figures; ``data/README.md`` says how."""

import csv
from importlib import resources

__all__ = ["LENGTHS", "corners", "points", "reference_x"]

#: Cached tokens of the curves of Figs 5 and 6.
LENGTHS = (1024, 2048, 4096)
_TAGS = {"MHA_l": "MHAl", "MHA_s": "MHAs", "MLA_rc": "rc", "MLA_ru": "ru"}


def points(figure: str, method: str, length: int) -> dict[float, float]:
    """Return the points of a curve of ``fig5`` or ``fig6``: y by x."""
    rows = _rows(f"{figure}_{_TAGS[method]}_L{length}.csv")
    return {float(x): float(y) for x, y in rows}


def reference_x(figure: str) -> tuple[float, ...]:
    """Return the x of a figure, which all its curves share, in ascending order."""
    return tuple(sorted(points(figure, "MHA_l", LENGTHS[0])))


def corners() -> dict[str, float]:
    """Return the roofline corners of Figs 4 and 5 by platform, in operations per byte."""
    return {platform: float(x) for platform, x in _rows("fig4_corners.csv")}


def _rows(name: str) -> list[list[str]]:
    text = (resources.files("mla_hw.reproduction") / "data" / name).read_text(encoding="utf-8")
    return list(csv.reader(text.splitlines()))[1:]
