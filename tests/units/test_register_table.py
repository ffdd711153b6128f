"""The table of registers, and the header and page that are made of it."""

import re

import pytest

from mla_hw.program.instructions import FIELDS
from mla_hw.register_text import registers_header, registers_markdown
from mla_hw.registers import (
    ERRORS,
    IDENTITY,
    REGISTER_ADDRESS_BITS,
    REGISTERS,
    ErrorCode,
    core_constants,
    register,
    registers,
)
from tests.configs import SEVERAL, SMALL, WIDE

HASH = 0x0123_4567_89AB_CDEF


def test_table_is_consistent():
    items = registers(64)
    assert items[: len(REGISTERS)] == REGISTERS
    taken = [item.address + 4 * i for item in items for i in range(item.words)]
    assert len(taken) == len(set(taken))
    assert max(taken) < 1 << REGISTER_ADDRESS_BITS
    assert len({item.name for item in items}) == len(items)
    for item in items:
        assert item.address % (4 * item.words) == 0, item.name
        bits = [bit for f in item.fields for bit in range(f.lsb, f.lsb + f.width)]
        assert len(bits) == len(set(bits)), item.name
        assert max(bits, default=0) < 32 * item.words, item.name
        assert (item.reset or 0) & ~item.mask == 0, item.name
    assert set(ERRORS) == set(ErrorCode)
    assert {f"base_{name}" for name in FIELDS["base"].choices} <= {r.name for r in REGISTERS}


def test_constants_of_a_core_are_those_that_the_table_leaves_open():
    constants = core_constants(SMALL, HASH)
    assert constants.keys() == {item.name for item in REGISTERS if item.reset is None}
    for name, value in constants.items():
        assert 0 < value <= register(name).mask


@pytest.mark.parametrize(
    "config", [SMALL, WIDE, SEVERAL], ids=["small", "wide", "several query rows"]
)
def test_header_and_page_of_a_core_have_its_constants(config):
    constants, rows = core_constants(config, HASH), config.query_rows
    header = registers_header("CORE", constants, rows)
    page = registers_markdown(constants, rows)
    assert "#define CORE_HASH_RESET 0x0123456789abcdefull\n" in header
    assert "| 0x008 | `hash` | ro | 0x123456789abcdef |" in page
    shape = int(re.search(r"#define CORE_SHAPE_RESET (0x[0-9a-f]{8})u\n", header)[1], 0)
    assert shape.to_bytes(4, "little") == bytes([
        config.rows,
        config.columns,
        config.accumulator_lanes,
        config.port_bytes,
    ])
    assert f"| 0x010 | `shape` | ro | 0x{shape:x} |" in page
    limits = config.tile_tokens | rows << 9 | config.program_depth << 16
    assert f"#define CORE_LIMITS_RESET 0x{limits:08x}u\n" in header
    assert f"| 0x014 | `limits` | ro | 0x{limits:x} |" in page
    assert "ro | of the core |" not in page
    for row in range(1, 4):
        address = 0x200 + 4 * row
        assert (f"#define CORE_POSITION_{row} 0x{address:03x}u\n" in header) == (row < rows)
        assert (f"| 0x{address:03x} | `position_{row}` |" in page) == (row < rows)


def test_header_and_page_of_all_cores_have_no_constants():
    header, page = registers_header("CORE"), registers_markdown()
    assert not re.search("CORE_(HASH|SHAPE|LIMITS)_RESET", header)
    for name in ("hash", "shape", "limits"):
        assert f"`{name}` | ro | of the core |" in page


def test_header_and_page_say_what_the_table_says():
    header, page = registers_header("CORE"), registers_markdown()
    defined = {
        name: int(value.rstrip("u"), 0)
        for name, value in re.findall(r"^#define (\w+) (\w+)", header, re.MULTILINE)
    }
    for item in REGISTERS:
        name = f"CORE_{item.name.upper()}"
        assert defined[name] == item.address
        assert f"| 0x{item.address:03x} | `{item.name}` | {item.access.value} |" in page
        for field in item.fields:
            assert defined[f"{name}_{field.name.upper()}_LSB"] == field.lsb
            mask = defined[f"{name}_{field.name.upper()}_MASK"]
            assert mask == ((1 << field.width) - 1) << field.lsb
    for code in ErrorCode:
        assert defined[f"CORE_ERROR_{code.name}"] == code
        assert f"| {int(code)} | `{code.name}` |" in page
    assert defined["CORE_IDENTITY_RESET"] == IDENTITY
