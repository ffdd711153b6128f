"""Decode graphs of MLA in its four schemes, and of multi-head and grouped-query attention."""

from typing import TypeVar

from mla_hw.config import ModelConfig
from mla_hw.errors import GraphError
from mla_hw.graph.decode_graph import DecodeGraph
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
from mla_hw.graph.verify import verify_graph

__all__ = ["GQA_GROUPS", "MLA_SCHEMES", "SCHEMES", "build_graph", "kv_groups"]

#: Schemes of MLA: all give the same result from the same weights.
MLA_SCHEMES = ("absorb", "reuse", "recompute", "naive")
#: All schemes; ``mha`` and ``gqa`` are multi-head and grouped-query attention of the same head
#: dimensions, with their own weights.
SCHEMES = (*MLA_SCHEMES, "mha", "gqa")
#: Keys and values that the heads of ``gqa`` share, where their number divides the heads.
GQA_GROUPS = 8

_N = TypeVar("_N", bound=Node)


def kv_groups(heads: int) -> int:
    """Return the groups of ``gqa``: the largest divisor of the heads up to :data:`GQA_GROUPS`."""
    return max(count for count in range(1, GQA_GROUPS + 1) if heads % count == 0)


def build_graph(config: ModelConfig, scheme: str = "absorb", *, rope: bool = True) -> DecodeGraph:
    """Build and verify the graph of decoding one token.

    Parameters
    ----------
    config : ModelConfig
        The layer.
    scheme : str
        ``"absorb"``: the query goes through W_UK, one row at a time. ``"reuse"``: W_UK times W_UQ
        is precomputed and read in every step. ``"recompute"``: that product is made in every
        step. ``"naive"``: keys and values are expanded from the cached latents in every step.
        ``"mha"``: keys and values are projected from the hidden state (weights W_Q, W_K, W_V,
        W_O) and cached per head; for comparison. ``"gqa"``: the same, but the heads of a group
        (:func:`kv_groups`) share keys and values; axis ``head`` is split into ``group`` and
        ``member``.
    rope : bool
        False leaves the rotated channels out, for comparison with analyses that do.

    Raises
    ------
    GraphError
        For an unknown scheme.
    """
    if scheme not in SCHEMES:
        raise GraphError(f"scheme must be one of {', '.join(SCHEMES)}, not {scheme}")
    builder = _Builder(config, rope=rope)
    builder.build(scheme)
    graph = DecodeGraph.from_nodes(scheme, config, builder.nodes)
    verify_graph(graph)
    return graph


