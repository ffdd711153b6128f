"""MLA decode as a graph: built per scheme, verified, counted, and evaluated in float64."""

from mla_hw.graph.build import GQA_GROUPS, MLA_SCHEMES, SCHEMES, build_graph, kv_groups
from mla_hw.graph.decode_graph import PHASES, DecodeGraph
from mla_hw.graph.evaluation import evaluate
from mla_hw.graph.verify import verify_graph
from mla_hw.graph.work import Count, PhaseWork, ProductWork, StepShape, graph_work, product_counts

__all__ = [
    "GQA_GROUPS",
    "MLA_SCHEMES",
    "PHASES",
    "SCHEMES",
    "Count",
    "DecodeGraph",
    "PhaseWork",
    "ProductWork",
    "StepShape",
    "build_graph",
    "evaluate",
    "graph_work",
    "kv_groups",
    "product_counts",
    "verify_graph",
]
