"""Result of an analysis, as a value and as JSON."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mla_hw.analysis.breakeven import BreakEven
from mla_hw.analysis.cache_size import BASELINES, CacheSize
from mla_hw.analysis.estimate import Estimate, PhaseEstimate
from mla_hw.analysis.machine import Machine
from mla_hw.config import ModelConfig
from mla_hw.graph import StepShape

__all__ = ["AnalysisReport", "Prediction"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """One step of a program, as the cycle model predicts it.

    Parameters
    ----------
    scheme : str
    context : int
        Earlier tokens that are cached.
    cycles : dict of str to int
        By phase.
    reasons : dict of str to dict
        By phase, what the array does in its cycles (:mod:`mla_hw.cycles.breakdown`).
    missing : str
        Why there is no such program on this core; then there are no cycles.
    """

    scheme: str
    context: int
    cycles: dict[str, int]
    reasons: dict[str, dict[str, int]]
    missing: str = ""

    @property
    def total(self) -> int:
        """Cycles of the step."""
        return sum(self.cycles.values())

    def to_dict(self) -> dict[str, Any]:
        """Return the prediction in JSON's types."""
        return {**asdict(self), "total": self.total}


@dataclass(frozen=True, kw_only=True, slots=True)
class AnalysisReport:
    """Result of :func:`~mla_hw.cli.analyze.analyze`.

    Parameters
    ----------
    model : str
    config : ModelConfig
    phase : str
    paper : bool
    machine : Machine
    estimates : tuple of Estimate
        By context, batch and scheme, in this order.
    contexts : tuple of int
        As asked for, one per context of `estimates`.
    cache : CacheSize
    break_evens : tuple of BreakEven
        At the first context and batch.
    predictions : tuple of Prediction
        Of the cycle model, if it was asked.
    warnings : tuple of str
    files : tuple of Path
        What was written; not in the JSON.
    """

    model: str
    config: ModelConfig
    phase: str
    paper: bool
    machine: Machine
    estimates: tuple[Estimate, ...]
    contexts: tuple[int, ...]
    cache: CacheSize
    break_evens: tuple[BreakEven, ...]
    predictions: tuple[Prediction, ...]
    warnings: tuple[str, ...]
    files: tuple[Path, ...] = ()

    def cached(self, shape: StepShape) -> int:
        """Return the context that a step's shape was made of: without the own token in decode."""
        return shape.context - (self.phase == "decode")

    def estimate_of(self, prediction: Prediction) -> Estimate:
        """Return the estimate of the step that a prediction is of."""
        return next(
            item
            for item in self.estimates
            if item.work.scheme == prediction.scheme
            and self.cached(item.shape) == prediction.context
            and item.shape.batch == 1
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the report in JSON's types."""
        return {
            "model": self.model,
            "phase": self.phase,
            "paper": self.paper,
            "machine": {**asdict(self.machine), "balance": self.machine.balance},
            "cache": {
                **asdict(self.cache),
                "ratios": {name: self.cache.ratio(name) for name in BASELINES},
            },
            "estimates": [self._estimate(item) for item in self.estimates],
            "break_evens": [asdict(item) for item in self.break_evens],
            "predictions": [item.to_dict() for item in self.predictions],
            "warnings": list(self.warnings),
        }

    def _estimate(self, item: Estimate) -> dict[str, Any]:
        return {
            "scheme": item.work.scheme,
            "context": self.cached(item.shape),
            "batch": item.shape.batch,
            "parameters": item.work.parameters,
            "cache_elements_per_token": item.work.cache_elements,
            **_figures(item.total),
            "cycles": item.cycles,
            "bound": item.bound,
            "tokens_per_second": item.tokens_per_second,
            "microjoules_per_token": item.energy_per_token,
            "phases": [
                {
                    "phase": phase.phase,
                    **_figures(phase),
                    "cycles": phase.cycles,
                    "bound": phase.bound,
                    "microjoules_per_token": item.energy(phase),
                }
                for phase in item.phases
            ],
        }


def _figures(phase: PhaseEstimate) -> dict[str, Any]:
    return {
        "macs": phase.macs,
        "vector_operations": phase.vector_operations,
        "weight_bytes": phase.weight_bytes,
        "cache_bytes": phase.cache_bytes,
        "activation_bytes": phase.activation_bytes,
        "operations_per_byte": phase.intensity,
        "array_cycles": phase.array_cycles,
        "memory_cycles": phase.memory_cycles,
    }
