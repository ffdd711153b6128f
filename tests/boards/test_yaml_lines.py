import re

import pytest

from mla_hw.errors import ConfigError
from mla_hw.yaml_lines import load_yaml_mapping, place_of, reject_unknown_keys

TEXT = """\
# settings
rows: 4

memory:
  part: "MT48LC16M16"
  timing: {cas: 2}
columns: 8
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "settings.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def test_reads_data_and_lines(write):
    data, lines = load_yaml_mapping(write(TEXT))
    assert data == {
        "rows": 4,
        "memory": {"part": "MT48LC16M16", "timing": {"cas": 2}},
        "columns": 8,
    }
    assert lines == {
        "rows": 2,
        "memory": 4,
        "memory.part": 5,
        "memory.timing": 6,
        "memory.timing.cas": 6,
        "columns": 7,
    }


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_file_is_an_empty_mapping(write, text):
    assert load_yaml_mapping(write(text)) == ({}, {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rows: 4\ncolumns: [1\n", r":3: no valid YAML"),
        ("rows: 4\n\trows: 5\n", r":2: no valid YAML"),
        ("a: 1\n---\nb: 2\n", r":2: no valid YAML"),
        ("rows: !!python/object:os.system {}\n", r":1: no valid YAML"),
        ("- rows\n", r":1: expected a mapping of keys to values, not a sequence"),
        ("\nrows\n", r":2: expected a mapping of keys to values, not a scalar"),
        ("rows: 4\non: 1\n", r":2: expected a text as key"),
        ("rows: 4\n? [a]\n: 1\n", r":2: expected a text as key"),
        ("rows: 4\ncolumns: 8\nrows: 5\n", r":3: key 'rows' was already given in line 1"),
        ("a: {b: 1, b: 2}\n", r":1: key 'a.b' was already given in line 1"),
        ("a: &x {b: *x}\n", r":1: aliases of mappings are not supported"),
        ("a: &x {b: 1}\nc: *x\n", r":2: aliases of mappings are not supported"),
        ("rows: \x07\n", r": no valid YAML"),
        (b"rows: \xff\n", r": expected UTF-8 text"),
    ],
)
def test_rejects_a_file(write, text, message):
    path = write(text)
    with pytest.raises(ConfigError, match=f"^{re.escape(str(path))}{message}") as caught:
        load_yaml_mapping(path)
    assert "\n" not in str(caught.value)


def test_rejects_a_missing_file(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read: No such file"):
        load_yaml_mapping(tmp_path / "none.yaml")


def test_unknown_key_is_named_with_its_line(write):
    path = write("rows: 4\ncolumn: 8\n")
    data, lines = load_yaml_mapping(path)
    message = (
        r"settings\.yaml:2: unknown key 'column': did you mean columns\? known are rows, columns"
    )
    with pytest.raises(ConfigError, match=message):
        reject_unknown_keys(data, ["rows", "columns"], path=path, lines=lines)
    reject_unknown_keys(data, iter(["rows", "column"]), path=path, lines=lines)


def test_place_of_a_key():
    assert place_of("f.yaml", {"a.b": 3}, "a.b") == "f.yaml:3"
    assert place_of("f.yaml", {"a.b": 3}, "a.c") == "f.yaml"
