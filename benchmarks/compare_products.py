"""The matrix products of a decode step, as the core executes them, from the nodes of its graph."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from mla_hw.graph import DecodeGraph
from mla_hw.graph.nodes import CONTEXT, Add, Axis, MatMul, Role

__all__ = ["Product", "products"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Product:
    """A matrix product [m, k] · [k, n] that a step makes `count` times, each with its own operands.

    Parameters
    ----------
    name : str
        Of the tensor that it makes.
    phase : str
    m : int
        Rows of the operand that the array holds: heads of attention, 1 of a projection.
    k : int
        Length of the sums.
    n : int
        Columns of the operand that is streamed: outputs, cached tokens or channels.
    count : int
        Products of these dimensions, one per head where heads share nothing.
    streamed : Role
        Whether that operand is weights, cached rows, or made in the step.
    """

    name: str
    phase: str
    m: int
    k: int
    n: int
    count: int
    streamed: Role

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all of them."""
        return self.m * self.k * self.n * self.count

    def __str__(self) -> str:
        times = f"{self.count} · " if self.count > 1 else ""
        return f"{times}{self.m} × {self.k} × {self.n}"


def products(graph: DecodeGraph, context: int) -> tuple[Product, ...]:
    """List the products of one step.

    Products of the same rows and columns that are added up are one with longer sums, as the array
    goes on accumulating: the scores of channels without and with rotation.

    Parameters
    ----------
    graph : DecodeGraph
    context : int
        Rows that the token attends to, its own included.
    """
    found: dict[str, Product] = {}
    for node in graph.nodes:
        if isinstance(node, MatMul) and node.phase:
            found[node.name] = _product(graph, node, node.phase, context)
        elif isinstance(node, Add):
            _join(found, node)
    return tuple(found.values())


def _product(graph: DecodeGraph, node: MatMul, phase: str, context: int) -> Product:
    held, streamed = (operand.type.axes for operand in graph.operands(node))
    shared = set(held) & set(streamed)

    def size(axes: Iterable[Axis]) -> int:
        return math.prod(context if axis == CONTEXT else axis.size or 0 for axis in axes)

    return Product(
        name=node.name,
        phase=phase,
        m=size(set(held) - shared),
        k=size(shared - set(node.type.axes)),
        n=size(set(streamed) - shared),
        count=size(shared & set(node.type.axes)),
        streamed=graph.operands(node)[1].type.role,
    )


def _join(found: dict[str, Product], node: Add) -> None:
    """Put a sum in the place of its products, if these differ in the length of their sums only."""
    parts = [found[name] for name in node.inputs if name in found]
    length = sum(part.k for part in parts)
    alike = {replace(part, name=node.name, k=length) for part in parts}
    if len(parts) == len(node.inputs) and len(alike) == 1:
        for part in parts:
            del found[part.name]
        found[node.name] = alike.pop()
