from dataclasses import replace

import pytest

from mla_hw.config import ModelConfig
from mla_hw.errors import GraphError
from mla_hw.graph import (
    MLA_SCHEMES,
    PHASES,
    SCHEMES,
    DecodeGraph,
    build_graph,
    kv_groups,
    verify_graph,
)
from mla_hw.graph.nodes import CONTEXT, Axis, Input, MatMul, Role, Slice, TensorType, Weight
from mla_hw.presets import PRESETS
from tests.model.checkpoints import TINY

CONFIG = ModelConfig.from_hf(TINY)
V3 = PRESETS["deepseek-v3"].config

ABSORB_TEXT = """\
x              Input                                   [hidden 20]
W_DQ           Weight                                  [q_lora 14, hidden 20]
q_down         MatMul       x, W_DQ                    [q_lora 14]                   phase q_a
g_q            Weight                                  [q_lora 14]
c_q            RmsNorm      q_down, g_q                [q_lora 14]                   eps 1e-06
W_UQ           Weight                                  [head 3, qk 10, q_lora 14]
q              MatMul       c_q, W_UQ                  [head 3, qk 10]               phase q_b
q_nope         Slice        q                          [head 3, nope 6]              0 to 6
q_pe           Slice        q                          [head 3, rope 4]              6 to 10
q_rope         Rope         q_pe                       [head 3, rope 4]              interleaved
W_DKV          Weight                                  [kv_row 14, hidden 20]
kv             MatMul       x, W_DKV                   [kv_row 14]                   phase kv_a
kv_latent      Slice        kv                         [kv_lora 10]                  0 to 10
k_pe           Slice        kv                         [rope 4]                      10 to 14
g_kv           Weight                                  [kv_lora 10]
c_kv           RmsNorm      kv_latent, g_kv            [kv_lora 10]                  eps 1e-06
c_kv_cache     CacheAppend  c_kv                       [context, kv_lora 10]
k_rope         Rope         k_pe                       [rope 4]                      interleaved
k_rope_cache   CacheAppend  k_rope                     [context, rope 4]
W_UK           Weight                                  [head 3, nope 6, kv_lora 10]
q_lat          MatMul       q_nope, W_UK               [head 3, kv_lora 10]          phase uk
scores_nope    MatMul       q_lat, c_kv_cache          [head 3, context]             phase attention
scores_rope    MatMul       q_rope, k_rope_cache       [head 3, context]             phase attention
scores         Add          scores_nope, scores_rope   [head 3, context]
probabilities  Softmax      scores                     [head 3, context]             scale 0.316228
ctx            MatMul       probabilities, c_kv_cache  [head 3, kv_lora 10]          phase attention
W_UV           Weight                                  [head 3, v 5, kv_lora 10]
o              MatMul       ctx, W_UV                  [head 3, v 5]                 phase uv
W_O            Weight                                  [hidden 20, head 3, v 5]
y              MatMul       o, W_O                     [hidden 20]                   phase o"""


def test_text():
    assert str(build_graph(CONFIG)).splitlines() == ABSORB_TEXT.splitlines()


def test_equality():
    assert build_graph(CONFIG) == build_graph(CONFIG)
    assert hash(build_graph(CONFIG)) == hash(build_graph(CONFIG))
    assert build_graph(CONFIG) != build_graph(CONFIG, "naive")
    assert build_graph(CONFIG) != build_graph(replace(CONFIG, v_head_dim=6))
    assert build_graph(CONFIG) != CONFIG


def test_digraph_cannot_be_changed():
    with pytest.raises(Exception, match="Frozen graph"):
        build_graph(CONFIG).digraph.remove_node("y")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_phases_partition_the_work(scheme):
    for config in (CONFIG, replace(CONFIG, q_lora_rank=None)):
        graph = build_graph(config, scheme)
        assert graph.macs(17) == sum(graph.macs(17, phase) for phase in graph.phases)
        assert graph.macs(17) == sum(graph.node_macs(node.name, 17) for node in graph.nodes)
        assert all(graph.macs(17, phase) == 0 for phase in set(PHASES) - set(graph.phases))
    direct, compressed = ("q",), ("q_a", "q_b")
    rest = ("kv_a", "uk", "attention", "uv", "o")
    if scheme in MLA_SCHEMES:
        assert build_graph(CONFIG, scheme).phases == compressed + rest
        assert graph.phases == direct + rest
    else:
        assert graph.phases == ("q", "kv", "attention", "o")


