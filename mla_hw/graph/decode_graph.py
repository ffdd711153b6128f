"""The decode graph as a value: nodes, work and traffic, text."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import networkx as nx

from mla_hw.config import ModelConfig
from mla_hw.errors import GraphError
from mla_hw.graph.nodes import CONTEXT, CacheAppend, Input, MatMul, Node, Role

__all__ = ["PHASES", "DecodeGraph"]

#: Parts of a decode step; `kv` is plain multi-head attention's key and value projection.
PHASES = ("q", "q_a", "q_b", "kv", "kv_a", "uk", "attention", "uv", "o")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DecodeGraph:
    """Decoding of one token by one scheme.

    Work and traffic are counted with the model's true dimensions, in elements. The gains of the
    norms are no traffic, as they are folded into the projections that follow.

    Parameters
    ----------
    scheme : str
        Name of the scheme, see :data:`mla_hw.graph.SCHEMES`.
    config : ModelConfig
        The layer.
    digraph : networkx.DiGraph
        Node names in an order of execution, each with its :class:`Node` as attribute ``node``;
        edges from operands to users. Read-only.
    """

    scheme: str
    config: ModelConfig
    digraph: nx.DiGraph

    @classmethod
    def from_nodes(cls, scheme: str, config: ModelConfig, nodes: Iterable[Node]) -> "DecodeGraph":
        """Connect nodes that are given in an order of execution."""
        digraph = nx.DiGraph()
        for node in nodes:
            if node.name in digraph:
                raise GraphError(f"{scheme}: two nodes are named {node.name}")
            digraph.add_node(node.name, node=node)
            for operand in node.inputs:
                if operand not in digraph or operand == node.name:
                    raise GraphError(f"{scheme}: {node.name} uses {operand}, which is not made yet")
                digraph.add_edge(operand, node.name)
        return cls(scheme=scheme, config=config, digraph=digraph.copy(as_view=True))

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes in an order of execution."""
        return tuple(self.digraph.nodes[name]["node"] for name in self.digraph)

    def __getitem__(self, name: str) -> Node:
        """Return the node of a name."""
        if name not in self.digraph:
            raise GraphError(f"{self.scheme}: no node is named {name}")
        node: Node = self.digraph.nodes[name]["node"]
        return node

    def operands(self, node: Node) -> tuple[Node, ...]:
        """Return the nodes whose results a node uses, in order."""
        return tuple(self[name] for name in node.inputs)

    def upstream(self, *names: str) -> set[str]:
        """Return the named nodes and all that they depend on."""
        found = set(names)
        for node in reversed(self.nodes):
            if node.name in found:
                found.update(node.inputs)
        return found

    def per_token(self) -> set[str]:
        """Return the nodes whose result differs between the tokens that query the same cache."""
        found: set[str] = set()
        for node in self.nodes:
            depends = isinstance(node, Input) or any(name in found for name in node.inputs)
            if depends and not isinstance(node, CacheAppend):
                found.add(node.name)
        return found

    @property
    def phases(self) -> tuple[str, ...]:
        """The phases that occur, in the order of :data:`PHASES`."""
        found = {node.phase for node in self._matmuls(None)}
        return tuple(phase for phase in PHASES if phase in found)

    def macs(self, context: int, phase: str | None = None) -> int:
        """Count multiply-accumulates of one step.

        Parameters
        ----------
        context : int
            Cached tokens, the own one included.
        phase : str or None
            One phase, or all of them.
        """
        return sum(self.node_macs(node.name, context) for node in self._matmuls(phase))

    def node_macs(self, name: str, context: int) -> int:
        """Count multiply-accumulates of one node in one step; 0 for what is no product."""
        node = self[name]
        if not isinstance(node, MatMul) or node.phase is None:
            return 0
        axes = {axis for operand in self.operands(node) for axis in operand.type.axes}
        return math.prod(context if axis == CONTEXT else axis.size or 0 for axis in axes)

    def weight_elements(self, phase: str | None = None) -> int:
        """Count the weights that one step reads from memory, each once."""
        return sum(node.type.elements() for node in self._read(Role.WEIGHT, phase))

    def weight_bytes(self, phase: str | None = None, *, element_bytes: int = 1) -> int:
        """Count the bytes of weights that one step reads; int8 weights unless told otherwise."""
        return self.weight_elements(phase) * element_bytes

    def weight_outputs(self, phase: str | None = None) -> int:
        """Count the sums that a token's products with weights make, stored ones or made ones.

        Each is requantised with a constant of its own; a product of weights, or of weights and
        cached rows, has one for all.
        """
        per_token = self.per_token()
        return sum(
            node.type.elements()
            for node in self._matmuls(phase)
            if node.name in per_token and node.phase != "attention"
        )

    def cache_elements(self, context: int, phase: str | None = None) -> int:
        """Count the cached elements that one step reads, each once, with `context` tokens."""
        return sum(node.type.elements(context) for node in self._read(Role.CACHE, phase))

    def _matmuls(self, phase: str | None) -> tuple[MatMul, ...]:
        """Return the products that are made in every step."""
        if phase is not None and phase not in PHASES:
            raise GraphError(f"phase must be one of {', '.join(PHASES)}, not {phase}")
        return tuple(
            node
            for node in self.nodes
            if isinstance(node, MatMul) and node.phase and phase in {None, node.phase}
        )

    def _read(self, role: Role, phase: str | None) -> tuple[Node, ...]:
        operands = (node for user in self._matmuls(phase) for node in self.operands(user))
        return tuple({node.name: node for node in operands if node.type.role is role}.values())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DecodeGraph):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        return self.scheme, self.config, self.nodes

    def __str__(self) -> str:
        rows = [
            (n.name, type(n).__name__, ", ".join(n.inputs), str(n.type), n.detail)
            for n in self.nodes
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )
