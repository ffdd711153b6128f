"""What a report shows, as plain values."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mla_hw.cycles.figures import PhaseFigures, phase_figures
from mla_hw.cycles.timeline import Timeline
from mla_hw.design import Design
from mla_hw.html.markup import number
from mla_hw.html.simulation import Simulation

__all__ = ["BoardFacts", "Facts", "Resource", "Step"]


@dataclass(frozen=True, kw_only=True, slots=True)
class BoardFacts:
    """The board that the core was generated for.

    Parameters
    ----------
    name, device : str
    core_mhz : float
        Clock that the core is to reach, in MHz.
    memory_bytes : int
        Size of its memory.
    bytes_per_cycle : float
        What its memory delivers at best per cycle of the core.
    """

    name: str
    device: str
    core_mhz: float
    memory_bytes: int
    bytes_per_cycle: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Resource:
    """A resource of the device.

    Parameters
    ----------
    name : str
        In the plural, for people.
    available : int
        How many the device has.
    estimated : int or None
        From the elaborated design; None for what is not estimated.
    counted : int or None
        After synthesis; None before it.
    """

    name: str
    available: int
    estimated: int | None
    counted: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One decode step, predicted or simulated.

    Parameters
    ----------
    side : str
        ``predicted`` or ``simulated``.
    timeline : Timeline
    positions : tuple of int
        Cached tokens of each query row.
    late, within : mapping of str to Counter
        Cycles for which the array was idle before it started, and waited within instructions, by
        phase and cause.
    counters : mapping of str to int or None
        The core's own counts; None for a prediction.
    """

    side: str
    timeline: Timeline
    positions: tuple[int, ...]
    late: Mapping[str, Counter[str]]
    within: Mapping[str, Counter[str]]
    counters: Mapping[str, int] | None = None

    @property
    def name(self) -> str:
        """Side and cached tokens, for people."""
        cached = self.positions[0]
        return f"{self.side}, {number(cached)} cached token{'' if cached == 1 else 's'}"

    def figures(self, design: Design) -> list[PhaseFigures]:
        """Work, traffic and cycles of its phases."""
        cycles = {
            phase.name: phase.cycles for phase in self.timeline.phases(design.manifest["phases"])
        }
        attended = [position + 1 for position in self.positions]
        return phase_figures(design.model, design.core, attended, cycles, design.scheme)


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """Everything that the sections are made of.

    Parameters
    ----------
    design : Design
    board : BoardFacts
    last : Step
        Prediction at the last position of the context.
    simulation : Simulation or None
        Report of a simulation of this folder.
    stale : tuple of str
        Files of simulations of another folder.
    simulated, predicted : Step or None
        Last simulated token that has ended, and its prediction.
    calibrated : bool
        Whether the scales come from rows that the user gave.
    resources : tuple of Resource
    fmax_mhz : mapping of int to float
        Clock in MHz by seed; empty before placement.
    """

    design: Design
    board: BoardFacts
    last: Step
    simulation: Simulation | None
    stale: tuple[str, ...]
    simulated: Step | None
    predicted: Step | None
    calibrated: bool
    resources: tuple[Resource, ...]
    fmax_mhz: Mapping[int, float]

    @property
    def steps(self) -> Sequence[Step]:
        """The step that is shown in detail: simulated and predicted, or predicted alone."""
        if self.simulated is None or self.predicted is None:
            return (self.last,)
        return (self.simulated, self.predicted)
