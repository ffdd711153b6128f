"""The decode graph as a drawing: nodes in layers, from the hidden state down to the output."""

from mla_hw.graph import DecodeGraph
from mla_hw.graph.nodes import MatMul, Node, Role
from mla_hw.html.layers import Layout, lay_out
from mla_hw.html.markup import Raw, Section, element, join, number, paragraph
from mla_hw.html.palette import phase_colour

__all__ = ["graph_section"]

_HEIGHT, _ROW, _MARGIN = 52.0, 88.0, 14.0
#: Pixels of a character: of the name, and of the smaller lines.
_NAME, _LINE = 7.4, 6.1
_PADDING = 22.0
#: Of the drawing on a page that is wide enough.
_SCALE = 1.15
_ROLES = {
    Role.WEIGHT: ("weight", "weights, in memory"),
    Role.CACHE: ("cache", "cache, in memory: grows by one row per token"),
    Role.ACTIVATION: ("activation", "activations, on chip"),
}


def graph_section(graph: DecodeGraph, cached: int) -> Section:
    """Draw a graph.

    Parameters
    ----------
    graph : DecodeGraph
    cached : int
        Tokens that multiply-accumulates are counted for, the own one included.
    """
    edges = [(operand, node.name) for node in graph.nodes for operand in dict.fromkeys(node.inputs)]
    widths = {node.name: _width(node) for node in graph.nodes}
    layout = lay_out(_layers(graph), edges, widths)
    height = _ROW * max(layout.layer.values()) + _HEIGHT + 2 * _MARGIN
    width = layout.width + 2 * _MARGIN
    lines = join(_edge(layout, start, end, graph[start].type.role) for start, end in edges)
    boxes = join(_box(graph, node, layout, widths[node.name], cached) for node in graph.nodes)
    drawing = element(
        "svg",
        join((lines, boxes)),
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        style=f"max-width:{_SCALE * width:.0f}px",
        class_="graph",
        role="img",
        aria_label=f"Decode graph of the scheme {graph.scheme}: {len(graph.nodes)} nodes",
    )
    intro = paragraph(
        f"Decoding of one token by the scheme {graph.scheme}. A box is an operation and the tensor "
        "that it makes, with its axes; products carry the colour of their phase. Pointing at one "
        f"shows its multiply-accumulates at {number(cached)} tokens."
    )
    return Section("graph", "Graph", join((intro, _legend(graph), drawing)))


def _layers(graph: DecodeGraph) -> dict[str, int]:
    """Put what is computed as early as it can be, and weights above their first user."""
    layer: dict[str, int] = {}
    stored = {node.name for node in graph.nodes if node.type.role is Role.WEIGHT}
    for node in graph.nodes:
        if node.name not in stored:
            before = [layer[name] for name in node.inputs if name not in stored]
            layer[node.name] = 1 + max(before, default=-1)
    for node in reversed(graph.nodes):
        if node.name in stored:
            users = [layer[user.name] for user in graph.nodes if node.name in user.inputs]
            layer[node.name] = min(users) - 1
    first = min(layer.values())
    return {node.name: layer[node.name] - first for node in graph.nodes}


def _lines(node: Node) -> tuple[str, str]:
    phase = node.phase if isinstance(node, MatMul) else None
    operation = type(node).__name__
    detail = phase or ("precomputed" if isinstance(node, MatMul) else "")
    return f"{operation} {detail}".rstrip(), str(node.type)


def _width(node: Node) -> float:
    lines = max(map(len, _lines(node)))
    return max(len(node.name) * _NAME, lines * _LINE) + _PADDING


def _box(graph: DecodeGraph, node: Node, layout: Layout, width: float, cached: int) -> Raw:
    left = layout.centre[node.name] - width / 2 + _MARGIN
    top = layout.layer[node.name] * _ROW + _MARGIN
    operation, axes = _lines(node)
    kind = _ROLES[node.type.role][0]
    macs = graph.node_macs(node.name, cached)
    facts = [node.name, operation, node.detail, axes, f"{number(macs)} MAC" if macs else ""]
    parts = [
        element("title", "\n".join(filter(None, facts))),
        element("rect", width=f"{width:.1f}", height=_HEIGHT, rx=6),
    ]
    if isinstance(node, MatMul) and node.phase:
        colour = f"fill:var({phase_colour(node.phase)})"
        parts.append(element("rect", width=5, height=_HEIGHT, rx=2.5, style=colour, class_="phase"))
    middle = f"{width / 2:.1f}"
    for line, height, style in ((node.name, 17, "name"), (operation, 31, ""), (axes, 44, "")):
        parts.append(element("text", line, x=middle, y=height, class_=style or None))
    return element(
        "g", join(parts), class_=f"node {kind}", transform=f"translate({left:.1f} {top:.1f})"
    )


def _edge(layout: Layout, start: str, end: str, role: Role) -> Raw:
    """Draw a curve from the lower side of a node through the layers to the upper side of another.

    Where it crosses a layer it runs straight down between the nodes.
    """
    x = layout.centre[start] + _MARGIN
    y = layout.layer[start] * _ROW + _HEIGHT + _MARGIN
    path = [f"M{x:.1f} {y:.1f}"]
    places = [*layout.bends[start, end], layout.centre[end]]
    for step, place in enumerate(places, layout.layer[start] + 1):
        target, top = place + _MARGIN, step * _ROW + _MARGIN
        half = (y + top) / 2
        path.append(f"C{x:.1f} {half:.1f} {target:.1f} {half:.1f} {target:.1f} {top:.1f}")
        x, y = target, top
        if step < layout.layer[end]:
            y = top + _HEIGHT
            path.append(f"V{y:.1f}")
    return element("path", d="".join(path), class_=f"edge {_ROLES[role][0]}")


def _legend(graph: DecodeGraph) -> Raw:
    roles = join(
        element("li", join((element("span", class_=f"swatch {kind}"), text)))
        for kind, text in _ROLES.values()
    )
    phases = join(
        element(
            "li",
            join((
                element("span", class_="swatch", style=f"background:var({phase_colour(name)})"),
                name,
            )),
        )
        for name in graph.phases
    )
    return element("ul", join((roles, phases)), class_="legend")
