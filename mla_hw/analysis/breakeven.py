"""Break-even points: where one scheme overtakes another.

Found by scanning a range for changes of sign and halving the interval, whatever the model of cost.
On an array costs are staircases over the tokens, of which every edge is scanned. Where there is a
closed form (:mod:`mla_hw.analysis.closed_form`) it stands beside what was found.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import combinations

from mla_hw.analysis.closed_form import balance_point, batch_point, context_point
from mla_hw.analysis.estimate import Estimate, SchemeWork, estimate
from mla_hw.analysis.machine import Machine
from mla_hw.graph import StepShape

__all__ = ["BreakEven", "break_evens", "crossings"]

#: Ends of the ranges that are searched.
MOST_BATCH = 1024
LEAST_RATIO, MOST_RATIO = 1e-2, 1e6
_SCANNED = 60
_HALVINGS = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class BreakEven:
    """A point from which on one scheme costs less than another.

    Parameters
    ----------
    variable : str
        ``context`` in cached tokens (of a prefill: in tokens), ``batch`` in sequences, ``balance``
        of the machine in MAC per byte, or ``energy ratio`` of a byte of memory to a MAC.
    cost : str
        What is compared: ``cycles``, ``cycles, no overlap`` (of multipliers and memory added), or
        ``energy``.
    better, worse : str
        The scheme that costs less from the point on, and the one that does before it.
    value : float
        The point; for context and batch the first whole number from which on it holds.
    closed_form : float or None
        The same from a formula; None where there is none.
    """

    variable: str
    cost: str
    better: str
    worse: str
    value: float
    closed_form: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Search:
    """One cost over one variable.

    `change` puts a value into shape and machine; `offset` makes what is shown of a value.
    """

    variable: str
    cost: str
    measure: Callable[[Estimate], float]
    change: Callable[[float], tuple[StepShape, Machine]]
    points: Sequence[float]
    whole: bool = False
    closed: Callable[[SchemeWork, SchemeWork], float | None] | None = None
    offset: int = 0

    def break_evens(self, works: Iterable[SchemeWork]) -> list[BreakEven]:
        """Search all pairs of schemes."""

        @cache
        def value(work: SchemeWork, point: float) -> float:
            return self.measure(estimate(work, *self.change(point)))

        found = []
        for a, b in combinations(works, 2):

            def difference(point: float, a: SchemeWork = a, b: SchemeWork = b) -> float:
                return value(a, point) - value(b, point)

            closed = self.closed and self.closed(a, b)
            for point, above in crossings(difference, self.points, whole=self.whole):
                better, worse = (a, b) if above < 0 else (b, a)
                found.append(
                    BreakEven(
                        variable=self.variable,
                        cost=self.cost,
                        better=better.scheme,
                        worse=worse.scheme,
                        value=point + self.offset,
                        closed_form=None if closed is None else closed + self.offset,
                    )
                )
        return found


def break_evens(
    works: Sequence[SchemeWork], shape: StepShape, machine: Machine, *, most_context: int
) -> list[BreakEven]:
    """Find the break-even points of all pairs of schemes.

    Parameters
    ----------
    works : sequence of SchemeWork
    shape : StepShape
        Where variables other than the searched one stand. With several tokens, these are all of
        the context (prefill).
    machine : Machine
        The same. Balance is searched with a machine that keeps its multipliers busy in any
        product, all phases one after another.
    most_context : int
        Longest context to search.
    """

    def with_balance(balance: float) -> tuple[StepShape, Machine]:
        macs = balance * machine.bytes_per_cycle
        return shape, replace(machine, macs_per_cycle=macs, array_rows=None)

    def with_energy(ratio: float) -> tuple[StepShape, Machine]:
        return shape, replace(machine, pj_per_bit=ratio * machine.mac_pj / 8)

    def with_context(rows: float) -> tuple[StepShape, Machine]:
        tokens = int(rows) if shape.tokens > 1 else 1
        return replace(shape, context=int(rows), tokens=tokens), machine

    def with_batch(sequences: float) -> tuple[StepShape, Machine]:
        return replace(shape, batch=int(sequences)), machine

    decode = shape.tokens == 1
    context = partial(
        _Search,
        variable="context",
        change=with_context,
        points=_whole(1, most_context),
        whole=True,
        # The own row is no cached token.
        offset=-1 if decode else 0,
    )
    batch = partial(
        _Search,
        variable="batch",
        change=with_batch,
        points=_edges(machine.array_rows, MOST_BATCH) if decode else _whole(1, MOST_BATCH),
        whole=True,
    )
    ratios = _between(LEAST_RATIO, MOST_RATIO)
    balance = partial(_Search, variable="balance", change=with_balance, points=ratios)
    energy = partial(_Search, variable="energy ratio", change=with_energy, points=ratios)
    busy = replace(machine, array_rows=None)

    def closed(
        formula: Callable[[SchemeWork, SchemeWork, StepShape, Machine], float | None],
        where: Machine = machine,
    ) -> Callable[[SchemeWork, SchemeWork], float | None]:
        return lambda a, b: formula(a, b, shape, where)

    searches = (
        context(cost="cycles", measure=_cycles),
        context(cost="energy", measure=_energy, closed=closed(context_point)),
        batch(cost="cycles", measure=_cycles),
        batch(cost="energy", measure=_energy, closed=closed(batch_point)),
        balance(cost="cycles", measure=_cycles),
        balance(
            cost="cycles, no overlap", measure=_added_cycles, closed=closed(balance_point, busy)
        ),
        energy(cost="energy", measure=_energy, closed=closed(balance_point)),
    )
    return [point for search in searches for point in search.break_evens(works)]


def crossings(
    difference: Callable[[float], float], points: Iterable[float], *, whole: bool = False
) -> list[tuple[float, float]]:
    """Find where a function changes its sign, once at most between neighbouring points.

    Parameters
    ----------
    difference : callable
    points : iterable of float
        Rising.
    whole : bool
        Whether only whole numbers count.

    Returns
    -------
    list of (float, float)
        Each the end of the last interval on the side that comes, and the difference there.
    """
    found = []
    previous: tuple[float, float] | None = None
    for point in points:
        value = difference(point)
        if value == 0:
            continue
        if previous is not None and (value > 0) != (previous[1] > 0):
            low, high, above = previous[0], point, value
            for _ in range(_HALVINGS):
                middle = (low + high) // 2 if whole else (low + high) / 2
                if middle in {low, high}:
                    break
                at_middle = difference(middle)
                if at_middle and (at_middle > 0) == (above > 0):
                    high, above = middle, at_middle
                else:
                    low = middle
            found.append((high, above))
        previous = (point, value)
    return found


def _between(low: float, high: float) -> list[float]:
    return [low * (high / low) ** (i / _SCANNED) for i in range(_SCANNED + 1)]


def _whole(low: int, high: int) -> list[float]:
    return sorted({round(value) for value in _between(low, high)})


def _edges(rows: int | None, most: int) -> list[float]:
    """Return both sides of every step of a staircase over the tokens."""
    if rows is None:
        return _whole(1, most)
    firsts = range(1, most + 1, rows)
    return sorted({*firsts, *(min(first + rows - 1, most) for first in firsts)})


def _cycles(item: Estimate) -> float:
    return item.cycles


def _added_cycles(item: Estimate) -> float:
    total = item.total
    return total.array_cycles + total.memory_cycles


def _energy(item: Estimate) -> float:
    """Energy of the whole step, which grows linearly with context and batch."""
    return item.energy_per_token * item.shape.all_tokens
