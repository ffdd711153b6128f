"""A report's page, read as a browser would."""

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

__all__ = ["ReadPage", "plain", "read_page"]


@dataclass
class ReadPage(HTMLParser):
    """Sections with their text and tables; data and attributes of the elements."""

    sections: dict[str, str] = field(default_factory=dict)
    headings: dict[str, str] = field(default_factory=dict)
    tables: dict[str, list[list[list[str]]]] = field(default_factory=dict)
    data: dict[str, object] = field(default_factory=dict)
    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._section = self._open = ""
        self._script = ""

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        self._open = tag
        if tag == "section":
            self._section = attributes["id"]
            self.sections[self._section] = self.headings[self._section] = ""
            self.tables[self._section] = []
        elif tag == "table":
            self.tables[self._section].append([])
        elif tag == "tr":
            self.tables[self._section][-1].append([])
        elif tag in ("td", "th"):
            self.tables[self._section][-1][-1].append("")
        elif tag == "script":
            self._script = attributes.get("id") or ""

    def handle_endtag(self, tag):
        if tag == "section":
            self._section = ""
        if tag in ("td", "th", "h2", "script"):
            self._open = ""

    def handle_data(self, data):
        if self._open == "script":
            if self._script:
                self.data[self._script] = json.loads(data)
            return
        if not self._section:
            return
        self.sections[self._section] += data
        if self._open == "h2":
            self.headings[self._section] += data
        tables = self.tables[self._section]
        if self._open in ("td", "th", "code") and tables and tables[-1]:
            tables[-1][-1][-1] += data

    def table(self, section: str, head: str) -> dict[str, dict[str, str]]:
        """Return the first table of a section whose first column is so called, by row and column.

        A column whose title is there twice keeps the later one, its first with a ``1`` behind.
        """
        for rows in self.tables[section]:
            titles = [
                f"{title}1" if title in rows[0][place + 1 :] else title
                for place, title in enumerate(rows[0])
            ]
            if titles[0] == head:
                return {row[0]: dict(zip(titles, row, strict=True)) for row in rows[1:]}
        raise AssertionError(f"no table {head} in {section}")


def read_page(path: Path) -> ReadPage:
    page = ReadPage()
    page.feed(path.read_text(encoding="utf-8"))
    page.close()
    return page


def plain(number: str) -> float:
    """Read a number of the page."""
    return float(number.replace("\u202f", "").removesuffix("%").replace("−", "-"))