class _Builder:
    """Collects nodes; axes have one name and size in the whole graph."""

    def __init__(self, config: ModelConfig, *, rope: bool) -> None:
        self.config = config
        self.nodes: list[Node] = []
        self.hidden = Axis("hidden", config.hidden_size)
        self.heads: tuple[Axis, ...] = (Axis("head", config.num_attention_heads),)
        self.kv_heads = self.heads
        self.v = Axis("v", config.v_head_dim)
        self.nope = self.qk = Axis("nope", config.qk_nope_head_dim)
        self.kv_lora = self.kv_row = Axis("kv_lora", config.kv_lora_rank)
        self.rope: Axis | None = None
        if rope:
            self.qk = Axis("qk", config.qk_head_dim)
            self.kv_row = Axis("kv_row", config.cache_row)
            self.rope = Axis("rope", config.qk_rope_head_dim)

    def build(self, scheme: str) -> None:
        x = self.add(Input(name="x", type=TensorType((self.hidden,))))
        if scheme in {"mha", "gqa"}:
            if scheme == "gqa":
                heads = self.config.num_attention_heads
                group = Axis("group", kv_groups(heads))
                self.heads = (group, Axis("member", heads // kv_groups(heads)))
                self.kv_heads = (group,)
            self.multi_head(x)
            return
        query = self.query_input(x)
        if scheme in {"absorb", "naive"}:
            q_nope, q_rope = self.query(query)
        else:
            q_lat, q_rope = self.merged_query(query, precomputed=scheme == "reuse")
        c_kv, k_rope = self.latent_cache(x)
        if scheme == "absorb":
            q_lat = self.matmul("q_lat", (*self.heads, self.kv_lora), q_nope, self.w_uk(), "uk")
        if scheme == "naive":
            rows = (CONTEXT, *self.heads)
            keys = self.matmul("keys", (*rows, self.nope), c_kv, self.w_uk(), "uk")
            probabilities = self.probabilities(q_nope, keys, q_rope, k_rope)
            values = self.matmul("values", (*rows, self.v), c_kv, self.w_uv(), "uv")
            o = self.matmul("o", (*self.heads, self.v), probabilities, values, "attention")
        else:
            probabilities = self.probabilities(q_lat, c_kv, q_rope, k_rope)
            latent = (*self.heads, self.kv_lora)
            ctx = self.matmul("ctx", latent, probabilities, c_kv, "attention")
            o = self.matmul("o", (*self.heads, self.v), ctx, self.w_uv(), "uv")
        self.output(o)

    def multi_head(self, x: Node) -> None:
        projections = {}
        for name, heads, axis, phase in (
            ("q", self.heads, self.qk, "q"),
            ("k", self.kv_heads, self.qk, "kv"),
            ("v", self.kv_heads, self.v, "kv"),
        ):
            weight = self.weight(f"W_{name.upper()}", *heads, axis, self.hidden)
            projections[name] = self.matmul(name, (*heads, axis), x, weight, phase)
        q_nope, q_rope = self.split_heads(projections["q"], "q")
        k_nope, k_rope = self.split_heads(projections["k"], "k")
        keys, values = self.cache(k_nope), self.cache(projections["v"])
        rotated = k_rope and self.cache(k_rope)
        probabilities = self.probabilities(q_nope, keys, q_rope, rotated)
        self.output(self.matmul("o", (*self.heads, self.v), probabilities, values, "attention"))

    def query_input(self, x: Node) -> Node:
        """Add the query's compression, if there is one."""
        if self.config.q_lora_rank is None:
            return x
        q_lora = Axis("q_lora", self.config.q_lora_rank)
        w_dq = self.weight("W_DQ", q_lora, self.hidden)
        return self.norm("c_q", self.matmul("q_down", (q_lora,), x, w_dq, "q_a"), "g_q")

    def query(self, c_q: Node) -> tuple[Node, Node | None]:
        w_uq = self.weight("W_UQ", *self.heads, self.qk, *c_q.type.axes)
        q = self.matmul("q", (*self.heads, self.qk), c_q, w_uq, self.query_phase)
        return self.split_heads(q, "q")

    def merged_query(self, c_q: Node, *, precomputed: bool) -> tuple[Node, Node | None]:
        """Add the query in latent space through the product of W_UK and W_UQ."""
        w_uq = self.weight("W_UQ", *self.heads, self.qk, *c_q.type.axes)
        w_nope, w_rope = self.split(w_uq, "W_UQ_nope", "W_UQ_rope")
        merged = self.add(
            MatMul(
                name="W_UKQ",
                type=TensorType(
                    (*self.heads, self.kv_lora, *c_q.type.axes),
                    Role.WEIGHT if precomputed else Role.ACTIVATION,
                ),
                inputs=(self.w_uk().name, w_nope.name),
                phase=None if precomputed else "uk",
            )
        )
        q_rope = None
        if self.rope is not None and w_rope is not None:
            q_axes = (*self.heads, self.rope)
            q_rope = self.rotate(
                "q_rope", self.matmul("q_pe", q_axes, c_q, w_rope, self.query_phase)
            )
        q_lat = self.matmul("q_lat", (*self.heads, self.kv_lora), c_q, merged, "uk")
        return q_lat, q_rope

    def latent_cache(self, x: Node) -> tuple[Node, Node | None]:
        w_dkv = self.weight("W_DKV", self.kv_row, self.hidden)
        kv = self.matmul("kv", (self.kv_row,), x, w_dkv, "kv_a")
        latent, k_pe = self.split(kv, "kv_latent", "k_pe")
        c_kv = self.cache(self.norm("c_kv", latent, "g_kv"))
        return c_kv, k_pe and self.cache(self.rotate("k_rope", k_pe))

    def probabilities(
        self, query: Node, keys: Node, q_rope: Node | None, k_rope: Node | None
    ) -> Node:
        """Add both parts of the scores, from unrotated and rotated channels, and the softmax."""
        axes = (*self.heads, CONTEXT)
        scores: Node = self.matmul("scores_nope", axes, query, keys, "attention")
        if q_rope is not None and k_rope is not None:
            rotated = self.matmul("scores_rope", axes, q_rope, k_rope, "attention")
            inputs = (scores.name, rotated.name)
            scores = self.add(Add(name="scores", type=TensorType(axes), inputs=inputs))
        return self.add(
            Softmax(
                name="probabilities",
                type=TensorType(axes),
                inputs=(scores.name,),
                scale=self.config.softmax_scale,
            )
        )

    def output(self, o: Node) -> None:
        w_o = self.weight("W_O", self.hidden, *self.heads, self.v)
        self.matmul("y", (self.hidden,), o, w_o, "o")

    @property
    def query_phase(self) -> str:
        return "q" if self.config.q_lora_rank is None else "q_b"

    def w_uk(self) -> Node:
        return self.weight("W_UK", *self.heads, self.nope, self.kv_lora)

    def w_uv(self) -> Node:
        return self.weight("W_UV", *self.heads, self.v, self.kv_lora)

    def split(self, whole: Node, nope_name: str, rope_name: str) -> tuple[Node, Node | None]:
        """Split the channels without rotation off those with; a latent counts as the former."""
        if self.rope is None:
            return whole, None
        part = self.kv_lora if self.kv_row in whole.type.axes else self.nope
        axis = whole.type.axes.index(self.kv_row if part is self.kv_lora else self.qk)
        plain = self.slice(nope_name, whole, axis, 0, part)
        return plain, self.slice(rope_name, whole, axis, part.size or 0, self.rope)

    def split_heads(self, whole: Node, name: str) -> tuple[Node, Node | None]:
        """Split a query or key into its channels without and with rotation; rotate the latter."""
        nope, pe = self.split(whole, f"{name}_nope", f"{name}_pe")
        return nope, pe and self.rotate(f"{name}_rope", pe)

    def add(self, node: _N) -> _N:
        self.nodes.append(node)
        return node

    def weight(self, name: str, *axes: Axis) -> Node:
        return self.add(Weight(name=name, type=TensorType(axes, Role.WEIGHT)))

    def matmul(self, name: str, axes: tuple[Axis, ...], a: Node, b: Node, phase: str) -> Node:
        made = TensorType(axes)
        return self.add(MatMul(name=name, type=made, inputs=(a.name, b.name), phase=phase))

    def norm(self, name: str, operand: Node, gain: str) -> Node:
        inputs = (operand.name, self.weight(gain, *operand.type.axes).name)
        eps = self.config.inner_norm_eps
        return self.add(RmsNorm(name=name, type=operand.type, inputs=inputs, eps=eps))

    def rotate(self, name: str, operand: Node) -> Node:
        interleaved = self.config.rope_interleave
        inputs = (operand.name,)
        return self.add(Rope(name=name, type=operand.type, inputs=inputs, interleaved=interleaved))

    def slice(self, name: str, operand: Node, axis: int, start: int, part: Axis) -> Node:
        axes = list(operand.type.axes)
        axes[axis] = part
        made = TensorType(tuple(axes), operand.type.role)
        return self.add(Slice(name=name, type=made, inputs=(operand.name,), axis=axis, start=start))

    def cache(self, row: Node) -> Node:
        made = TensorType((CONTEXT, *row.type.axes), Role.CACHE)
        return self.add(CacheAppend(name=f"{row.name}_cache", type=made, inputs=(row.name,)))
