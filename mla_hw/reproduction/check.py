"""Curves and Table 1 against the paper."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from mla_hw.analysis.breakeven import crossings
from mla_hw.reproduction import formulas
from mla_hw.reproduction.bounds import Bound, bound_of
from mla_hw.reproduction.counts import MethodCount
from mla_hw.reproduction.curves import PICOJOULES_PER_ELEMENT, energy
from mla_hw.reproduction.figure import Curve, Figure
from mla_hw.reproduction.reference import LENGTHS, points

__all__ = [
    "Crossing",
    "Deviation",
    "TableRow",
    "check_crossings",
    "check_figure",
    "check_table",
    "expected",
]

#: Of a crossing found by bisection, which is exact but for rounding.
_CROSSING_BOUND = 1e-9
_BRACKET = (1e-2, 1e5)

_Formula = Callable[[str, int], int]
#: Of operations and accesses, at an x.
_Cost = Callable[[tuple[int, int], float], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Deviation:
    """How far a curve is from what it should be, relative to that.

    Parameters
    ----------
    figure, panel, method, model : str
    against : str
        ``"points"`` of the drawn curve, or the ``"formula"`` that was fitted to it.
    largest : float
        Deviation of the largest magnitude.
    at : float
        x where it is.
    mean : float
        Mean magnitude.
    bound : Bound
    """

    figure: str
    panel: str
    method: str
    model: str
    against: str
    largest: float
    at: float
    mean: float
    bound: Bound

    @property
    def ok(self) -> bool:
        """Whether it is within its bound."""
        mean = self.bound.mean
        # False for NaN as well.
        return abs(self.largest) <= self.bound.largest and (mean is None or self.mean <= mean)

    def to_dict(self) -> dict[str, Any]:
        """Return what ``paper.json`` says of it."""
        return {**asdict(self), "ok": self.ok}


@dataclass(frozen=True, kw_only=True, slots=True)
class TableRow:
    """One row of Table 1; values by column, as counted and as they must be."""

    parameter: str
    counted: Mapping[str, str]
    wanted: Mapping[str, str]

    @property
    def ok(self) -> bool:
        """Whether all agree to the last digit."""
        return self.counted == self.wanted

    def to_dict(self) -> dict[str, Any]:
        """Return what ``paper.json`` says of it."""
        return {**asdict(self), "ok": self.ok}


@dataclass(frozen=True, kw_only=True, slots=True)
class Crossing:
    """Where MLA_rc and MLA_ru cost the same.

    Parameters
    ----------
    what : str
    unit : str
    closed_form : float
    found : dict
        By cached tokens, from the counts; None where there is none.
    """

    what: str
    unit: str
    closed_form: float
    found: Mapping[int, float | None]

    @property
    def ok(self) -> bool:
        """Whether both agree."""
        return all(
            value is not None and math.isclose(value, self.closed_form, rel_tol=_CROSSING_BOUND)
            for value in self.found.values()
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what ``paper.json`` says of it."""
        found = {str(length): value for length, value in self.found.items()}
        return {**asdict(self), "found": found, "ok": self.ok}


def expected(figure: str, curve: Curve) -> Callable[[float], float]:
    """Return what a curve should be: a fitted formula, or the points of the drawn curve."""
    if figure in {"fig5", "fig6"}:
        return points(figure, curve.method, int(curve.panel.removeprefix("L="))).__getitem__
    if figure.startswith("fig2"):
        printed = figure == "fig2_printed"
        formula = formulas.printed_order_operations if printed else formulas.order_operations
        batch = int(curve.panel.removeprefix("B="))
        return lambda x: formula(curve.method, int(x), batch)
    step, _, quantity = curve.panel.partition(" ")
    operations, accesses = _STEP_FORMULAS[step]
    if quantity:
        formula_of = operations if quantity == "operations" else accesses
        return lambda x: formula_of(curve.method, int(x))
    return lambda x: operations(curve.method, int(x)) / accesses(curve.method, int(x))


def check_figure(figure: Figure) -> tuple[Deviation, ...]:
    """Compare every curve of a figure."""
    return tuple(_check_curve(figure, curve) for curve in figure.curves)


def check_table(methods: Mapping[str, MethodCount]) -> tuple[TableRow, ...]:
    """Compare Table 1; the paper prints parameters in millions, without their last digits."""
    columns = {"MLA": methods["MLA_rc"], "MHA_l": methods["MHA_l"], "MHA_s": methods["MHA_s"]}
    wanted = formulas.TABLE1
    rows: dict[str, Callable[[MethodCount], str]] = {
        "D_model": lambda count: str(count.config.hidden_size),
        "D_QK": lambda count: str(count.config.qk_nope_head_dim),
        "D_V": lambda count: str(count.config.v_head_dim),
        "parameters": lambda count: f"{count.parameters / 1e6:.0f}M",
        "parameters in full": lambda count: str(count.parameters),
    }
    return tuple(
        TableRow(
            parameter=name,
            counted={column: value(count) for column, count in columns.items()},
            wanted={column: str(wanted[column][index]) for column in columns},
        )
        for index, (name, value) in enumerate(rows.items())
    )


def check_crossings(methods: Mapping[str, MethodCount]) -> tuple[Crossing, ...]:
    """Find where MLA_rc and MLA_ru take as long, by the additive model, and as much energy."""

    def time(counts: tuple[int, int], x: float) -> float:
        operations, accesses = counts
        return operations / x + accesses

    def difference(cost: _Cost, length: int, x: float) -> float:
        first, second = (methods[name].decode(length) for name in ("MLA_rc", "MLA_ru"))
        return cost(first, x) - cost(second, x)

    def crossings(cost: _Cost) -> dict[int, float | None]:
        return {length: _root(partial(difference, cost, length)) for length in LENGTHS}

    return (
        Crossing(
            what="time, additive",
            unit="MAC per element",
            closed_form=formulas.traffic_crossing(),
            found=crossings(time),
        ),
        Crossing(
            what="energy",
            unit="TOPS/W",
            closed_form=formulas.energy_crossing(PICOJOULES_PER_ELEMENT),
            found=crossings(energy),
        ),
    )


_STEP_FORMULAS: dict[str, tuple[_Formula, _Formula]] = {
    "decode": (formulas.decode_operations, formulas.decode_accesses),
    "prefill": (formulas.prefill_operations, formulas.prefill_accesses),
}


def _check_curve(figure: Figure, curve: Curve) -> Deviation:
    wanted = expected(figure.name, curve)
    found = [(curve.value(x) / wanted(x) - 1, x) for x in figure.x]
    largest, at = max(found, key=lambda pair: abs(pair[0]))
    return Deviation(
        figure=figure.name,
        panel=curve.panel,
        method=curve.method,
        model=curve.model,
        against="points" if figure.name in {"fig5", "fig6"} else "formula",
        largest=largest,
        at=at,
        mean=sum(abs(deviation) for deviation, _ in found) / len(found),
        bound=bound_of(figure.name, curve),
    )


def _root(difference: Callable[[float], float]) -> float | None:
    """Return where the sign changes; None if it does not."""
    found = crossings(difference, _BRACKET)
    return found[0][0] if found else None
