"""Plots: their place on the page, and logarithmic axes."""

from math import ceil, floor, log10
from typing import Any

from mla_hw.html.markup import Raw, data, element, join, number

__all__ = ["figure_plot", "log_axis"]

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"))


def figure_plot(name: str, figure: dict[str, Any], *, height: int) -> Raw:
    """Return the place of a figure, as Plotly takes it, and the figure itself.

    Parameters
    ----------
    name : str
        Id of the element.
    figure : dict
        ``data`` and ``layout``; colours are variables of the style sheet.
    height : int
        In pixels.
    """
    place = element("div", class_="plot", id=name, style=f"height:{height}px", data_kind="figure")
    return join((place, data(f"{name}-data", figure)))


def log_axis(title: str, low: float, high: float) -> dict[str, Any]:
    """Return a logarithmic axis with ticks at 1, 2 and 5 of each decade, zoomed or not."""
    decades = range(floor(log10(low)) - 1, ceil(log10(high)) + 2)
    ticks = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
    return {
        "type": "log",
        "title": {"text": title},
        "range": [round(log10(low), 4), round(log10(high), 4)],
        "tickvals": ticks,
        "ticktext": list(map(_label, ticks)),
    }


def _label(tick: float) -> str:
    for unit, prefix in _PREFIXES:
        if tick >= unit:
            return f"{tick / unit:g} {prefix}"
    return number(tick) if tick >= 1 else f"{tick:g}"
