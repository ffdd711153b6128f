"""Break-even points in closed form, from the coefficients of the counts.

A step's energy is ``once + tokens · per_token + rows · per_row + pairs · per_pair`` in picojoules;
where a variable is in one factor only, the point where two schemes cost the same is a quotient.
"""

from mla_hw.analysis.estimate import SchemeWork
from mla_hw.analysis.machine import Machine
from mla_hw.graph import Count, StepShape

__all__ = ["balance_point", "batch_point", "context_point"]


def context_point(a: SchemeWork, b: SchemeWork, shape: StepShape, machine: Machine) -> float | None:
    """Return the rows at which two schemes need the same energy in decode; None in prefill.

    There the context is the number of tokens as well, and the energy no straight line over it.
    """
    if shape.tokens > 1:
        return None
    once, per_token, per_row, per_pair = _difference(a, b, shape, machine)
    return _quotient(-(once + shape.batch * per_token), shape.batch * (per_row + per_pair))


def batch_point(a: SchemeWork, b: SchemeWork, shape: StepShape, machine: Machine) -> float | None:
    """Return the sequences at which two schemes need the same energy; None on an array.

    There the weights are streamed again for every so many tokens.
    """
    if machine.array_rows is not None:
        return None
    once, per_token, per_row, per_pair = _difference(a, b, shape, machine)
    pairs = shape.pairs / shape.batch
    slope = shape.tokens * per_token + shape.context * per_row + pairs * per_pair
    return _quotient(-once, slope)


def balance_point(a: SchemeWork, b: SchemeWork, shape: StepShape, machine: Machine) -> float | None:
    """Return ΔMAC / −Δbytes.

    It is the energy of a byte over that of a MAC at which two schemes need the same energy, and the
    balance at which they take the same time if multipliers and memory do not overlap.
    """
    macs, traffic = (
        _sum(shape, machine, a, mac, byte) - _sum(shape, machine, b, mac, byte)
        for mac, byte in ((1.0, 0.0), (0.0, 1.0))
    )
    return _quotient(macs, -traffic)


def _difference(
    a: SchemeWork, b: SchemeWork, shape: StepShape, machine: Machine
) -> tuple[float, float, float, float]:
    """Return the differences of the coefficients of the energy."""
    costs = machine.mac_pj, 8 * machine.pj_per_bit
    terms = (_terms(work, shape, machine, *costs) for work in (a, b))
    once, per_token, per_row, per_pair = (x - y for x, y in zip(*terms, strict=True))
    return once, per_token, per_row, per_pair


def _sum(
    shape: StepShape, machine: Machine, work: SchemeWork, per_mac: float, per_byte: float
) -> float:
    once, per_token, per_row, per_pair = _terms(work, shape, machine, per_mac, per_byte)
    return once + per_token * shape.all_tokens + per_row * shape.rows + per_pair * shape.pairs


def _terms(
    work: SchemeWork, shape: StepShape, machine: Machine, per_mac: float, per_byte: float
) -> tuple[float, float, float, float]:
    """Return once, per_token, per_row and per_pair of all phases, priced."""
    storage, reads = machine.storage, machine.weight_reads(shape.all_tokens)
    macs = Count.total(phase.macs for phase in work.phases)
    elements = Count.total(phase.cache_read + phase.cache_written for phase in work.phases)
    scales = Count.total(phase.scales_read + phase.scales_written for phase in work.phases)
    activations = Count.total(phase.activations for phase in work.phases)
    weights = sum(
        storage.weight * (phase.weights + (reads - 1) * phase.streamed_weights)
        + storage.constant * reads * phase.weight_outputs
        for phase in work.phases
    )

    def price(name: str) -> float:
        traffic = (
            storage.cache * getattr(elements, name)
            + storage.scale * getattr(scales, name)
            + storage.activation * getattr(activations, name)
        )
        return float(per_mac * getattr(macs, name) + per_byte * traffic)

    return (
        price("once") + per_byte * weights,
        price("per_token"),
        price("per_row"),
        price("per_pair"),
    )


def _quotient(numerator: float, denominator: float) -> float | None:
    return numerator / denominator if denominator else None
