"""Where the benchmarks put their figures: ``results.json`` and the tables of the README."""

import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = [
    "OUTPUT",
    "README",
    "commit",
    "grouped",
    "largest_difference",
    "markdown",
    "read_results",
    "say",
    "write_readme",
    "write_results",
]

OUTPUT = Path(__file__).parent / "results.json"
README = Path(__file__).parents[1] / "README.md"


def commit() -> str:
    """Return the commit that is measured, marked when files differ from it."""
    git = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude", "*"]
    result = subprocess.run(git, capture_output=True, text=True, check=False, cwd=OUTPUT.parent)
    return result.stdout.strip() or "unknown"


def read_results(path: Path) -> dict[str, Any]:
    """Return what earlier runs have written; empty without the file."""
    if not path.exists():
        return {}
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return results


def write_results(path: Path, results: Mapping[str, Any], mark: str, text: str) -> None:
    """Write all figures, and one table to the README where they go to their usual place."""
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    if path == OUTPUT:
        write_readme(mark, text)


def write_readme(mark: str, text: str) -> None:
    """Put a table between its marks in the README."""
    begin, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
    before, found, rest = README.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    assert found, f"the README has lost {begin}"
    assert closed, f"the README has lost {end}"
    README.write_text(f"{before}{begin}{text}{end}{after}", encoding="utf-8")


def markdown(rows: Iterable[Sequence[str]]) -> str:
    """Return a table; the first row is its head."""
    head, *body = rows
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, ["---"] * len(head), *body))


def grouped(number: int) -> str:
    """Return a number with its thousands apart."""
    return f"{number:,}".replace(",", " ")


def largest_difference(instructions: Iterable[Mapping[str, Any]]) -> int:
    """Return the cycles by which a start or an end was predicted wrongly at most."""
    return max(
        abs(item[edge]["simulated"] - item[edge]["predicted"])
        for item in instructions
        for edge in ("start", "end")
    )


def say(line: str) -> None:
    """Show progress."""
    print(f"  {line}", flush=True)
