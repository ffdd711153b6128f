"""Where everything lies in memory."""

from collections import Counter

from mla_hw.html.facts import Facts
from mla_hw.html.markup import (
    Column,
    Raw,
    Section,
    bar,
    element,
    join,
    number,
    paragraph,
    share,
    table,
)

__all__ = ["memory_section"]

_TENSORS = {
    "program": "instructions",
    "weights": "int8 weights, each tile with its requantise constants",
    "constants": "constants of the layer",
    "rope": "cosines and sines, a row per position",
    "x": "hidden state of the token, int16",
    "y": "output of the attention, int16",
    "cache": "latent and RoPE key of each token, with their scale",
}


def memory_section(facts: Facts) -> Section:
    """Return the regions as bar and table, the weights by projection, and the cache's growth."""
    design = facts.design
    regions, size = design.regions, design.memory.size
    kinds = {name: f"region{place}" for place, name in enumerate(regions)}
    parts = [(name, region.size, kinds[name]) for name, region in regions.items()]
    listed = ", ".join(f"{name} {number(region.size)}" for name, region in regions.items())
    legend = element(
        "ul",
        join(
            element("li", join((element("span", class_=f"swatch {kinds[name]}"), name)))
            for name in regions
        ),
        class_="legend",
    )
    rows = [
        (
            name,
            f"0x{region.offset:08x}",
            number(region.size),
            share(region.size / size),
            _TENSORS.get(name, ""),
        )
        for name, region in regions.items()
    ]
    columns = (
        Column("region", "text"),
        Column("offset", "code"),
        Column("bytes"),
        Column("share"),
        Column("holds", "text"),
    )
    total = ("all, aligned to bursts", "", number(size), "", _of_board(facts))
    return Section(
        "memory",
        "Memory map",
        join((
            paragraph(_cache(facts)),
            element("div", bar(parts, size, f"bytes of the regions: {listed}"), class_="bars"),
            legend,
            table(columns, rows, total=total),
            _projections(facts),
        )),
    )


def _of_board(facts: Facts) -> str:
    return f"of {number(facts.board.memory_bytes)} of the board's memory"


def _cache(facts: Facts) -> str:
    core, context = facts.design.core, facts.design.context
    text = (
        f"The cache grows by {number(core.row_bytes)} bytes per token of this layer: "
        f"{number(core.kv_lora_rank)} int8 elements of the latent, {number(core.qk_rope_head_dim)} "
        "of the RoPE key and the scale, in whole beats and words. It has room for "
        f"{number(context)} tokens"
    )
    if core.query_rows > 1 and not facts.design.memory.same_sequence:
        text += f" of each of {core.query_rows} sequences"
    return f"{text}."


def _projections(facts: Facts) -> Raw:
    sizes: Counter[str] = Counter()
    parts: Counter[str] = Counter()
    for tensor in facts.design.memory.tensors:
        sizes[tensor.projection] += tensor.size
        parts[tensor.projection] += 1
    return table(
        (Column("projection", "text"), Column("parts"), Column("bytes")),
        [(name, number(parts[name]), number(size)) for name, size in sizes.items()],
        total=("all", number(parts.total()), number(sizes.total())),
        caption="Weights in the order in which they are read",
    )