def test_work_per_phase():
    """Every count of DeepSeek-V3 at 1024 earlier tokens, written out from its dimensions."""
    graph, context = build_graph(V3), 1025
    expected = {
        "q_a": 1536 * 7168,
        "q_b": 128 * 192 * 1536,
        "kv_a": 576 * 7168,
        "uk": 128 * 128 * 512,
        "attention": 128 * (2 * 512 + 64) * context,
        "uv": 128 * 128 * 512,
        "o": 7168 * 128 * 128,
    }
    assert {phase: graph.macs(context, phase) for phase in graph.phases} == expected
    for phase, macs in expected.items():
        assert graph.weight_elements(phase) == (0 if phase == "attention" else macs)
    assert graph.weight_bytes(element_bytes=2) == 2 * graph.weight_elements()
    assert graph.cache_elements(context) == graph.cache_elements(context, "attention")
    assert graph.cache_elements(context) == 576 * context


def test_work_of_the_schemes():
    """Differences between the schemes, from the formulas of arXiv 2506.02523."""
    context = 1025
    graphs = {scheme: build_graph(V3, scheme) for scheme in SCHEMES}
    macs = {scheme: graph.macs(context) for scheme, graph in graphs.items()}
    read = {scheme: graph.weight_elements() for scheme, graph in graphs.items()}
    heads, q_lora, kv_lora, nope, v = 128, 1536, 512, 128, 128
    fixed = heads * q_lora * nope * kv_lora
    merged = heads * q_lora * kv_lora
    assert macs["recompute"] - macs["reuse"] == fixed == 12_884_901_888
    factors = heads * (q_lora * nope + nope * kv_lora)
    assert macs["reuse"] - macs["absorb"] == merged - factors
    assert read["reuse"] - read["absorb"] == merged - factors
    assert read["recompute"] == read["absorb"] == read["naive"]
    expanded = heads * (nope + v) * kv_lora * (context - 1)
    shorter = heads * (2 * kv_lora - nope - v) * context
    assert macs["naive"] - macs["absorb"] == expanded - shorter
    assert read["mha"] == heads * 7168 * (2 * (nope + 64) + 2 * v)
    assert macs["mha"] == read["mha"] + heads * (nope + 64 + v) * context
    assert graphs["mha"].cache_elements(context) == heads * (nope + 64 + v) * context
    groups = 8
    assert read["gqa"] == 7168 * ((nope + 64 + v) * heads + (nope + 64 + v) * groups)
    assert macs["gqa"] == read["gqa"] + heads * (nope + 64 + v) * context
    assert graphs["gqa"].cache_elements(context) == groups * (nope + 64 + v) * context
    for scheme in MLA_SCHEMES:
        assert graphs[scheme].cache_elements(context) == 576 * context


def test_groups_divide_the_heads():
    assert [kv_groups(heads) for heads in (128, 20, 40, 7, 1, 11)] == [8, 5, 8, 7, 1, 1]


def test_unknown_names():
    graph = build_graph(CONFIG)
    with pytest.raises(GraphError, match=r"scheme must be one of absorb, reuse, .* not fast"):
        build_graph(CONFIG, "fast")
    with pytest.raises(GraphError, match=r"phase must be one of q, .* not qkv"):
        graph.macs(1, "qkv")
    with pytest.raises(GraphError, match="absorb: no node is named z"):
        graph["z"]


def changed(name, **changes):
    """Return the nodes of the absorb graph with one of them changed."""
    return [replace(n, **changes) if n.name == name else n for n in build_graph(CONFIG).nodes]


def made(*axes, role=Role.ACTIVATION):
    return TensorType(axes, role)


