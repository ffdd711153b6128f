"""Where the benchmarks put their figures: ``results.json`` and the tables of the README."""

import argparse
import json
import subprocess
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mla_hw.errors import MlaHwError
from mla_hw.markdown import markdown_table

__all__ = [
    "BOARDS",
    "BOARDS_PAGE",
    "COMPARISON",
    "LINE_WIDTH",
    "LITEDRAM",
    "MARKS",
    "OUTPUT",
    "README",
    "caption",
    "check_as_predicted",
    "commit",
    "grouped",
    "largest_difference",
    "markdown",
    "read_placements",
    "read_results",
    "say",
    "write_marked",
    "write_results",
]

OUTPUT = Path(__file__).parent / "results.json"
#: Of ``benchmarks/compare.py``, whose tools are no part of the default installation.
COMPARISON = OUTPUT.with_name("compare.json")
LINE_WIDTH = 120
_SEEDS = (1, 2, 3)
"""Of placements; figures are medians."""
README = Path(__file__).parents[1] / "README.md"
#: Of ``benchmarks/litedram.py``.
LITEDRAM = OUTPUT.with_name("litedram.json")
#: Of ``benchmarks/boards.py``, with the page of its tables.
BOARDS = README.with_name("boards") / "results.json"
BOARDS_PAGE = README.with_name("docs") / "boards.md"
#: Key of the figures in the results: mark of their table in the README.
MARKS: Mapping[str, str] = {
    "steps": "bench",
    "clocks": "fmax",
    "capacity": "capacity",
    "rows": "rows",
    "schemes": "schemes",
    "analysis": "analysis",
}


def commit(output: Path) -> str:
    """Return the commit that is measured; what the benchmarks write themselves does not count.

    Raises
    ------
    MlaHwError
        When other files differ from it and the figures would go to their usual place.
    """
    root = README.parent
    written = (README, OUTPUT, COMPARISON, LITEDRAM, BOARDS, BOARDS_PAGE)
    own = [f":(exclude){path.relative_to(root)}" for path in written]

    def git(*arguments: str) -> str:
        result = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, check=False, cwd=root
        )
        return result.stdout.strip()

    changed = git("status", "--porcelain", "--", ".", *own)
    if changed and output in {OUTPUT, COMPARISON, LITEDRAM, BOARDS}:
        raise MlaHwError(
            "figures are of a commit: commit what has changed, or give another --output"
        )
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + ("-dirty" if changed else "")


def check_as_predicted(name: str, instructions: Iterable[Mapping[str, Any]]) -> None:
    """Refuse a run whose instructions did not start and end as predicted.

    Raises
    ------
    MlaHwError
    """
    if cycles := largest_difference(instructions):
        raise MlaHwError(f"{name}: a start or end is {cycles} cycles off its prediction")


def caption(entries: Iterable[Mapping[str, Any]]) -> str:
    """Return a line for below a table: of which commits the figures are, made with what."""
    commits: list[str] = []
    tools: dict[str, set[str]] = {}
    for entry in entries:
        commits.append(entry["commit"])
        for tool, version in entry.get("tools", {}).items():
            tools.setdefault(tool, set()).add(version)
    versions = ", ".join(f"{tool} {' and '.join(sorted(tools[tool]))}" for tool in sorted(tools))
    of = ", ".join(dict.fromkeys(commits))
    line = f"Commit {of}{'; ' if versions else ''}{versions}."
    return f"\n{textwrap.fill(line, LINE_WIDTH)}\n"


def read_results(path: Path) -> dict[str, Any]:
    """Return what earlier runs have written; empty without the file."""
    if not path.exists():
        return {}
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return results


def read_placements(
    parser: argparse.ArgumentParser,
    kind: str,
    known: Sequence[str],
    arguments: Sequence[str] | None,
) -> argparse.Namespace:
    """Read what all benchmarks take that place and route: which of `known`, seeds and jobs.

    The parser's program ends where something is not known.
    """
    metavar = kind.upper()
    parser.add_argument("chosen", nargs="*", metavar=metavar, help=f"one of {', '.join(known)}")
    parser.add_argument("--seeds", type=int, nargs="+", default=_SEEDS)
    parser.add_argument("--jobs", type=int, default=1, help="seeds at the same time")
    options = parser.parse_args(arguments)
    if unknown := set(options.chosen) - set(known):
        listed = ", ".join(sorted(unknown))
        parser.error(f"{metavar}: must be one of {', '.join(known)}, not {listed}")
    options.chosen = options.chosen or list(known)
    return options


def write_results(path: Path, results: Mapping[str, Any], key: str, text: str) -> None:
    """Write all figures, and one table to the README where they go to their usual place."""
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    if path == OUTPUT:
        write_marked(README, MARKS[key], text)


def write_marked(page: Path, mark: str, text: str) -> None:
    """Put a table between its marks in a page."""
    begin, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    assert found, f"{page} has lost {begin}"
    assert closed, f"{page} has lost {end}"
    page.write_text(f"{before}{begin}{text}{end}{after}", encoding="utf-8")


def markdown(rows: Iterable[Sequence[str]]) -> str:
    """Return a table; the first row is its head."""
    head, *body = rows
    return markdown_table(head, body)


def grouped(number: int) -> str:
    """Return a number with its thousands apart."""
    return f"{number:,}".replace(",", " ")


def largest_difference(instructions: Iterable[Mapping[str, Any]]) -> int:
    """Return the cycles by which a start or an end was predicted wrongly at most."""
    return max(
        abs(int(item[edge]["simulated"]) - int(item[edge]["predicted"]))
        for item in instructions
        for edge in ("start", "end")
    )


def say(line: str) -> None:
    """Show progress."""
    print(f"  {line}", flush=True)
