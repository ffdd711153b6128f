"""Node and tensor types of the decode graph.

A node describes one operation of decoding one token. Axes are named; the number of cached
tokens, the own one included, is the axis ``context`` whose size is not part of the graph.
"""

import math
from dataclasses import dataclass
from enum import Enum

__all__ = [
    "CONTEXT",
    "Add",
    "Axis",
    "CacheAppend",
    "Input",
    "MatMul",
    "Node",
    "RmsNorm",
    "Role",
    "Rope",
    "Slice",
    "Softmax",
    "TensorType",
    "Weight",
]


@dataclass(frozen=True, slots=True)
class Axis:
    """A named dimension; its size is None for :data:`CONTEXT` only."""

    name: str
    size: int | None

    def __str__(self) -> str:
        return self.name if self.size is None else f"{self.name} {self.size}"


CONTEXT = Axis("context", None)


class Role(Enum):
    """Where a tensor lives between two decode steps."""

    #: Computed in the step.
    ACTIVATION = "activation"
    #: The same in every step, in memory: stored, or precomputed from stored ones.
    WEIGHT = "weight"
    #: Grows by one row in every step, in memory.
    CACHE = "cache"


@dataclass(frozen=True, slots=True)
class TensorType:
    """Axes of a tensor, outermost first, and its role."""

    axes: tuple[Axis, ...]
    role: Role = Role.ACTIVATION

    def elements(self, context: int = 1) -> int:
        """Count the elements with `context` cached tokens."""
        return math.prod(context if axis.size is None else axis.size for axis in self.axes)

    def __str__(self) -> str:
        return f"[{', '.join(map(str, self.axes))}]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One operation.

    Parameters
    ----------
    name : str
        Name of the node and of the tensor that it makes.
    type : TensorType
        What it makes.
    inputs : tuple of str
        Names of its operands, in order.
    """

    name: str
    type: TensorType
    inputs: tuple[str, ...] = ()

    @property
    def detail(self) -> str:
        """Parameters of the operation as text."""
        return ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Input(Node):
    """The hidden state of the token."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Weight(Node):
    """A stored weight."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MatMul(Node):
    """Sum of products of two tensors over the axes that the result does not have.

    Parameters
    ----------
    phase : str or None
        Part of the decode step that the work is counted for; None for a product of weights that
        is made once, ahead of all steps.
    """

    phase: str | None

    @property
    def detail(self) -> str:
        return f"phase {self.phase}" if self.phase else "precomputed"


@dataclass(frozen=True, kw_only=True, slots=True)
class RmsNorm(Node):
    """Second operand times the first, divided by the root of its mean square over the last axis.

    Parameters
    ----------
    eps : float
        Added to the mean square.
    """

    eps: float

    @property
    def detail(self) -> str:
        return f"eps {self.eps:g}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rope(Node):
    """Rotation of the last axis by the token's position; the result is half-split.

    Parameters
    ----------
    interleaved : bool
        Pairing of the channels, see :func:`mla_hw.rope.apply_rope`.
    """

    interleaved: bool

    @property
    def detail(self) -> str:
        return "interleaved" if self.interleaved else "half-split"


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice(Node):
    """Part of a tensor along one axis; the result's axis has another name.

    Parameters
    ----------
    axis : int
        Index of the axis.
    start : int
        First element that is taken; their number is the size of the result's axis.
    """

    axis: int
    start: int

    @property
    def detail(self) -> str:
        stop = self.start + (self.type.axes[self.axis].size or 0)
        return f"{self.start} to {stop}"


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheAppend(Node):
    """All cached rows after the token's own has been appended."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Add(Node):
    """Sum of two tensors of the same axes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Softmax(Node):
    """Softmax over the last axis.

    Parameters
    ----------
    scale : float
        Factor on the scores.
    """

    scale: float

    @property
    def detail(self) -> str:
        return f"scale {self.scale:.6g}"