HEAD, KV_LORA = Axis("head", 3), Axis("kv_lora", 10)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (changed("x", type=made(Axis("hidden", 21))), "W_DQ .*hidden has size 21 elsewhere"),
        (changed("x", type=made(Axis("hidden", 0))), "axis hidden has no size"),
        (changed("x", type=made(Axis("hidden", None))), "axis hidden has no size"),
        (changed("W_O", type=made(HEAD, HEAD, role=Role.WEIGHT)), "an axis occurs twice"),
        (changed("x", type=made(Axis("hidden", 20), role=Role.CACHE)), "an input is an activation"),
        (changed("W_DQ", type=made(HEAD)), "a weight must have that role"),
        (changed("q_lat", type=made(HEAD)), "axes kv_lora are in one operand only"),
        (changed("q_lat", type=made(HEAD, KV_LORA, Axis("z", 2))), "axes z are in no operand"),
        (
            changed("q_lat", type=made(HEAD, Axis("nope", 6), KV_LORA)),
            "nothing is summed over",
        ),
        (changed("q_lat", inputs=("q_nope",)), "MatMul takes 2 operands, not 1"),
        (changed("q_lat", phase="fast"), "phase must be one of"),
        (changed("q_lat", phase=None), "a phase if and only if"),
        (
            changed("q_lat", phase=None, type=made(HEAD, KV_LORA, role=Role.WEIGHT)),
            "only weights can be multiplied ahead",
        ),
        (changed("q_lat", type=made(HEAD, KV_LORA, role=Role.CACHE)), "a product is no cache"),
        (changed("q_rope", inputs=("q_nope",)), "operand has axes"),
        (changed("q_nope", start=5), "takes 6 from 5 out of 10"),
        (changed("q_nope", axis=2), "cannot be sliced so"),
        (changed("q_nope", axis=0), "other axes of .* must stay"),
        (changed("q_nope", inputs=("W_UQ",)), "a slice keeps the role"),
        (changed("c_q", inputs=("q_down", "W_DQ")), "must be a weight over the last axis"),
        (changed("c_kv_cache", type=made(CONTEXT, KV_LORA)), "a cache is made from an activation"),
        (changed("c_kv_cache", inputs=("k_pe",)), "must be context and the row"),
        (changed("scores", inputs=("scores_nope", "q_lat")), "summands have axes"),
        (changed("probabilities", inputs=("q_lat",), type=made(HEAD, KV_LORA)), "last axis must"),
        (changed("probabilities", inputs=("q_lat",)), "operand has axes"),
        (changed("c_q", type=made(Axis("q_lora", 14), role=Role.CACHE)), "must be an activation"),
        (build_graph(CONFIG).nodes[:-1], "there is no result y"),
        (
            [*build_graph(CONFIG).nodes, Weight(name="W", type=made(HEAD, role=Role.WEIGHT))],
            "W not used by y",
        ),
    ],
)
def test_verification(nodes, message):
    with pytest.raises(GraphError, match=message):
        verify_graph(DecodeGraph.from_nodes("absorb", CONFIG, nodes))


def test_slice_of_the_context_is_refused():
    axes = (CONTEXT, KV_LORA)
    nodes = list(build_graph(CONFIG).nodes)
    place = next(i for i, node in enumerate(nodes) if node.name == "c_kv_cache") + 1
    part = Slice(
        name="part", type=made(*axes, role=Role.CACHE), inputs=("c_kv_cache",), axis=0, start=0
    )
    with pytest.raises(GraphError, match=r"part .*takes None from 0 out of None"):
        verify_graph(DecodeGraph.from_nodes("t", CONFIG, [*nodes[:place], part, *nodes[place:]]))


def test_order_and_names():
    x = Input(name="x", type=made(HEAD))
    with pytest.raises(GraphError, match="two nodes are named x"):
        DecodeGraph.from_nodes("t", CONFIG, [x, x])
    late = MatMul(name="y", type=made(HEAD), inputs=("x", "w"), phase="o")
    with pytest.raises(GraphError, match="y uses w, which is not made yet"):
        DecodeGraph.from_nodes("t", CONFIG, [x, late])
