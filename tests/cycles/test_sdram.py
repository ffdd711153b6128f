"""Timing of the SDRAM against the data sheet, and by hand."""

import itertools
from dataclasses import replace

import pytest

from boards import list_boards, load_board
from mla_hw.cli.board_memory import memory_timing, sdram_timing
from mla_hw.cycles.sdram import Sdram, SdramTiming
from mla_hw.errors import ConfigError

BOARD = load_board("ulx3s-85f")
BYTES = 8


def timing(**changes):
    values = {
        "part": BOARD.memory.part,
        "width_bits": BOARD.memory.width_bits,
        "clock_mhz": 100,
        "core_mhz": 80,
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
    # Address to command, row closed, activate, latency, four cycles of data.
    first = memory.read(10, 0, 1)
    assert first == [10 + 9 + 1 + 2 + 2 + 4]
    # An open row: the pins never rest.
    assert memory.read(11, 1, 2) == [first[0] + 4, first[0] + 8]
    # The next row is in another bank, which is closed: other bank, row closed, activate.
    other = memory.read(12, per_row, 1)
    assert other == [first[0] + 8 + 3 + 1 + 2 + 4]
    # The first bank again, with another row: precharge, too.
    again = memory.read(13, NEVER.banks * per_row, 1)
    assert again == [other[0] + 3 + 1 + 2 + 2 + 4]
    # Back to the second bank, whose row is open.
    assert memory.read(14, per_row + 1, 1) == [again[0] + 3 + 4]
    # Behind a pause only the latency counts.
    assert memory.read(500, NEVER.banks * per_row, 1) == [500 + 9 + 2 + 4]


def test_refresh_closes_all_rows():
    memory = Sdram(EVEN, BYTES)
    memory.read(0, 0, 1)
    late = EVEN.interval + 100
    # The refresh was due long ago, the memory idle: only the row is closed.
    assert memory.read(late, 1, 1) == [late + 9 + 1 + 2 + 2 + 4]
    # Ahead of the next one the burst is served, behind it it waits.
    memory = Sdram(EVEN, BYTES)
    memory.read(0, 0, 1)
    assert memory.read(EVEN.interval - 10, 1, 1) == [EVEN.interval - 10 + 9 + 2 + 4]
    # The four commands of the burst before, the refresh, and the row again.
    start = EVEN.interval - 1 + 4 + EVEN.precharge + EVEN.refresh + 4 + 1 + 2
    assert memory.read(EVEN.interval - 9, 2, 1) == [start + 2 + 4]


def test_unknown_part():
    with pytest.raises(ConfigError, match=r"dram needs a part that is known \(MT48LC16M16, "):
        timing(part="MT48LC32M8")


def test_ddr3_moves_four_words_in_a_cycle_of_its_controller():
    ddr3 = timing(part="MT41K256M16", clock_mhz=150, core_mhz=75, port_bytes=16)
    assert (ddr3.core_ticks, ddr3.memory_ticks, ddr3.beat_cycles) == (75_000, 75_000, 2)
    # 13.75 and 260 ns of a controller at 75 MHz.
    assert (ddr3.activate, ddr3.refresh, ddr3.interval) == (2, 20, 585)
    assert ddr3.page_bytes == 2048
    beats = Sdram(replace(ddr3, interval=1 << 40), 16).read(0, 0, 16)
    assert {b - a for a, b in itertools.pairwise(beats)} == {2}


@pytest.mark.parametrize("name", list_boards())
def test_every_sdram_of_a_board_is_known(name):
    board = load_board(name)
    port_bytes = board.hardware["port_bytes"]
    latency, sdram = memory_timing(board, port_bytes)
    if board.memory.kind in ("sdr", "ddr3"):
        rate = port_bytes / (sdram.beat_cycles * sdram.memory_ticks / sdram.core_ticks)
        peak = board.memory.peak_bytes_per_second / (board.core_mhz * 1e6)
        assert rate == pytest.approx(min(peak, port_bytes))
    else:
        assert sdram is None
        assert latency in (3, 32)
        with pytest.raises(ConfigError, match=f"{name} has none"):
            sdram_timing(board, port_bytes)
