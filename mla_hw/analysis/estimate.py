"""Cycles, throughput and energy of a step, from the work of its graph and the limits of a machine.

A phase takes as long as the slower of multipliers and memory; phases follow each other. Norms,
rotations and softmax are counted, but run beside the products and take no time of their own.
"""

from dataclasses import dataclass, replace

from mla_hw.analysis.baselines import parameters
from mla_hw.analysis.machine import Machine
from mla_hw.graph import Count, DecodeGraph, PhaseWork, StepShape, graph_work

__all__ = ["Estimate", "PhaseEstimate", "SchemeWork", "estimate"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SchemeWork:
    """A scheme, counted once for all shapes and machines.

    Parameters
    ----------
    scheme : str
    parameters : int
        Weights that a layer stores.
    cache_elements : int
        Elements that the cache holds per token.
    phases : tuple of PhaseWork
    """

    scheme: str
    parameters: int
    cache_elements: int
    phases: tuple[PhaseWork, ...]

    @classmethod
    def of(
        cls, graph: DecodeGraph, scheme: str | None = None, *, vector_operations: bool = True
    ) -> "SchemeWork":
        """Count a graph.

        Parameters
        ----------
        graph : DecodeGraph
        scheme : str or None
            Name, if it is another than the graph's.
        vector_operations : bool
            False leaves norms, rotations and softmax out.
        """
        phases = graph_work(graph)
        if not vector_operations:
            phases = tuple(replace(phase, vector_operations=Count()) for phase in phases)
        return cls(
            scheme=scheme or graph.scheme,
            parameters=parameters(graph),
            cache_elements=graph.cache_elements(1),
            phases=phases,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class PhaseEstimate:
    """One phase of a step.

    Parameters
    ----------
    phase : str
    macs, vector_operations : int
    weight_bytes, cache_bytes, activation_bytes : int
        Traffic with off-chip memory: weights with their constants, cached rows read and written
        with their scales, hidden state and result.
    array_cycles, memory_cycles : float
        Cycles of multipliers and memory alone.
    """

    phase: str
    macs: int
    vector_operations: int
    weight_bytes: int
    cache_bytes: int
    activation_bytes: int
    array_cycles: float
    memory_cycles: float

    @property
    def bytes(self) -> int:
        """All traffic."""
        return self.weight_bytes + self.cache_bytes + self.activation_bytes

    @property
    def cycles(self) -> float:
        """Cycles of the slower one."""
        return max(self.array_cycles, self.memory_cycles)

    @property
    def bound(self) -> str:
        """``array`` or ``memory``."""
        return "array" if self.array_cycles > self.memory_cycles else "memory"

    @property
    def intensity(self) -> float:
        """Operations per byte: MACs and operations of norms, rotations and softmax."""
        return (self.macs + self.vector_operations) / self.bytes if self.bytes else float("inf")


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """One step of a scheme on a machine.

    Parameters
    ----------
    work : SchemeWork
    shape : StepShape
    machine : Machine
    phases : tuple of PhaseEstimate
    """

    work: SchemeWork
    shape: StepShape
    machine: Machine
    phases: tuple[PhaseEstimate, ...]

    @property
    def total(self) -> PhaseEstimate:
        """Return the sums over all phases, as a phase named ``total``.

        Its :attr:`~PhaseEstimate.cycles` are those of a step that hides one phase behind another;
        the step's own are :attr:`cycles`.
        """
        names = (
            *("macs", "vector_operations", "weight_bytes", "cache_bytes", "activation_bytes"),
            *("array_cycles", "memory_cycles"),
        )
        sums = {name: sum(getattr(phase, name) for phase in self.phases) for name in names}
        return PhaseEstimate(phase="total", **sums)

    @property
    def cycles(self) -> float:
        """Cycles of the step."""
        return sum(phase.cycles for phase in self.phases)

    @property
    def bound(self) -> str:
        """What bounds most of the step's cycles: ``array`` or ``memory``."""
        array = sum(phase.cycles for phase in self.phases if phase.bound == "array")
        return "array" if array > self.cycles - array else "memory"

    @property
    def tokens_per_second(self) -> float:
        """Tokens of all sequences through this layer per second."""
        return self.shape.all_tokens * self.machine.clock_mhz * 1e6 / self.cycles

    def energy(self, phase: PhaseEstimate) -> float:
        """Return the energy of multipliers and memory in a phase per token, in microjoules."""
        picojoules = phase.macs * self.machine.mac_pj + phase.bytes * 8 * self.machine.pj_per_bit
        return picojoules / self.shape.all_tokens * 1e-6

    @property
    def energy_per_token(self) -> float:
        """Energy of multipliers and memory per token, in microjoules."""
        return self.energy(self.total)


def estimate(work: SchemeWork, shape: StepShape, machine: Machine) -> Estimate:
    """Estimate one step of a scheme on a machine."""
    phases = tuple(_phase(phase, shape, machine) for phase in work.phases)
    return Estimate(work=work, shape=shape, machine=machine, phases=phases)


def _phase(work: PhaseWork, shape: StepShape, machine: Machine) -> PhaseEstimate:
    storage = machine.storage
    reads = machine.weight_reads(shape.all_tokens)
    weights = work.weights + (reads - 1) * work.streamed_weights
    weight_bytes = storage.weight * weights + storage.constant * reads * work.weight_outputs
    rows = work.cache_read.at(shape) + work.cache_written.at(shape)
    scales = work.scales_read.at(shape) + work.scales_written.at(shape)
    cache_bytes = storage.cache * rows + storage.scale * scales
    activation_bytes = storage.activation * work.activations.at(shape)
    steps = 0.0
    macs = 0
    for product in work.products:
        count = product.macs.at(shape)
        macs += count
        steps += count / machine.array_share(product.shared_rows(shape))
    return PhaseEstimate(
        phase=work.phase,
        macs=macs,
        vector_operations=work.vector_operations.at(shape),
        weight_bytes=weight_bytes,
        cache_bytes=cache_bytes,
        activation_bytes=activation_bytes,
        array_cycles=steps / machine.macs_per_cycle,
        memory_cycles=(weight_bytes + cache_bytes + activation_bytes) / machine.bytes_per_cycle,
    )
