"""A figure as a value: panels, and curves as functions of its x."""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Curve", "Figure", "Panel"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One pair of axes.

    Parameters
    ----------
    name : str
        What its curves have in common; also its heading.
    y_label : str
    log_y : bool
    """

    name: str
    y_label: str
    log_y: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """One curve.

    Parameters
    ----------
    panel : str
        Name of its panel.
    method : str
        Method or order that is drawn; decides the colour.
    value : callable
        y at an x.
    model : str
        Which of several models it follows, or nothing.
    """

    panel: str
    method: str
    value: Callable[[float], float]
    model: str = ""

    @property
    def series(self) -> str:
        """Name of what is drawn, whatever the model."""
        return f"{self.method} {self.panel}"

    @property
    def name(self) -> str:
        """Name that no other curve of the figure has."""
        return f"{self.series} {self.model}".rstrip()


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One figure.

    Parameters
    ----------
    name : str
        Name of its files.
    title, caption : str
    x_label : str
    x : tuple of float
        Where the curves are written down and compared.
    panels : tuple of Panel
    curves : tuple of Curve
    panel_columns : int
        Panels side by side.
    """

    name: str
    title: str
    caption: str
    x_label: str
    x: tuple[float, ...]
    panels: tuple[Panel, ...]
    curves: tuple[Curve, ...]
    panel_columns: int
