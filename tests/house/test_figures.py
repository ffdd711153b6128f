"""The tables of the README are those of the recorded figures."""

import pytest

from benchmarks import analysis, bench, capacity, compare, fmax, rows, schemes
from benchmarks.report import COMPARISON, MARKS, OUTPUT, README, read_results

TABLES = {
    "steps": bench.table,
    "clocks": fmax.table,
    "capacity": capacity.table,
    "rows": rows.table,
    "schemes": schemes.table,
    "analysis": analysis.table,
}


def test_every_table_is_tested():
    assert set(TABLES) == set(MARKS)


@pytest.mark.parametrize("key", TABLES)
def test_the_readme_has_what_was_measured(key):
    mark = MARKS[key]
    text = TABLES[key](read_results(OUTPUT)[key])
    assert f"<!-- {mark} -->\n{text}<!-- /{mark} -->\n" in README.read_text(encoding="utf-8")


def test_the_readme_has_what_was_compared():
    text = compare.table(read_results(COMPARISON))
    assert f"<!-- compare -->\n{text}<!-- /compare -->\n" in README.read_text(encoding="utf-8")
