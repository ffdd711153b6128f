"""Work and traffic of a graph's phases, for any number of tokens, sequences and cached rows.

Every count is a sum of four parts, told apart by what a node depends on: nothing but weights
(made once per step), the tokens of the step, the cached rows, or both (a pair of query and key).
"""

import math
from collections.abc import Container, Iterable
from dataclasses import dataclass

from mla_hw.errors import ConfigError
from mla_hw.fields import check_positive_int
from mla_hw.graph.decode_graph import DecodeGraph
from mla_hw.graph.nodes import (
    CONTEXT,
    CacheAppend,
    Input,
    MatMul,
    Node,
    RmsNorm,
    Role,
    Rope,
    Softmax,
)

__all__ = ["Count", "PhaseWork", "ProductWork", "StepShape", "graph_work", "product_counts"]

#: Operations per element that are no products of matrices: square and factor of a norm; two
#: products of a rotated channel; scale, exponential and division of a probability.
_VECTOR_OPERATIONS: dict[type[Node], int] = {RmsNorm: 2, Rope: 2, Softmax: 3}


@dataclass(frozen=True, kw_only=True, slots=True)
class StepShape:
    """What one step works on.

    Parameters
    ----------
    context : int
        Rows in the cache of a sequence at the end of the step, those of its own tokens included.
    tokens : int
        Tokens of a sequence in the step: 1 in decode, `context` in prefill.
    batch : int
        Sequences, which share the weights.
    causal : bool
        A token attends to its own row and earlier ones. False counts all pairs of a prefill, as
        kernels without a causal mask work.
    """

    context: int
    tokens: int = 1
    batch: int = 1
    causal: bool = True

    def __post_init__(self) -> None:
        for name in ("context", "tokens", "batch"):
            check_positive_int(name, getattr(self, name))
        if self.tokens > self.context:
            raise ConfigError(f"tokens must be at most context = {self.context}, not {self.tokens}")

    @property
    def rows(self) -> int:
        """Cached rows of all sequences."""
        return self.batch * self.context

    @property
    def all_tokens(self) -> int:
        """Tokens of all sequences."""
        return self.batch * self.tokens

    @property
    def pairs(self) -> int:
        """Pairs of a query and a key that it attends to, of all sequences."""
        future = self.tokens * (self.tokens - 1) // 2 if self.causal else 0
        return self.batch * (self.tokens * self.context - future)


