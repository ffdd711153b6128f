"""Figs 2 to 6 of the paper, as curves of counts."""

from collections.abc import Callable, Mapping
from functools import partial

from mla_hw.reproduction.counts import ORDERS, MethodCount, OrderCount
from mla_hw.reproduction.figure import Curve, Figure, Panel
from mla_hw.reproduction.reference import LENGTHS, corners, reference_x

__all__ = [
    "FIG2_SLIP",
    "MODELS",
    "PICOJOULES_PER_ELEMENT",
    "energy",
    "figure2",
    "figure3",
    "figure4",
    "figure5",
    "figure6",
    "figure_name",
]

#: Models of time: computing and memory traffic one after the other, or the longer of both.
MODELS = ("additive", "roofline")
#: Of memory: 8 bits of 8 pJ.
PICOJOULES_PER_ELEMENT = 64.0
FIG2_SLIP = (
    "As printed, 1>2>3 is counted as if each head had 128 query rows (D_QK) instead of one per "
    "sequence, in the product with W_UK and in the scores, and 2>1>3 multiplies the merged weight "
    "with one query row whatever the batch. Counted rightly, 1>2>3 needs the fewest operations at "
    "every L and B drawn, not 2>1>3. The legend calls 2>1>3 MLA_ru; text and Figs 3 to 6 call it "
    "MLA_rc."
)

_BATCHES = (1, 4, 16)
_NORM_LENGTH, _NORM_EFFICIENCY = 1024, 5.0
#: Cached tokens of Figs 2 and 4, and of Fig 3.
_COARSE = tuple(range(1, 3952, 50))
_LONG = (1, *range(128, 8193, 128))
_X_TOKENS = "tokens L"
_STEP_CAPTION = (
    "Batch 1; decode: one token behind L cached ones; prefill: L tokens at once, all pairs counted."
)

_Methods = Mapping[str, MethodCount]


def figure_name(name: str) -> str:
    """Return a figure's name as the paper has it."""
    number, _, version = name.removeprefix("fig").partition("_")
    words = {"printed": " as printed", "counted": " as counted rightly"}
    return f"Fig {number}{words.get(version, '')}"


def figure2(orders: Mapping[str, OrderCount], *, printed: bool) -> Figure:
    """Operations of the scores in three orders of their products.

    Parameters
    ----------
    orders : mapping
        Counts by order.
    printed : bool
        With the slips of the paper, which are wrong numbers of query rows; or without.
    """
    name = f"fig2_{'printed' if printed else 'counted'}"
    # Query rows where the paper does not have one per sequence.
    slips = {
        "1>2>3": dict.fromkeys(("q_lat", "scores_nope"), orders["1>2>3"].query_dim),
        "2>1>3": {"q_lat": 1},
    }

    def operations(order: str, batch: int, x: float) -> int:
        rows = slips.get(order) if printed else None
        return orders[order].operations(x, batch, rows)

    return Figure(
        name=name,
        title=f"{figure_name(name)}: operations of the scores by order of the products",
        caption="L cached tokens. 1>3>2: cache up-projected. 1>2>3: left to right. 2>1>3: weights "
        f"merged first. {FIG2_SLIP}",
        x_label=_X_TOKENS,
        x=_COARSE,
        panels=tuple(
            Panel(name=f"B={batch}", y_label="operations (MAC)", log_y=True) for batch in _BATCHES
        ),
        curves=tuple(
            Curve(panel=f"B={batch}", method=order, value=partial(operations, order, batch))
            for batch in _BATCHES
            for order in ORDERS
        ),
        panel_columns=3,
    )


def figure3(methods: _Methods) -> Figure:
    """Operations and off-chip accesses of decode and prefill."""
    panels, curves = [], []
    for step, count_of in _STEPS.items():
        for index, (what, label) in enumerate(_QUANTITIES.items()):
            panel = Panel(name=f"{step} {what}", y_label=label, log_y=what == "operations")
            panels.append(panel)
            curves += [
                Curve(
                    panel=panel.name,
                    method=method,
                    value=partial(_component, partial(count_of, count), index),
                )
                for method, count in methods.items()
            ]
    return Figure(
        name="fig3",
        title="Fig 3: operations and off-chip accesses of one layer",
        caption=f"{_STEP_CAPTION} Off-chip: weights, cache read and written, hidden state and "
        "result.",
        x_label=_X_TOKENS,
        x=_LONG,
        panels=tuple(panels),
        curves=tuple(curves),
        panel_columns=2,
    )


