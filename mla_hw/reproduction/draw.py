"""Figures as SVG.

Text stays text, so that it can be searched and read aloud; it is laid out for a wide font, so that
it fits in the one that a browser takes instead. The drawing depends neither on the user's settings
of matplotlib nor on the date.
"""

import io
import math
import textwrap
from typing import TYPE_CHECKING, Any

from mla_hw.reproduction.check import expected
from mla_hw.reproduction.figure import Curve, Figure, Panel
from mla_hw.reproduction.reference import corners

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["svg"]

#: Colours of Okabe and Ito, which can be told apart without seeing all colours; markers and, where
#: curves lie on each other, dashes say the same.
_COLOURS = {
    "MHA_l": "#0072B2",
    "MHA_s": "#56B4E9",
    "MLA_rc": "#D55E00",
    "MLA_ru": "#009E73",
    "1>3>2": "#E69F00",
    "1>2>3": "#CC79A7",
    # The order of MLA_rc.
    "2>1>3": "#D55E00",
}
_MARKERS = {"MHA_l": "o", "MHA_s": "s", "MLA_rc": "^", "MLA_ru": "D"}
_DASHES = (0, (5, 2))
_LINES = {"MHA_s": _DASHES, "MLA_ru": _DASHES, "1>2>3": _DASHES, "roofline": (0, (3, 2))}
_GREY = "#666666"
_LINE_POINTS = 400
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "mla-hw",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica"],
    "font.size": 9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.5,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
}
#: Inches.
_WIDTH, _PANEL_HEIGHT, _LINE_HEIGHT, _GAP = 10.0, 3.1, 0.17, 0.78
_EFFICIENCIES = (0.5, 1, 2, 5, 10)
_CAPTION_COLUMNS = 152


def svg(figure: Figure) -> bytes:
    """Draw a figure."""
    # A second to import, which only this command needs.
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Drawing

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        rows = math.ceil(len(figure.panels) / figure.panel_columns)
        caption = textwrap.wrap(figure.caption, _CAPTION_COLUMNS)
        below = _LINE_HEIGHT * (len(caption) + 2) + 0.15
        height = 0.75 + rows * _PANEL_HEIGHT + (rows - 1) * _GAP + below + 0.4
        drawing = Drawing(figsize=(_WIDTH, height))
        FigureCanvasSVG(drawing)
        drawing.subplots_adjust(
            left=0.075,
            right=0.985,
            top=1 - 0.75 / height,
            bottom=(below + 0.4) / height,
            wspace=0.3 if figure.panel_columns == 2 else 0.1,
            hspace=_GAP / _PANEL_HEIGHT,
        )
        # Three panels show the same quantity.
        alike = figure.panel_columns == 3
        axes = drawing.subplots(rows, figure.panel_columns, squeeze=False, sharey=alike)
        panels = list(zip(figure.panels, axes.flat, strict=True))
        for index, (panel, ax) in enumerate(panels):
            _draw_panel(ax, figure, panel)
            if index == 0 or not alike:
                ax.set_ylabel(panel.y_label)
        for panel, ax in panels:
            if not panel.log_y:
                # Not before all are drawn, as it ends the fitting of shared axes.
                ax.set_ylim(bottom=0)
        drawing.text(0.075, 1 - 0.28 / height, figure.title, fontsize=12, fontweight="bold")
        drawing.legend(
            handles=_legend(figure),
            loc="lower left",
            bbox_to_anchor=(0.066, (below - 0.37) / height),
            ncols=7,
            frameon=False,
            borderaxespad=0,
        )
        drawing.text(
            0.075, 0.12 / height, "\n".join(caption), fontsize=8, color="#333333", linespacing=1.3
        )
        content = io.BytesIO()
        drawing.savefig(
            content, format="svg", metadata={"Date": None, "Creator": None, "Title": figure.title}
        )
    return content.getvalue()


def _draw_panel(ax: "Axes", figure: Figure, panel: Panel) -> None:
    from matplotlib.ticker import EngFormatter, FormatStrFormatter, NullFormatter

    curves = [curve for curve in figure.curves if curve.panel == panel.name]
    measured = figure.name in {"fig5", "fig6"}
    xs = _between(figure.x) if measured else figure.x
    for curve in curves:
        ax.plot(xs, [curve.value(x) for x in xs], **_style(curve))
    if measured:
        # Once per series, whatever the models.
        for curve in {curve.series: curve for curve in curves}.values():
            wanted = expected(figure.name, curve)
            ax.plot(figure.x, [wanted(x) for x in figure.x], **_marker(curve.method))
    if panel.log_y:
        ax.set_yscale("log")
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    if not measured and figure.name != "fig4":
        ax.yaxis.set_major_formatter(EngFormatter(sep=" "))
    if figure.name.startswith("fig2"):
        # The same in both versions, so that they can be compared.
        ax.set_ylim(1e7, 1e12)
    if figure.name == "fig6":
        ax.set_xscale("log")
        ax.set_xticks(_EFFICIENCIES, list(map(str, _EFFICIENCIES)))
        ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_title(panel.name.replace("=", " = "), loc="left")
    ax.set_xlabel(figure.x_label)
    _draw_corners(ax, figure.name)


def _draw_corners(ax: "Axes", figure: str) -> None:
    if figure == "fig4":
        for platform, corner in corners().items():
            ax.axhline(corner, color=_GREY, linestyle=":", linewidth=1)
            ax.annotate(
                platform,
                (1, corner),
                xycoords=("axes fraction", "data"),
                xytext=(-2, 2),
                textcoords="offset points",
                ha="right",
                fontsize=7,
                color=_GREY,
            )
    if figure == "fig5":
        for corner in corners().values():
            ax.axvline(corner, color=_GREY, linestyle=":", linewidth=1)


def _style(curve: Curve) -> dict[str, Any]:
    line = _LINES.get(curve.model or curve.method, "-")
    return {"color": _COLOURS[curve.method], "linestyle": line}


def _marker(method: str) -> dict[str, Any]:
    return {
        "color": _COLOURS[method],
        "marker": _MARKERS[method],
        "markersize": 3.6,
        "markerfacecolor": "white",
        "linestyle": "none",
    }


def _legend(figure: Figure) -> list[Any]:
    """Methods by colour and marker; models by line."""
    from matplotlib.lines import Line2D

    models = list(dict.fromkeys(curve.model for curve in figure.curves if curve.model))
    measured = figure.name in {"fig5", "fig6"}
    handles = []
    for method in dict.fromkeys(curve.method for curve in figure.curves):
        style = _marker(method) if measured else {"color": _COLOURS[method]}
        line = "-" if models else _LINES.get(method, "-")
        handles.append(Line2D([], [], label=method, **{**style, "linestyle": line}))
    if measured:
        paper: dict[str, Any] = {
            "color": _GREY,
            "marker": "o",
            "markerfacecolor": "white",
            "linestyle": "none",
        }
        handles.append(Line2D([], [], label="paper", **paper))
    handles += [
        Line2D([], [], label=model, color=_GREY, linestyle=_LINES.get(model, "-"))
        for model in models
    ]
    return handles


def _between(xs: tuple[float, ...]) -> tuple[float, ...]:
    """Return many x with the same ratio, so that bent curves look bent."""
    low, high = min(xs), max(xs)
    return tuple(low * (high / low) ** (i / _LINE_POINTS) for i in range(_LINE_POINTS + 1))
