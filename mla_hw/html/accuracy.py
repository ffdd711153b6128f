"""How far the core's output is from the reference, and the scales of the quantisation."""

from collections.abc import Sequence

from mla_hw.html.facts import Facts
from mla_hw.html.markup import Column, Raw, Section, element, join, number, paragraph, table
from mla_hw.html.simulation import Simulation

__all__ = ["accuracy_section"]

_HOW = "mla-hw simulate DIR --hidden FILE.npz, with a reference y beside x, yields them"


def accuracy_section(facts: Facts) -> Section:
    """Return errors of the simulation, saturations, and the scales."""
    parts: list[object] = []
    if facts.simulation is None:
        parts.append(paragraph(f"No figures of accuracy: {_HOW}."))
    else:
        parts += _simulated(facts.simulation)
    parts.append(_scales(facts))
    return Section("accuracy", "Accuracy", join(parts))


def _simulated(simulation: Simulation) -> list[object]:
    exact = "equal the golden model in every bit" if simulation.bit_exact else "are not bit-exact"
    parts: list[object] = [
        paragraph(
            f"{number(simulation.tokens)} tokens, simulated by {simulation.simulator} with memory "
            f"{simulation.memory}, {exact}."
        )
    ]
    if simulation.relative_error_total is None:
        parts.append(paragraph(f"No figures against a reference: {_HOW}."))
    else:
        errors, cosines = simulation.relative_error, simulation.cosine
        rows = [
            ("relative error", _float(min(errors)), _float(_mean(errors)), _float(max(errors))),
            ("cosine", _cosine(min(cosines)), _cosine(_mean(cosines)), _cosine(max(cosines))),
        ]
        parts += [
            paragraph(
                "Relative error of all rows together: ",
                element("b", _float(simulation.relative_error_total)),
                f", over {number(len(errors))} rows that have a reference.",
            ),
            table(
                (Column("per row", "text"), Column("least"), Column("mean"), Column("largest")),
                rows,
            ),
        ]
    parts.append(_saturations(simulation))
    return parts


def _saturations(simulation: Simulation) -> Raw:
    counts = {place: count for place, count in simulation.saturated.items() if count}
    if not counts:
        return paragraph("Nothing was clamped: no saturation in any token.")
    return table(
        (Column("saturation of", "text"), Column("values clamped")),
        [(place, number(count)) for place, count in counts.items()],
        total=("all", number(sum(counts.values()))),
    )


def _scales(facts: Facts) -> Raw:
    manifest = facts.design.manifest
    maxima = manifest["calibration"]["maxima"]
    rows = manifest["calibration"]["rows"]
    source = "rows of --calibration" if facts.calibrated else "seeded N(0, 1) rows"
    return table(
        (Column("tensor", "code"), Column("one step"), Column("largest value in calibration")),
        [
            (name, _float(scale), number(maxima[name], 3) if name in maxima else "–")
            for name, scale in facts.design.scales.items()
        ],
        caption=f"Scales, from {number(rows)} {source}",
    )


def _float(value: float) -> str:
    return f"{value:.3e}".replace("e-0", "e-").replace("e+0", "e+").replace("-", "−")


def _cosine(value: float) -> str:
    return f"{value:.6f}"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