def figure4(methods: _Methods) -> Figure:
    """Operational intensity of decode and prefill."""

    def intensity(count_of: Callable[[float], tuple[int, int]], x: float) -> float:
        operations, accesses = count_of(x)
        return operations / accesses

    return Figure(
        name="fig4",
        title="Fig 4: operational intensity of one layer",
        caption=f"{_STEP_CAPTION} One operation is one multiply-accumulate, one element one byte. "
        "Dotted: roofline corners of four platforms as the paper draws them; they count two "
        "operations per multiply-accumulate.",
        x_label=_X_TOKENS,
        x=_COARSE,
        panels=tuple(
            Panel(name=step, y_label="operational intensity (ops/byte)", log_y=True)
            for step in _STEPS
        ),
        curves=tuple(
            Curve(panel=step, method=name, value=partial(intensity, partial(count_of, count)))
            for step, count_of in _STEPS.items()
            for name, count in methods.items()
        ),
        panel_columns=2,
    )


def figure5(methods: _Methods) -> Figure:
    """Throughput over the ratio of computing power and bandwidth, by both models of time."""
    _, norm = methods["MHA_l"].decode(_NORM_LENGTH)
    platforms = ", ".join(f"{platform} ({corner:g})" for platform, corner in corners().items())

    def throughput(count: MethodCount, length: int, model: str, x: float) -> float:
        operations, accesses = count.decode(length)
        computing = operations / x
        return norm / (computing + accesses if model == "additive" else max(computing, accesses))

    return Figure(
        name="fig5",
        title="Fig 5: throughput of decode at constant bandwidth",
        caption="Batch 1; MHA_l, L = 1024, limited by its accesses alone is 1. Markers: points of "
        "the paper, simulated with Stream. Lines: a = operations/x and m = accesses, one after "
        "the other (additive, solid: a + m) or at the same time (roofline, dashed: the larger). "
        f"Dotted: roofline corners of {platforms}.",
        x_label="peak operations over bandwidth (ops/byte)",
        x=reference_x("fig5"),
        panels=_length_panels("normalised throughput"),
        curves=tuple(
            Curve(
                panel=f"L={length}",
                method=name,
                model=model,
                value=partial(throughput, count, length, model),
            )
            for length in LENGTHS
            for name, count in methods.items()
            for model in MODELS
        ),
        panel_columns=3,
    )


def figure6(methods: _Methods) -> Figure:
    """Energy of decode over the efficiency of computing."""
    norm = energy(methods["MHA_l"].decode(_NORM_LENGTH), _NORM_EFFICIENCY)

    def normalised(count: MethodCount, length: int, x: float) -> float:
        return energy(count.decode(length), x) / norm

    return Figure(
        name="fig6",
        title="Fig 6: energy of decode at 8 pJ per bit of memory",
        caption="Batch 1; MHA_l, L = 1024, at 5 TOPS/W is 1. Markers: points of the paper, "
        "simulated with Stream. Lines: operations × 1/T pJ + accesses × 64 pJ, T in TOPS/W.",
        x_label="average on-chip efficiency T (TOPS/W)",
        x=reference_x("fig6"),
        panels=_length_panels("normalised energy"),
        curves=tuple(
            Curve(panel=f"L={length}", method=name, value=partial(normalised, count, length))
            for length in LENGTHS
            for name, count in methods.items()
        ),
        panel_columns=3,
    )


def energy(counts: tuple[int, int], efficiency: float) -> float:
    """Return the picojoules of operations and accesses at an efficiency in TOPS/W."""
    operations, accesses = counts
    return operations / efficiency + accesses * PICOJOULES_PER_ELEMENT


def _length_panels(y_label: str) -> tuple[Panel, ...]:
    return tuple(Panel(name=f"L={length}", y_label=y_label) for length in LENGTHS)


def _component(count_of: Callable[[float], tuple[int, int]], index: int, x: float) -> int:
    return count_of(x)[index]


_STEPS: dict[str, Callable[[MethodCount, float], tuple[int, int]]] = {
    "decode": MethodCount.decode,
    "prefill": MethodCount.prefill,
}
_QUANTITIES = {"operations": "operations (MAC)", "accesses": "off-chip accesses (elements)"}
