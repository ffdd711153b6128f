"""What the core takes of the device: estimated, and counted where synthesis has run."""

from statistics import median

from mla_hw.html.facts import Facts, Resource
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

__all__ = ["resources_section"]


def resources_section(facts: Facts) -> Section:
    """Return bars and tables of resources and clocks."""
    counted = any(item.counted is not None for item in facts.resources)
    how = (
        "Counted by nextpnr after packing, with what is around the core: host link, memory and "
        "clocks, or with synth --core an adapter."
        if counted
        else "Not synthesised yet: mla-hw synth counts them."
    )
    parts: list[object] = [
        paragraph(
            f"{facts.board.device} of {facts.board.name}. Multipliers and block RAMs are counted "
            "from the elaborated design, look-up tables are estimated within 10 %; flip-flops are "
            f"not estimated. {how}"
        ),
        element("div", join(map(_bar, facts.resources)), class_="bars"),
        _table(facts),
        _clocks(facts),
    ]
    return Section("resources", "Resources", join(parts))


def _bar(item: Resource) -> Raw:
    used = item.estimated if item.counted is None else item.counted
    if used is None:
        return Raw("")
    kind = "over" if used > item.available else "busy"
    text = f"{item.name}: {number(used)} of {number(item.available)}"
    filled = bar([(text, min(used, item.available), kind)], item.available, text)
    return element("div", join((element("b", item.name), filled)))


def _table(facts: Facts) -> Raw:
    columns = (
        Column("resource", "text"),
        Column("estimated"),
        Column("share"),
        Column("counted"),
        Column("share"),
        Column("available"),
    )
    return table(
        columns,
        [
            (
                item.name,
                number(item.estimated),
                _share(item.estimated, item.available),
                number(item.counted),
                _share(item.counted, item.available),
                number(item.available),
            )
            for item in facts.resources
        ],
    )


def _share(used: int | None, available: int) -> str:
    return "" if used is None else share(used / available)


def _clocks(facts: Facts) -> Raw:
    wanted = facts.board.core_mhz
    if not facts.fmax_mhz:
        return paragraph(
            f"The board's clock for the core is {wanted:g} MHz; which one it reaches, "
            "mla-hw synth --place says."
        )
    rows = [
        (str(seed), number(clock, 2), f"{clock - wanted:+.2f}".replace("-", "−"))
        for seed, clock in facts.fmax_mhz.items()
    ]
    values = facts.fmax_mhz.values()
    return table(
        (Column("seed", "text"), Column("MHz reached"), Column(f"over the board's {wanted:g} MHz")),
        rows,
        total=("median", number(median(values), 2), ""),
        caption="Clock after placement and routing",
    )
