"""Small pieces of HTML. Everything that is not :class:`Raw` is escaped."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

__all__ = [
    "Column",
    "Raw",
    "Section",
    "bar",
    "data",
    "element",
    "join",
    "number",
    "paragraph",
    "share",
    "table",
    "text_of",
]

#: Between thousands, and between a number and its unit: narrow, and no line breaks there.
SPACE = "\u202f"


class Raw(str):
    """Text that is HTML already."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page.

    Parameters
    ----------
    name : str
        Its id.
    title : str
        Its heading.
    body : Raw
        What stands below the heading.
    """

    name: str
    title: str
    body: Raw


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; numbers are right-aligned, ``code`` is in a fixed-width font."""

    title: str
    kind: str = "number"


def text_of(value: object) -> Raw:
    """Escape a value, unless it is HTML already."""
    return value if isinstance(value, Raw) else Raw(escape(str(value)))


def join(parts: Iterable[object]) -> Raw:
    """Put values one after another, each escaped unless it is HTML already."""
    return Raw("".join(text_of(part) for part in parts))


def element(name: str, content: object = "", **attributes: object) -> Raw:
    """Return an element; a trailing ``_`` of an attribute's name is dropped, ``_`` within is ``-``.

    Attributes that are None are left out.
    """
    pairs = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Raw(f"<{name}{pairs}>{text_of(content)}</{name}>")


def paragraph(*parts: object, kind: str | None = None) -> Raw:
    """Return a paragraph."""
    return element("p", join(parts), class_=kind)


def number(value: float | None, decimals: int = 0) -> str:
    """Write a number with spaces between thousands; a dash for None."""
    return "–" if value is None else f"{value:,.{decimals}f}".replace(",", SPACE)


def share(value: float, decimals: int = 1) -> str:
    """Write a share in per cent."""
    return f"{100 * value:.{decimals}f}{SPACE}%"


def table(
    columns: Sequence[Column],
    rows: Iterable[Sequence[object]],
    *,
    total: Sequence[object] | None = None,
    caption: str | None = None,
) -> Raw:
    """Return a table.

    Parameters
    ----------
    columns : sequence of Column
    rows : iterable of sequence
        Cells in the order of the columns.
    total : sequence, optional
        Last row, set apart.
    caption : str, optional
        What stands above it.
    """
    head = join(element("th", column.title, class_=column.kind) for column in columns)
    body = join(_row(columns, row) for row in rows)
    foot = element("tfoot", _row(columns, total)) if total is not None else ""
    parts = [
        element("caption", caption) if caption else "",
        element("thead", element("tr", head)),
        element("tbody", body),
        foot,
    ]
    return element("div", element("table", join(parts)), class_="scroll")


def _row(columns: Sequence[Column], cells: Sequence[object]) -> Raw:
    pairs = zip(columns, cells, strict=True)
    return element("tr", join(element("td", cell, class_=column.kind) for column, cell in pairs))


def bar(parts: Iterable[tuple[str, float, str]], total: float, label: str) -> Raw:
    """Return a stacked bar.

    Parameters
    ----------
    parts : iterable of (str, float, str)
        Name, amount and CSS class of each.
    total : float
        Amount of the whole bar.
    label : str
        What it shows, for those who do not see it.
    """
    spans = join(
        element(
            "span",
            class_=f"part {kind}",
            style=f"width:{100 * amount / total:.4f}%",
            title=f"{name}: {share(amount / total)}",
        )
        for name, amount, kind in parts
        if amount > 0
    )
    return element("div", spans, class_="bar", role="img", aria_label=label)


def data(name: str, value: Any) -> Raw:
    """Embed a value as JSON for the page's script, by the id of its element."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    # No text can end the element or open a comment.
    text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Raw(f'<script type="application/json" id="{escape(name)}">{text}</script>')
