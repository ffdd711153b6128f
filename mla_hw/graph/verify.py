"""Shape and structure rules of the decode graph."""

from mla_hw.errors import GraphError
from mla_hw.graph.decode_graph import PHASES, DecodeGraph
from mla_hw.graph.nodes import (
    CONTEXT,
    Add,
    Axis,
    CacheAppend,
    Input,
    MatMul,
    Node,
    RmsNorm,
    Role,
    Rope,
    Slice,
    Softmax,
    TensorType,
    Weight,
)

__all__ = ["verify_graph"]


def verify_graph(graph: DecodeGraph) -> None:
    """Check that every node's axes follow from its operands' and that nothing is unused.

    Raises
    ------
    GraphError
        With the scheme, the node and the rule that it breaks.
    """
    sizes: dict[str, int | None] = {}
    for node in graph.nodes:
        operands = [operand.type for operand in graph.operands(node)]
        problem = _axis_problem(node.type, sizes) or _problem(node, operands)
        if problem:
            raise GraphError(f"{graph.scheme}: node {node.name} {node.type}: {problem}")
    if "y" not in graph.digraph:
        raise GraphError(f"{graph.scheme}: there is no result y")
    used = graph.upstream("y")
    if unused := [node.name for node in graph.nodes if node.name not in used]:
        raise GraphError(f"{graph.scheme}: {', '.join(unused)} not used by y")


def _axis_problem(made: TensorType, sizes: dict[str, int | None]) -> str:
    names = [axis.name for axis in made.axes]
    if len(set(names)) < len(names):
        return "an axis occurs twice"
    for axis in made.axes:
        if (axis.size is None) != (axis == CONTEXT) or (axis.size is not None and axis.size < 1):
            return f"axis {axis.name} has no size"
        if sizes.setdefault(axis.name, axis.size) != axis.size:
            return f"axis {axis.name} has size {sizes[axis.name]} elsewhere"
    return ""


_OPERANDS = {
    Input: 0,
    Weight: 0,
    Rope: 1,
    Slice: 1,
    CacheAppend: 1,
    Softmax: 1,
    MatMul: 2,
    RmsNorm: 2,
    Add: 2,
}


def _problem(node: Node, operands: list[TensorType]) -> str:
    wanted = _OPERANDS.get(type(node))
    if wanted is None:
        return f"{type(node).__name__} is no kind of node"
    if len(operands) != wanted:
        return f"{type(node).__name__} takes {wanted} operands, not {len(operands)}"
    axes = node.type.axes
    match node:
        case Input():
            return "" if node.type.role is Role.ACTIVATION else "an input is an activation"
        case Weight():
            return "" if node.type.role is Role.WEIGHT else "a weight must have that role"
        case MatMul():
            return _matmul_problem(node, operands)
        case CacheAppend():
            if node.type.role is not Role.CACHE or operands[0].role is not Role.ACTIVATION:
                return "a cache is made from an activation"
            return "" if axes == (CONTEXT, *operands[0].axes) else "must be context and the row"
        case Slice():
            return _slice_problem(node, operands[0])
        case RmsNorm() if operands[1] != TensorType(axes[-1:], Role.WEIGHT):
            return f"gain {operands[1]} must be a weight over the last axis"
        case Add() if operands[1].axes != axes:
            return f"summands have axes {operands[0]} and {operands[1]}"
        case Softmax() if axes[-1:] != (CONTEXT,):
            return "the last axis must be the context"
    if node.type.role is not Role.ACTIVATION:
        return "the result must be an activation"
    return "" if operands[0].axes == axes else f"operand has axes {operands[0]}"


def _matmul_problem(node: MatMul, operands: list[TensorType]) -> str:
    a, b = (set(operand.axes) for operand in operands)
    made = set(node.type.axes)
    if not made <= a | b:
        return f"axes {_names(made - (a | b))} are in no operand"
    if lost := (a ^ b) - made:
        return f"axes {_names(lost)} are in one operand only and not in the result"
    if not (a & b) - made:
        return "nothing is summed over"
    precomputed = node.phase is None
    if precomputed != (node.type.role is Role.WEIGHT):
        return "a product has a phase if and only if it is made in every step"
    if precomputed and any(operand.role is not Role.WEIGHT for operand in operands):
        return "only weights can be multiplied ahead of the steps"
    if node.type.role is Role.CACHE:
        return "a product is no cache"
    if not precomputed and node.phase not in PHASES:
        return f"phase must be one of {', '.join(PHASES)}, not {node.phase}"
    return ""


def _slice_problem(node: Slice, operand: TensorType) -> str:
    if node.type.role is not operand.role:
        return "a slice keeps the role"
    if len(operand.axes) != len(node.type.axes) or not 0 <= node.axis < len(operand.axes):
        return f"axis {node.axis} of {operand} cannot be sliced so"
    kept = [i for i in range(len(operand.axes)) if i != node.axis]
    if any(node.type.axes[i] != operand.axes[i] for i in kept):
        return f"the other axes of {operand} must stay"
    size, whole = node.type.axes[node.axis].size, operand.axes[node.axis].size
    if size is None or whole is None or node.start < 0 or node.start + size > whole:
        return f"takes {size} from {node.start} out of {whole}"
    return ""


def _names(axes: set[Axis]) -> str:
    return ", ".join(sorted(axis.name for axis in axes))
