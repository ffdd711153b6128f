"""Hardware files that do not do."""

import pytest


@pytest.fixture
def hardware(tmp_path):
    def write(text):
        path = tmp_path / "hardware.yaml"
        path.write_text(text)
        return path

    return write


def test_hardware_file_with_an_unknown_key(command, hardware):
    path = hardware("# small\nrows: 2\ncolumn: 4\n")
    message = command.refuses("tiny-v3", "--hardware", path)
    assert message.startswith(f"--hardware {path}:3: unknown key 'column': did you mean columns?")


@pytest.mark.parametrize(
    ("text", "line", "wanted"),
    [
        ("columns: 6", 1, "columns must be a power of two from 2 to 64, not 6"),
        ("rows: 4\n\nrows: 2", 3, "key 'rows' was already given in line 1"),
        ("port_bytes: 8\nrows: '4'", 2, "rows must be a positive integer, not '4'"),
        ("rows: 2.5", 1, "rows must be a positive integer, not 2.5"),
        ("rows: true", 1, "rows must be a positive integer, not True"),
        ("rows: 0", 1, "rows must be a positive integer, not 0"),
        ("rows: [4]", 1, "rows must be a positive integer, not [4]"),
        ("rows:", 1, "rows must be a positive integer, not None"),
        ("rows: 65", 1, "rows must be at most 64, not 65"),
        ("port_bytes: 2", 1, "port_bytes must be a power of two from 4 to 64, not 2"),
        ("columns: 8\ntile_tokens: 60", 2, "tile_tokens must be a multiple of columns = 8"),
        ("tile_tokens: 512", 1, "at most 228, not 512"),
        # The board says tile_tokens; the file has to change what it says itself.
        ("rows: 2\ntile_tokens: 16\ncolumns: 32", 2, "tile_tokens must be a multiple of columns"),
        ("rows: 4\naccumulator_lanes: 3", 2, "accumulator_lanes must divide rows = 4, not 3"),
        ("rows: 16\ncolumns: 8\naccumulator_lanes: 1", 3, "accumulator_lanes must be at least"),
        ("outstanding_reads: 2", 1, "outstanding_reads must be from 4 to 64, not 2"),
        (
            "multiplier: dsp",
            1,
            "multiplier must be one of auto, portable, ecp5, ice40, gowin, nexus, not 'dsp'",
        ),
        ("activation_bytes: -1", 1, "activation_bytes must be a positive integer, not -1"),
        ("rows: 4\ncolumns: [", 3, "no valid YAML"),
        (
            "columns: 8\nrows: 2001-13-45",
            2,
            "rows: no valid YAML: not the value that it looks like",
        ),
        ("rows: !!int abc", 1, "rows: no valid YAML"),
        ("rows: !!bool x", 1, "rows: no valid YAML"),
        ("rows: !!timestamp x", 1, "rows: no valid YAML"),
        ("rows: " + 5000 * "9", 1, "rows: no valid YAML"),
        ("- rows", 1, "expected a mapping of keys to values"),
        ("4: rows", 1, "expected a text as key"),
    ],
)
def test_hardware_file_with_a_wrong_value(command, hardware, text, line, wanted):
    path = hardware(f"{text}\n")
    message = command.refuses("tiny-v3", "--hardware", path)
    assert message.startswith(f"--hardware {path}:{line}: ")
    assert wanted in message


def test_hardware_file_that_is_nested_too_deeply(command, hardware):
    path = hardware("rows: " + 3000 * "[")
    message = command.refuses("tiny-v3", "--hardware", path)
    assert message == f"--hardware {path}: no valid YAML: nested too deeply"


def test_missing_hardware_file(command, tmp_path):
    path = tmp_path / "absent.yaml"
    message = command.refuses("tiny-v3", "--hardware", path)
    assert message == f"--hardware {path}: cannot be read: No such file or directory"
