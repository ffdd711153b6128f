"""Work for any number of tokens, sequences and rows, against sums over single steps."""

import pytest

from mla_hw.analysis.baselines import ANALYSIS_SCHEMES, analysis_graph, parameters, scaled_mha
from mla_hw.errors import ConfigError
from mla_hw.graph import SCHEMES, Count, StepShape, build_graph, graph_work, product_counts
from mla_hw.presets import PRESETS

V3 = PRESETS["deepseek-v3"].config
V2_LITE = PRESETS["deepseek-v2-lite"].config


def total(work, what, shape):
    return sum(getattr(phase, what).at(shape) for phase in work)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("config", [V3, V2_LITE], ids=["v3", "v2-lite"])
def test_one_token_is_what_the_graph_counts(config, scheme):
    graph = build_graph(config, scheme)
    work = graph_work(graph)
    assert tuple(phase.phase for phase in work) == graph.phases
    shape = StepShape(context=1025)
    for phase in work:
        assert phase.macs.at(shape) == graph.macs(1025, phase.phase)
        assert phase.weights == graph.weight_elements(phase.phase)
        assert phase.weight_outputs == graph.weight_outputs(phase.phase)
    assert sum(phase.weights for phase in work) == graph.weight_elements()
    assert total(work, "cache_read", shape) == graph.cache_elements(1025)
    assert total(work, "cache_written", shape) == graph.cache_elements(1)
    assert total(work, "activations", shape) == 2 * config.hidden_size
    counts = product_counts(graph)
    assert sum(count.at(shape) for count in counts.values()) == graph.macs(1025)


@pytest.mark.parametrize("scheme", ["absorb", "reuse", "mha", "gqa"])
def test_causal_prefill_is_decoding_token_by_token(scheme):
    """Holds for schemes that do nothing per row or per step."""
    graph = build_graph(V2_LITE, scheme)
    work = graph_work(graph)
    steps = sum(graph.macs(context) for context in range(1, 38))
    assert total(work, "macs", StepShape(context=37, tokens=37)) == steps
    assert total(work, "macs", StepShape(context=37, tokens=37, batch=3)) == 3 * steps


def test_what_grows_with_what():
    """What is made of weights alone is made once, what is made of the cache once per row."""
    merged = product_counts(build_graph(V3, "recompute"))["W_UKQ"]
    assert merged == Count(once=128 * 1536 * 128 * 512)
    naive = product_counts(build_graph(V3, "naive"))
    assert naive["keys"] == Count(per_row=128 * 128 * 512)
    assert naive["scores_rope"] == Count(per_pair=128 * 64)
    assert naive["y"] == Count(per_token=128 * 128 * 7168)
    shape = StepShape(context=9, tokens=2, batch=3)
    assert (shape.rows, shape.all_tokens, shape.pairs) == (27, 6, 3 * (8 + 9))
    assert StepShape(context=9, tokens=2, batch=3, causal=False).pairs == 3 * 18
    count = Count(once=1000, per_token=100, per_row=10, per_pair=1)
    assert count.at(shape) == 1000 + 600 + 270 + 51


def test_vector_operations_and_scales():
    shape = StepShape(context=100)
    work = {phase.phase: phase for phase in graph_work(build_graph(V3))}
    assert work["q_a"].vector_operations.at(shape) == 2 * 1536
    assert work["q_b"].vector_operations.at(shape) == 2 * 128 * 64
    assert work["kv_a"].vector_operations.at(shape) == 2 * (512 + 64)
    assert work["attention"].vector_operations.at(shape) == 3 * 128 * 100
    # A latent and its key have one scale; of other attention keys and values have one each.
    for scheme, scales in {"absorb": 1, "naive": 1, "mha": 2 * 128, "gqa": 2 * 8}.items():
        work = graph_work(build_graph(V3, scheme))
        assert total(work, "scales_read", shape) == 100 * scales
        assert total(work, "scales_written", shape) == scales


@pytest.mark.parametrize(
    ("scheme", "outputs"),
    [
        ("absorb", {"q_b": 128 * 192, "uk": 128 * 512, "uv": 128 * 128}),
        ("reuse", {"q_b": 128 * 64, "uk": 128 * 512, "uv": 128 * 128}),
        # The product of the weights has one constant for all of it, and so have keys and values.
        ("recompute", {"q_b": 128 * 64, "uk": 128 * 512, "uv": 128 * 128}),
        ("naive", {"q_b": 128 * 192, "uk": 0, "uv": 0}),
        ("mha", {"q": 128 * 192, "kv": 128 * 320}),
    ],
)
def test_requantised_sums(scheme, outputs):
    graph = build_graph(V3, scheme)
    for phase, count in {**outputs, "attention": 0, "o": 7168}.items():
        assert graph.weight_outputs(phase) == count


def test_weights_that_tokens_share():
    """What is multiplied with weights or cached rows is read once, whatever the tokens."""
    work = {phase.phase: phase for phase in graph_work(build_graph(V3, "recompute"))}
    assert work["uk"].weights == 128 * 128 * (512 + 1536)
    assert work["uk"].streamed_weights == 0
    assert work["o"].streamed_weights == work["o"].weights == 128 * 128 * 7168
    naive = {phase.phase: phase for phase in graph_work(build_graph(V3, "naive"))}
    assert naive["uv"].streamed_weights == 0
    for phase in graph_work(build_graph(V3)):
        assert phase.streamed_weights == phase.weights


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"context": 0}, "context must be a positive integer, not 0"),
        ({"context": 4, "tokens": 5}, "tokens must be at most context = 4, not 5"),
        ({"context": 4, "batch": -1}, "batch must be a positive integer, not -1"),
    ],
)
def test_impossible_shapes(shape, message):
    with pytest.raises(ConfigError, match=message):
        StepShape(**shape)


def test_scaled_multi_head_attention():
    """MHA_s of arXiv 2506.02523, Table 1; and never more parameters than MLA."""
    scaled = scaled_mha(V3, rope=False)
    assert (scaled.hidden_size, scaled.qk_nope_head_dim, scaled.v_head_dim) == (4363, 77, 77)
    assert parameters(analysis_graph(V3, "mha-scaled", rope=False)) == 172_006_912
    for preset in PRESETS.values():
        sizes = {s: parameters(analysis_graph(preset.config, s)) for s in ANALYSIS_SCHEMES}
        assert 0.92 * sizes["absorb"] < sizes["mha-scaled"] <= sizes["absorb"], preset.name


def test_unknown_scheme():
    with pytest.raises(ConfigError, match=r"--schemes: must be of .* not 'mqa' \(did you mean"):
        analysis_graph(V3, "mqa")