@dataclass(frozen=True, kw_only=True, slots=True)
class Count:
    """A number that grows with a step's shape.

    Parameters
    ----------
    once, per_token, per_row, per_pair : int
        Parts per step, per token, per cached row, and per pair of query and key.
    """

    once: int = 0
    per_token: int = 0
    per_row: int = 0
    per_pair: int = 0

    def at(self, shape: StepShape) -> int:
        """Return the number for one step."""
        return (
            self.once
            + self.per_token * shape.all_tokens
            + self.per_row * shape.rows
            + self.per_pair * shape.pairs
        )

    def __add__(self, other: "Count") -> "Count":
        return Count(
            once=self.once + other.once,
            per_token=self.per_token + other.per_token,
            per_row=self.per_row + other.per_row,
            per_pair=self.per_pair + other.per_pair,
        )

    @classmethod
    def total(cls, counts: Iterable["Count"]) -> "Count":
        """Return the sum."""
        result = Count()
        for count in counts:
            result += count
        return result


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductWork:
    """Work of one product, and how many rows share what is streamed against them.

    A systolic array holds rows of the first operand and streams the second: tokens share a weight,
    heads share a cached latent, but not the keys of multi-head attention.

    Parameters
    ----------
    name : str
        Of the node.
    macs : Count
        Multiply-accumulates.
    rows : int
        Rows per token, or per cached row, or in all.
    over_tokens, over_context, over_batch : bool
        Whether the rows of all tokens of a sequence, of all cached rows of a sequence, and of all
        sequences come on top.
    """

    name: str
    macs: Count
    rows: int
    over_tokens: bool
    over_context: bool
    over_batch: bool

    def shared_rows(self, shape: StepShape) -> int:
        """Return the rows that share a streamed vector."""
        return (
            self.rows
            * (shape.tokens if self.over_tokens else 1)
            * (shape.context if self.over_context else 1)
            * (shape.batch if self.over_batch else 1)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class PhaseWork:
    """Work and traffic of one phase, in operations and elements.

    Parameters
    ----------
    phase : str
    products : tuple of ProductWork
    vector_operations : Count
        Multiplications, exponentials and divisions of norms, rotations and softmax.
    weights : int
        Weights that a step reads, each once.
    streamed_weights : int
        Those of them that the tokens of a step share: operands of a product per token. The others
        are multiplied with each other or with cached rows, whatever the number of tokens.
    weight_outputs : int
        Sums that a token's products with weights make; each has a requantise constant.
    cache_read, cache_written : Count
        Elements of cached rows; what several phases use is read in the first of them.
    scales_read, scales_written : Count
        Cached vectors with a scale of their own where the cache is quantised: a latent and its key
        together, or a head's key, and its value.
    activations : Count
        Elements of hidden state and result, which go through memory.
    """

    phase: str
    products: tuple[ProductWork, ...]
    vector_operations: Count
    weights: int
    streamed_weights: int
    weight_outputs: int
    cache_read: Count
    cache_written: Count
    scales_read: Count
    scales_written: Count
    activations: Count

    @property
    def macs(self) -> Count:
        """Multiply-accumulates of all products."""
        return Count.total(product.macs for product in self.products)


def graph_work(graph: DecodeGraph) -> tuple[PhaseWork, ...]:
    """Count the phases of a graph, in their order.

    A node that is no product belongs to the phase of the product that its operand comes from; the
    hidden state to the first phase that uses it.
    """
    per_token, phase_of = graph.per_token(), _phases(graph)
    found = []
    seen: set[str] = set()
    scaled: set[str] = set()
    for phase in graph.phases:
        nodes = [node for node in graph.nodes if phase_of.get(node.name) == phase]
        products = [node for node in nodes if isinstance(node, MatMul)]
        read = _operands(graph, products)
        cached = [o for o in read if o.type.role is Role.CACHE and o.name not in seen]
        seen.update(node.name for node in cached)
        vectors = {_vector(graph, node): _vectors(node) for node in cached}
        read_vectors = sum(count for name, count in vectors.items() if name not in scaled)
        scaled.update(vectors)
        written = [node for node in nodes if isinstance(node, CacheAppend)]
        made_vectors = {_vector(graph, node): _vectors(node) for node in written}
        ends = [node for node in nodes if isinstance(node, Input) or node.name == "y"]
        shared = _operands(graph, (node for node in products if node.name in per_token))
        streamed = [node for node in shared if node.type.role is Role.WEIGHT]
        found.append(
            PhaseWork(
                phase=phase,
                products=tuple(_product(graph, node, per_token) for node in products),
                vector_operations=Count.total(
                    _count(
                        operations * node.type.elements(),
                        context=CONTEXT in node.type.axes,
                        token=node.name in per_token,
                    )
                    for node in nodes
                    if (operations := _VECTOR_OPERATIONS.get(type(node), 0))
                ),
                weights=graph.weight_elements(phase),
                streamed_weights=sum(node.type.elements() for node in streamed),
                weight_outputs=graph.weight_outputs(phase),
                cache_read=Count(per_row=sum(node.type.elements() for node in cached)),
                cache_written=Count(per_token=sum(node.type.elements() for node in written)),
                scales_read=Count(per_row=read_vectors),
                scales_written=Count(per_token=sum(made_vectors.values())),
                activations=Count(per_token=sum(node.type.elements() for node in ends)),
            )
        )
    return tuple(found)


def product_counts(graph: DecodeGraph) -> dict[str, Count]:
    """Count the multiply-accumulates of each product that is made in a step, by its name."""
    return {product.name: product.macs for phase in graph_work(graph) for product in phase.products}


def _product(graph: DecodeGraph, node: Node, per_token: Container[str]) -> ProductWork:
    held, streamed = graph.operands(node)
    free = [axis for axis in held.type.axes if axis not in streamed.type.axes]
    axes = {*held.type.axes, *streamed.type.axes}
    of_tokens = held.name in per_token and streamed.name not in per_token
    cached = any(isinstance(graph[name], CacheAppend) for name in graph.upstream(streamed.name))
    return ProductWork(
        name=node.name,
        macs=_count(
            graph.node_macs(node.name, 1), context=CONTEXT in axes, token=node.name in per_token
        ),
        rows=math.prod(axis.size or 1 for axis in free),
        over_tokens=of_tokens,
        over_context=CONTEXT in free,
        over_batch=(of_tokens or CONTEXT in free) and not cached,
    )


def _count(number: int, *, context: bool, token: bool) -> Count:
    """File a number under what it grows with."""
    if token:
        return Count(per_pair=number) if context else Count(per_token=number)
    return Count(per_row=number) if context else Count(once=number)


def _vector(graph: DecodeGraph, cache: Node) -> str:
    """Return the product that a cached part comes from: parts of one vector have one scale."""
    (node,) = graph.operands(cache)
    while not isinstance(node, MatMul):
        node = graph.operands(node)[0]
    return node.name


def _vectors(cache: Node) -> int:
    """Vectors of one cached row: one, or one per head."""
    return math.prod(axis.size or 1 for axis in cache.type.axes[1:-1])


def _operands(graph: DecodeGraph, nodes: Iterable[Node]) -> list[Node]:
    """Return all operands, each once."""
    return list({o.name: o for node in nodes for o in graph.operands(node)}.values())


def _phases(graph: DecodeGraph) -> dict[str, str]:
    """Return the phase of every node that is made in a step."""
    found: dict[str, str] = {}
    for node in graph.nodes:
        if isinstance(node, MatMul):
            if node.phase is None:
                continue
            found[node.name] = node.phase
            for name in node.inputs:
                if isinstance(graph[name], Input):
                    found.setdefault(name, node.phase)
        else:
            made = [found[name] for name in node.inputs if name in found]
            if made:
                found[node.name] = made[0]
    return found
