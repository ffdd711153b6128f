"""Evaluation of decode graphs in float64."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mla_hw.checkpoint import LayerWeights
from mla_hw.errors import ConfigError
from mla_hw.graph.decode_graph import DecodeGraph
from mla_hw.graph.nodes import (
    CONTEXT,
    Add,
    CacheAppend,
    Input,
    MatMul,
    Node,
    RmsNorm,
    Rope,
    Slice,
    Softmax,
    Weight,
)
from mla_hw.rope import apply_rope, rope_table

__all__ = ["evaluate"]

_Array = NDArray[np.float64]
_TOKEN = "token"
# Queries are worked on in chunks, so that one array of scores stays below this many bytes.
_CHUNK_BYTES = 1 << 26


def evaluate(
    graph: DecodeGraph,
    weights: LayerWeights | Mapping[str, NDArray[np.floating]],
    x: NDArray[np.floating],
    *,
    capture: Iterable[str] = (),
    context: int | None = None,
) -> dict[str, _Array]:
    """Decode a sequence of tokens from an empty cache, in float64.

    Token `t` attends to tokens 0 to `t`. What does not depend on a token is computed once.

    Parameters
    ----------
    graph : DecodeGraph
        What to compute.
    weights : LayerWeights or Mapping
        The layer, or arrays by the names and in the shapes of the graph's weight nodes
        (:meth:`mla_hw.checkpoint.LayerWeights.operands`).
    x : NDArray
        Hidden states after the layer's input norm, [tokens, hidden_size].
    capture : iterable of str
        Names of further nodes whose results are returned.
    context : int or None
        Tokens that the RoPE table is made for (:func:`mla_hw.rope.rope_table`); None takes the
        number of tokens in `x`.

    Returns
    -------
    dict
        ``y`` [tokens, hidden_size] and the captured results. Those that differ from token to
        token have a leading axis of tokens; the context axis runs over all tokens, and later
        ones than the own have probability 0.

    Raises
    ------
    ConfigError
        If `x` or a weight has another shape or type than the graph wants, if `x` is not finite
        or longer than `context`.
    GraphError
        If a captured node does not exist.
    """
    _check_hidden(graph, x)
    if context is not None and context < len(x):
        raise ConfigError(f"context must hold the {len(x)} tokens of x, not {context}")
    wanted = {name: graph[name] for name in ("y", *capture)}
    operands = weights.operands() if isinstance(weights, LayerWeights) else weights
    tokens = len(x)
    run = _Run(
        graph=graph,
        operands=operands,
        x=x.astype(np.float64),
        table=rope_table(graph.config, np.arange(tokens), context or tokens),
        per_token=graph.per_token(),
    )
    shared = _shared(graph, run.per_token)
    values: dict[str, _Array] = {}
    for node in graph.nodes:
        if node.name in shared:
            values[node.name] = run.compute(node, values, slice(0, tokens))

    results = {
        name: values[name] if name in shared else np.empty((tokens, *run.shape(node)))
        for name, node in wanted.items()
    }
    for start in range(0, tokens, run.chunk):
        rows = slice(start, min(start + run.chunk, tokens))
        chunk = {k: v[rows] if k in run.per_token else v for k, v in values.items()}
        for node in graph.nodes:
            if node.name not in shared:
                chunk[node.name] = run.compute(node, chunk, rows)
        for name in wanted:
            if name not in shared:
                results[name][rows] = chunk[name]
    return results


def _check_hidden(graph: DecodeGraph, x: NDArray[np.floating]) -> None:
    hidden = graph.config.hidden_size
    if x.ndim != 2 or x.shape[1] != hidden or len(x) < 1:
        raise ConfigError(
            f"x must have shape [tokens, hidden_size = {hidden}], not {list(x.shape)}"
        )
    if not np.issubdtype(x.dtype, np.floating):
        raise ConfigError(f"x must be floating point, not {x.dtype}")
    if not np.isfinite(x).all():
        token, channel = np.argwhere(~np.isfinite(x))[0]
        raise ConfigError(f"x is {x[token, channel]} at [{token}, {channel}]")


def _shared(graph: DecodeGraph, per_token: set[str]) -> set[str]:
    """Return the nodes to compute for all tokens at once: caches need all rows first."""
    return graph.upstream(
        *(
            node.name
            for node in graph.nodes
            if isinstance(node, Input) or node.name not in per_token
        )
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Run:
    """What the nodes of one evaluation have in common."""

    graph: DecodeGraph
    operands: Mapping[str, NDArray[np.floating]]
    x: _Array
    table: tuple[_Array, _Array]
    per_token: set[str]

    @property
    def chunk(self) -> int:
        """Queries to work on at a time."""
        tokens = len(self.x)
        largest = max(self.graph[name].type.elements(tokens) for name in self.per_token)
        return max(1, _CHUNK_BYTES // (8 * largest))

    def shape(self, node: Node) -> tuple[int, ...]:
        return tuple(len(self.x) if axis == CONTEXT else axis.size or 0 for axis in node.type.axes)

    def compute(self, node: Node, values: Mapping[str, _Array], rows: slice) -> _Array:
        """Compute one node for the queries of some rows."""
        inputs = [values[name] for name in node.inputs]
        match node:
            case Input():
                return self.x[rows]
            case Weight():
                return self._weight(node)
            case MatMul():
                labels = [self._labels(operand) for operand in self.graph.operands(node)]
                return _contract(inputs[0], labels[0], inputs[1], labels[1], self._labels(node))
            case RmsNorm(eps=eps):
                mean = np.mean(np.square(inputs[0]), axis=-1, keepdims=True)
                return np.asarray(inputs[0] / np.sqrt(mean + eps) * inputs[1])
            case Rope(interleaved=interleaved):
                # One row of the table per token, the same for all heads.
                shape = (-1,) + (1,) * (inputs[0].ndim - 2) + (inputs[0].shape[-1] // 2,)
                cos, sin = (part[rows].reshape(shape) for part in self.table)
                return apply_rope(inputs[0], cos, sin, interleaved=interleaved)
            case Slice(axis=axis, start=start):
                axis += node.name in self.per_token
                stop = start + (node.type.axes[node.axis].size or 0)
                return inputs[0][(slice(None),) * axis + (slice(start, stop),)]
            case CacheAppend():
                return inputs[0]  # the tokens' rows are the cache's rows
            case Add():
                return inputs[0] + inputs[1]
            case Softmax(scale=scale):
                return _causal_softmax(inputs[0] * scale, np.arange(rows.start, rows.stop))
        raise AssertionError(f"{type(node).__name__} is no kind of node")

    def _labels(self, node: Node) -> tuple[str, ...]:
        leading = (_TOKEN,) if node.name in self.per_token else ()
        return leading + tuple(axis.name for axis in node.type.axes)

    def _weight(self, node: Weight) -> _Array:
        if node.name not in self.operands:
            raise ConfigError(f"weight {node.name} is missing")
        value = np.asarray(self.operands[node.name], dtype=np.float64)
        if value.shape != self.shape(node):
            raise ConfigError(
                f"weight {node.name} must have shape {list(self.shape(node))}, "
                f"not {list(value.shape)}"
            )
        return value


def _contract(
    a: _Array, a_labels: tuple[str, ...], b: _Array, b_labels: tuple[str, ...], out: tuple[str, ...]
) -> _Array:
    """Sum products over the labels that `out` lacks, as one batched matrix product."""
    batch = [label for label in a_labels if label in b_labels and label in out]
    summed = [label for label in a_labels if label not in out]
    a_only = [label for label in a_labels if label not in b_labels]
    b_only = [label for label in b_labels if label not in a_labels]
    sizes = dict(zip(a_labels + b_labels, a.shape + b.shape, strict=True))

    def matrices(value: _Array, labels: tuple[str, ...], *groups: list[str]) -> _Array:
        order = [labels.index(label) for group in groups for label in group]
        shape = [int(np.prod([sizes[label] for label in group])) for group in groups]
        return value.transpose(order).reshape(shape)

    product = matrices(a, a_labels, batch, a_only, summed) @ matrices(
        b, b_labels, batch, summed, b_only
    )
    made = batch + a_only + b_only
    return product.reshape([sizes[label] for label in made]).transpose([
        made.index(label) for label in out
    ])


def _causal_softmax(scores: _Array, positions: NDArray[np.int64]) -> _Array:
    """Normalise [token, …, context] scores; rows of the context after the own one get 0."""
    own = positions.reshape(-1, *(1,) * (scores.ndim - 1))
    future = np.arange(scores.shape[-1]) > own
    scores = np.where(future, -np.inf, scores)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))
