import numpy as np
import pytest

from mla_hw.errors import ConfigError
from sim.job import MemoryMode, hex_words
from sim.results import Dump, Event, LogReader, Write


def dump(tmp_path, text, width):
    path = tmp_path / "dump.hex"
    path.write_text(text)
    return Dump.read(path, width)


def test_signed_words_of_odd_width(tmp_path):
    found = dump(tmp_path, "// comment\n1ffffffffe\n0000000005\n", 37)
    assert found.first_difference(np.array([-2, 5])) is None
    assert found.first_difference(np.array([-2, 6])) == ((1,), 6, "5")
    assert found.first_difference(np.array([-3, 5])) == ((0,), -3, "-2")


@pytest.mark.parametrize(
    ("width", "text"), [(64, "fffe000380007fff\n"), (128, "00" * 8 + "fffe000380007fff\n")]
)
def test_words_of_several_elements(tmp_path, width, text):
    found = dump(tmp_path, text, width)
    expected = np.zeros((1, width // 16), np.int64)
    expected[0, :4] = [32767, -32768, 3, -2]
    assert found.first_difference(expected) is None
    expected[0, 2] = 4
    assert found.first_difference(expected) == ((0, 2), 4, "3")


def test_elements_of_odd_width(tmp_path):
    found = dump(tmp_path, f"{5 | 31 << 5 | 7 << 10:x}\n", 15)
    assert found.first_difference(np.array([[5, -1, 7]])) is None
    assert found.first_difference(np.array([[5, 30, 7]])) == ((0, 1), 30, "-1")


def test_wide_words(tmp_path):
    value = (1 << 99) + 7
    found = dump(tmp_path, f"{value:025x}\n", 100)
    assert found.first_difference(np.array([value], object)) is None
    assert found.first_difference(np.array([value + 1], object)) == ((0,), value + 1, str(value))


def test_unknown_words_differ(tmp_path):
    found = dump(tmp_path, "00\nx0\n", 8)
    assert found.first_difference(np.array([0, 0])) == ((1,), 0, "unknown")


def test_masked_entries_are_not_compared(tmp_path):
    found = dump(tmp_path, "01\nxx\n03\n", 8)
    expected = np.ma.masked_array([1, 0, 4], [False, True, True])
    assert found.first_difference(expected) is None
    assert found.first_difference(np.ma.masked_array([1, 0, 4], [0, 1, 0])) == ((2,), 4, "3")


@pytest.mark.parametrize("shape", [(3,), (1,), (2, 3)])
def test_wrong_shape_is_not_equal(tmp_path, shape):
    found = dump(tmp_path, "00\n00\n", 8)
    with pytest.raises(ValueError, match=r"2 words of 8 bits are not an array of shape"):
        found.first_difference(np.zeros(shape, np.int64))


def test_log_is_read_token_by_token(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text(
        "width 0 37\nbegin 0\nstart 1 7 3\nwrite 00000010 0201 3\nend 1 7 9\nhalt 12\n"
        "end_of_token 0\n"
    )
    reader = LogReader(path, 1)
    log = reader.token()
    assert reader.widths == [37]
    assert log.events == [Event("start", 1, 7, 3), Event("end", 1, 7, 9)]
    assert log.writes == [Write(16, b"\x01\x02", 3)]
    assert log.halt == 12
    with path.open("a") as file:
        file.write("begin 1\nviolation 4 W changed\nend_of_token 1\n")
    log = reader.token()
    assert (log.events, log.halt, log.violation) == ([], None, "W changed (cycle 4)")


def test_memory_words_are_little_endian():
    assert hex_words(bytes(range(8)), 4) == "03020100\n07060504\n"
    assert hex_words(b"", 4) == ""
    with pytest.raises(ConfigError, match="words of 4 bytes, not 6 bytes"):
        hex_words(bytes(6), 4)


@pytest.mark.parametrize(
    "text",
    ["", "fixed", "fixed:", "fixed:0", "fixed:-1", "random:0", "random:x", "slow:3", "fixed:²"],
)
def test_memory_modes_that_are_none(text):
    with pytest.raises(ConfigError, match="memory"):
        MemoryMode.parse(text)


def test_memory_modes():
    assert MemoryMode.parse("fixed:7").plusargs == ["+memory_latency=7"]
    assert MemoryMode.parse("random:7").plusargs == ["+memory_seed=7"]
