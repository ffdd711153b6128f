"""The drawing has every node and edge of the graph, in layers that do not overlap."""

import re
from itertools import pairwise

import pytest

from mla_hw.graph import MLA_SCHEMES, build_graph
from mla_hw.html.graph_drawing import _layers, _width, graph_section
from mla_hw.html.layers import GAP, lay_out
from tests.reference_cases import SMALL_CASES, load_case

CASES = [(case, scheme) for case in SMALL_CASES for scheme in MLA_SCHEMES]


def graph_of(case, scheme):
    return build_graph(load_case(case).config, scheme)


def layout_of(graph):
    edges = [(name, node.name) for node in graph.nodes for name in dict.fromkeys(node.inputs)]
    widths = {node.name: _width(node) for node in graph.nodes}
    return lay_out(_layers(graph), edges, widths), edges, widths


@pytest.mark.parametrize(("case", "scheme"), CASES)
def test_layers(case, scheme):
    layout, edges, widths = layout_of(graph_of(case, scheme))
    assert min(layout.layer.values()) == 0
    for start, end in edges:
        assert layout.layer[start] < layout.layer[end]
        assert len(layout.bends[start, end]) == layout.layer[end] - layout.layer[start] - 1
    for layer in set(layout.layer.values()):
        names = sorted(
            (name for name, own in layout.layer.items() if own == layer), key=layout.centre.get
        )
        for left, right in pairwise(names):
            apart = layout.centre[right] - layout.centre[left]
            assert apart >= (widths[left] + widths[right]) / 2 + GAP - 1e-6
    for name, width in widths.items():
        assert layout.centre[name] - width / 2 >= -1e-6
        assert layout.centre[name] + width / 2 <= layout.width + 1e-6


@pytest.mark.parametrize(("case", "scheme"), CASES)
def test_long_edges_pass_between_nodes(case, scheme):
    layout, _, widths = layout_of(graph_of(case, scheme))
    for (start, _), bends in layout.bends.items():
        for layer, place in enumerate(bends, layout.layer[start] + 1):
            for name, own in layout.layer.items():
                if own == layer:
                    assert abs(place - layout.centre[name]) > widths[name] / 2


@pytest.mark.parametrize(("case", "scheme"), CASES)
def test_every_node_and_edge_is_drawn(case, scheme):
    graph = graph_of(case, scheme)
    body = graph_section(graph, 64).body
    assert re.findall(r'class="name">([^<]+)<', body) == [node.name for node in graph.nodes]
    kinds = re.findall(r'class="node (\w+)"', body)
    assert kinds == [node.type.role.value for node in graph.nodes]
    assert body.count('<path d="') == graph.digraph.number_of_edges()
    for kind in ("weight", "cache", "activation"):
        assert f'class="swatch {kind}"' in body
    for phase in graph.phases:
        assert f"var(--phase-{phase.replace('_', '-')})" in body


def test_work_is_that_of_the_graph():
    graph = graph_of("tiny-v3", "absorb")
    body = graph_section(graph, 64).body
    macs = graph.node_macs("scores_nope", 64)
    assert f"{macs:,} MAC".replace(",", "\u202f") in body


def test_the_drawing_is_always_the_same():
    graph = graph_of("tiny-v3", "reuse")
    assert graph_section(graph, 64) == graph_section(graph, 64)
