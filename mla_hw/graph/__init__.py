"""MLA decode as a graph: built per scheme, verified, counted, and evaluated in float64."""

from mla_hw.graph.build import MLA_SCHEMES, SCHEMES, build_graph
from mla_hw.graph.decode_graph import PHASES, DecodeGraph
from mla_hw.graph.evaluation import evaluate
from mla_hw.graph.verify import verify_graph

__all__ = [
    "MLA_SCHEMES",
    "PHASES",
    "SCHEMES",
    "DecodeGraph",
    "build_graph",
    "evaluate",
    "verify_graph",
]
