"""Everything about a folder that is doubtful."""

from collections.abc import Iterator

from mla_hw.html.facts import Facts
from mla_hw.html.markup import Section, element, join, number, paragraph
from mla_hw.html.simulation import Simulation

__all__ = ["doubts", "warnings_section"]


def doubts(facts: Facts) -> Iterator[str]:
    """Yield a sentence for each, as the report's last section shows them."""
    if not facts.calibrated:
        yield (
            "No calibration: the activation scales come from seeded N(0, 1) rows, which fit "
            "trained models badly (generate --calibration)."
        )
    for file in facts.stale:
        yield (
            f"{file} is the simulation of another core, other weights or another scheme and is not "
            "shown: simulate again."
        )
    if facts.simulation is None:
        yield "No simulation: cycles are predicted, and nothing is shown to be bit-exact."
    else:
        yield from _of_simulation(facts, facts.simulation)
    yield from _of_device(facts)


def _of_simulation(facts: Facts, simulation: Simulation) -> Iterator[str]:
    if not simulation.bit_exact:
        what = f": {simulation.difference}" if simulation.difference else ""
        yield f"Not bit-exact{what}."
    if simulation.last_token is None:
        yield "No simulated token has ended: the timeline is the prediction."
    clamped = sum(simulation.saturated.values())
    if clamped:
        yield f"{number(clamped)} values were clamped in the simulation (see Accuracy)."
    simulated, predicted = (sum(simulation.cycles[side]) for side in ("simulated", "predicted"))
    if simulated != predicted or simulation.different:
        text = (
            f"Predicted and simulated cycles differ: {number(predicted)} and {number(simulated)} "
            f"over all tokens, {number(simulation.different)} starts and ends"
        )
        if not simulation.memory.startswith("fixed"):
            text += f"; with memory {simulation.memory} they may"
        yield f"{text}."
    if facts.simulated and facts.design.core.query_rows > 1 and facts.design.memory.cache_stride:
        yield (
            "The report of a simulation has the token of the first query row only: utilisation "
            "takes the others to be at the same position."
        )


def _of_device(facts: Facts) -> Iterator[str]:
    for item in facts.resources:
        used = item.estimated if item.counted is None else item.counted
        if used is not None and used > item.available:
            how = "estimated" if item.counted is None else "counted"
            yield (
                f"{item.name.capitalize()} over the device: {number(used)} {how}, "
                f"{number(item.available)} available."
            )
    best = max(facts.fmax_mhz.values(), default=None)
    if best is not None and best < facts.board.core_mhz:
        yield (
            f"Timing is missed: the fastest seed reaches {number(best, 2)} MHz, the board's clock "
            f"for the core is {facts.board.core_mhz:g} MHz."
        )


def warnings_section(sentences: list[str]) -> Section:
    """Return the sentences as a list."""
    if not sentences:
        body = paragraph("Nothing is doubtful.")
    else:
        body = element("ul", join(element("li", text) for text in sentences), class_="doubts")
    return Section("warnings", "Warnings", body)
