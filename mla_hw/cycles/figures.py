"""Figures of merit of a decode step: how close its cycles are to what array and port allow."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mla_hw.config import ModelConfig
from mla_hw.graph import PhaseWork, StepShape, build_graph, graph_work
from mla_hw.hardware import SCALE_BYTES, CoreConfig

__all__ = ["PhaseFigures", "phase_figures", "roofline_efficiency"]

#: Bytes of a requantise constant, one per output of a projection.
CONSTANT_BYTES = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class PhaseFigures:
    """Work, traffic and cycles of one phase of one step.

    Work and traffic are the model's own: what the core pads, and what it reads more than once, is
    neither.

    Parameters
    ----------
    phase : str
    macs : int
        Multiply-accumulates.
    payload_bytes : int
        Weights with a constant per output; cached rows with their scales.
    array_size, port_bytes : int
        Multiply-accumulates and bytes that the core can do in a cycle.
    cycles : int
        What the phase has taken.
    """

    phase: str
    macs: int
    payload_bytes: int
    array_size: int
    port_bytes: int
    cycles: int

    @property
    def array_utilisation(self) -> float:
        """Share of the multipliers' cycles that did useful work."""
        return self.macs / (self.array_size * self.cycles)

    @property
    def port_utilisation(self) -> float:
        """Share of the memory port's bytes that were payload."""
        return self.payload_bytes / (self.port_bytes * self.cycles)

    @property
    def least_cycles(self) -> float:
        """Cycles of a core that always keeps multipliers or port busy (the roofline)."""
        return max(self.macs / self.array_size, self.payload_bytes / self.port_bytes)


def phase_figures(
    config: ModelConfig,
    core: CoreConfig,
    cached: int | Sequence[int],
    cycles: Mapping[str, int],
    scheme: str = "absorb",
) -> list[PhaseFigures]:
    """Count work and traffic of the phases of one step.

    Parameters
    ----------
    config : ModelConfig
    core : CoreConfig
    cached : int or sequence of int
        Tokens that the step attends to, its own included, by query row, or of all. Weights count
        once for all rows.
    cycles : mapping of str to int
        Cycles of each phase, simulated or predicted.
    scheme : str
        Scheme of MLA.
    """
    rows = (cached,) * core.query_rows if isinstance(cached, int) else tuple(cached)
    shapes = [StepShape(context=row) for row in rows]
    return [
        PhaseFigures(
            phase=work.phase,
            macs=sum(work.macs.at(shape) for shape in shapes),
            payload_bytes=_payload(work, shapes),
            array_size=core.rows * core.columns,
            port_bytes=core.port_bytes,
            cycles=cycles[work.phase],
        )
        for work in graph_work(build_graph(config, scheme))
    ]


def roofline_efficiency(figures: Iterable[PhaseFigures]) -> float:
    """Return the share of a step's cycles that the roofline of its phases needs."""
    phases = list(figures)
    return sum(item.least_cycles for item in phases) / sum(item.cycles for item in phases)


def _payload(work: PhaseWork, shapes: Sequence[StepShape]) -> int:
    cached = sum(
        work.cache_read.at(shape) + SCALE_BYTES * work.scales_read.at(shape) for shape in shapes
    )
    return work.weights + CONSTANT_BYTES * work.weight_outputs + cached
