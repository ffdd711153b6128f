"""The paper's methods, counted in its units: operations and off-chip accesses of one layer.

One operation is one multiply-accumulate, one access one element. RoPE is left out, and all pairs
of a prefill are counted, as in the paper.
"""

from dataclasses import dataclass
from types import MappingProxyType

from mla_hw.analysis.baselines import MHA_SCALED, analysis_graph, parameters
from mla_hw.config import ModelConfig
from mla_hw.graph import Count, DecodeGraph, StepShape, graph_work, product_counts
from mla_hw.presets import find_preset

__all__ = ["METHODS", "ORDERS", "MethodCount", "OrderCount", "count_method", "count_order"]

#: Scheme of the graph by the paper's name of the method.
METHODS = MappingProxyType({
    "MHA_l": "mha",
    "MHA_s": MHA_SCALED,
    "MLA_rc": "recompute",
    "MLA_ru": "reuse",
})
#: Scheme of the graph by the order of the three products of the scores' weights and cache.
ORDERS = MappingProxyType({"1>3>2": "naive", "1>2>3": "absorb", "2>1>3": "recompute"})

_MODEL = "deepseek-v3"


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodCount:
    """Work and traffic of a method.

    Parameters
    ----------
    config : ModelConfig
        Dimensions, which MHA_s has of its own.
    parameters : int
        Weights of the layer.
    operations, accesses : Count
    """

    config: ModelConfig
    parameters: int
    operations: Count
    accesses: Count

    def decode(self, cached: float) -> tuple[int, int]:
        """Count operations and accesses of one token behind `cached` tokens."""
        return self._at(StepShape(context=int(cached) + 1))

    def prefill(self, tokens: float) -> tuple[int, int]:
        """Count operations and accesses of all tokens at once."""
        return self._at(StepShape(context=int(tokens), tokens=int(tokens), causal=False))

    def _at(self, shape: StepShape) -> tuple[int, int]:
        return self.operations.at(shape), self.accesses.at(shape)


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderCount:
    """Operations of the scores' products, in one order of them.

    Parameters
    ----------
    products : dict
        Count by name of the product.
    query_dim : int
        Channels of a head's query.
    """

    products: dict[str, Count]
    query_dim: int

    def operations(self, cached: float, batch: int, rows: dict[str, int] | None = None) -> int:
        """Count the operations of one token of each sequence behind `cached` tokens.

        Parameters
        ----------
        cached : float
        batch : int
            Sequences, and so query rows, of every product that `rows` does not have.
        rows : dict or None
            Query rows by name of the product.
        """
        context = int(cached) + 1
        return sum(
            count.at(StepShape(context=context, batch=(rows or {}).get(name, batch)))
            for name, count in self.products.items()
        )


def count_method(method: str) -> MethodCount:
    """Count a method of :data:`METHODS` for DeepSeek-V3's layer."""
    graph = _graph(METHODS[method])
    work = graph_work(graph)
    return MethodCount(
        config=graph.config,
        parameters=parameters(graph),
        operations=Count.total(phase.macs for phase in work),
        accesses=Count.total(
            Count(once=phase.weights) + phase.cache_read + phase.cache_written + phase.activations
            for phase in work
        ),
    )


def count_order(order: str) -> OrderCount:
    """Count an order of :data:`ORDERS`, from compressed query and cached latents to the scores."""
    graph = _graph(ORDERS[order])
    between = graph.upstream("scores_nope") - graph.upstream("c_q", "c_kv_cache")
    return OrderCount(
        products={name: count for name, count in product_counts(graph).items() if name in between},
        query_dim=graph.config.qk_nope_head_dim,
    )


def _graph(scheme: str) -> DecodeGraph:
    return analysis_graph(find_preset(_MODEL).config, scheme, rope=False)
