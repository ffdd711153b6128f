"""Timing of the SDRAM against the data sheet, and by hand."""

import itertools
from dataclasses import replace

import pytest

from boards import load_board
from mla_hw.cycles.sdram import Sdram, SdramTiming
from mla_hw.errors import ConfigError

BOARD = load_board("ulx3s-85f")
BYTES = 8


def timing(**changes):
    values = {
        "part": BOARD.memory.part,
        "width_bits": BOARD.memory.width_bits,
        "clock_mhz": BOARD.memory.clock_mhz,
        "core_mhz": BOARD.core_mhz,
        "port_bytes": BYTES,
    }
    return SdramTiming.of(**values | changes)


#: Core and memory at one clock: all cycles are alike.
EVEN = timing(core_mhz=100)
NEVER = replace(EVEN, interval=1 << 40)


def test_cycles_at_100_mhz():
    assert (EVEN.precharge, EVEN.activate, EVEN.cas) == (2, 2, 2)
    assert (EVEN.refresh, EVEN.write_recovery, EVEN.interval) == (7, 2, 781)
    assert (EVEN.page_bytes, EVEN.banks, EVEN.beat_cycles) == (1024, 4, 4)


def test_clocks_that_do_not_divide_each_other():
    # 80 MHz core, 100 MHz memory: a beat of 8 bytes takes 4 memory or 3.2 core cycles.
    beats = Sdram(replace(timing(), interval=1 << 40), BYTES).read(0, 0, 16)
    assert beats[-1] - beats[0] == 15 * 16 // 5
    assert {b - a for a, b in itertools.pairwise(beats)} == {3, 4}


def test_rows():
    memory = Sdram(NEVER, BYTES)
    per_row = NEVER.page_bytes // BYTES
    # Address to command, activate, latency, four cycles of data.
    first = memory.read(10, 0, 1)
    assert first == [10 + 2 + 2 + 2 + 4]
    # An open row: the pins never rest.
    assert memory.read(11, 1, 2) == [first[0] + 4, first[0] + 8]
    # The next row is in another bank, which is closed: activate and latency.
    other = memory.read(12, per_row, 1)
    assert other == [first[0] + 8 + 2 + 4]
    # The first bank again, with another row: precharge, too.
    again = memory.read(13, NEVER.banks * per_row, 1)
    assert again == [other[0] + 4 + 4]


def test_refresh_closes_all_rows():
    memory = Sdram(EVEN, BYTES)
    memory.read(0, 0, 1)
    late = EVEN.interval + 100
    # The refresh was due long ago, the memory idle: only the row is closed.
    assert memory.read(late, 1, 1) == [late + 2 + 2 + 2 + 4]
    # Ahead of the next one the burst is served, behind it it waits.
    memory = Sdram(EVEN, BYTES)
    memory.read(0, 0, 1)
    assert memory.read(EVEN.interval - 3, 1, 1) == [EVEN.interval - 3 + 2 + 2 + 4]
    due = EVEN.interval
    assert memory.read(due, 2, 1)[0] >= due + EVEN.precharge + EVEN.refresh + 2 + 2 + 4


def test_unknown_part():
    with pytest.raises(ConfigError, match=r"dram needs a part that is known \(MT48LC16M16\)"):
        timing(part="MT41K256M16")
