"""Tables of README and docs are those of the recorded figures, which reach the bars."""

import statistics
from contextlib import suppress

import pytest

from benchmarks import analysis, bench, boards, capacity, compare, fmax, litedram, rows, schemes
from benchmarks.report import (
    BOARDS,
    BOARDS_PAGE,
    COMPARISON,
    LITEDRAM,
    MARKS,
    OUTPUT,
    README,
    read_results,
)
from boards import list_boards, load_board
from mla_hw.cli.fit import LUTS_AROUND
from mla_hw.design import configuration_hash
from mla_hw.errors import CapacityError
from mla_hw.hardware import HardwareConfig
from mla_hw.presets import find_preset
from mla_hw.schedule import schedule_layer

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


@pytest.mark.parametrize(
    ("mark", "path", "table"),
    [("boards", BOARDS, boards.tables), ("litedram", LITEDRAM, litedram.tables)],
)
def test_the_page_of_boards_has_what_was_measured(mark, path, table):
    text = table(read_results(path))
    page = BOARDS_PAGE.read_text(encoding="utf-8")
    assert f"<!-- {mark} -->\n{text}<!-- /{mark} -->\n" in page


#: Share of the array's multipliers that work in the phase of attention, at least.
ARRAY_UTILISATION = {
    "v2lite-dims:128:fixed:32": 0.80,
    "v2lite-dims:1024:fixed:32": 0.95,
    "v2lite-dims:4096:fixed:32": 0.95,
    "v3-quarter-heads:1024:fixed:32": 0.95,
}
STEPS = read_results(OUTPUT)["steps"]
V2_LITE = [name for name in ARRAY_UTILISATION if name.startswith("v2lite")]


@pytest.mark.parametrize("name", ARRAY_UTILISATION)
def test_utilisation_of_the_array_and_prediction(name):
    step = STEPS[name]
    assert step["phases"]["attention"]["array_utilisation"] >= ARRAY_UTILISATION[name]
    assert step["largest_difference"] == 0
    assert step["sim_cycles_per_second"] >= 20_000


@pytest.mark.parametrize("name", V2_LITE)
def test_utilisation_of_the_port_and_roofline(name):
    step = STEPS[name]
    ports = [
        phase["port_utilisation"] for key, phase in step["phases"].items() if key != "attention"
    ]
    assert min(ports) >= 0.97
    assert step["roofline_efficiency"] >= 0.95


def test_sdram_is_predicted():
    step = STEPS["v2lite-dims:256:dram"]
    assert step["predicted"] == pytest.approx(step["cycles"], rel=0.02)


@pytest.mark.parametrize(("name", "clock"), [("4x8", 110), ("8x16", 100)])
def test_clocks(name, clock):
    core = read_results(OUTPUT)["clocks"][name]
    assert len(core["fmax_mhz"]) >= 3
    assert core["fmax_median_mhz"] >= clock
    assert core["device"].startswith("LFE5U-85F-6")
    assert core["lut"]["used"] <= 0.7 * core["lut"]["available"]
    assert core["bram"]["used"] <= core["bram"]["available"]


def test_what_fit_adds_for_the_surroundings_of_a_core():
    around = ("link", "arbiter", "memory", "adapter and top")
    kinds = set()
    for name, entry in read_results(BOARDS).items():
        board = load_board(name)
        if entry["design"] == "board":
            kinds.add(board.memory.kind)
            luts = sum(entry["luts_per_unit"].get(unit, 0) for unit in around)
            expected = LUTS_AROUND[board.memory.kind] * board.device.logic_factor
            assert luts == pytest.approx(expected, rel=0.15), name
    assert kinds == {"sdr", "ddr3", "lram"}


def test_every_board_with_a_top_was_built():
    assert set(read_results(BOARDS)) == {name for name in list_boards() if load_board(name).top}


@pytest.mark.parametrize("name", read_results(BOARDS))
def test_the_core_that_was_built_is_that_of_the_board(name):
    entry, board = read_results(BOARDS)[name], load_board(name)
    hardware = HardwareConfig.from_dict(board.hardware)
    assert entry["array"] == f"{hardware.rows}×{hardware.columns}"
    assert entry["device"] == board.device.name
    if entry["model"] is None:
        return
    config = find_preset(entry["model"]).config
    hashes = set()
    for groups in range(1, -(-config.num_attention_heads // hardware.rows) + 1):
        with suppress(CapacityError):
            core = schedule_layer(
                config, hardware, multiplier=board.device.family, pass_groups=groups
            ).core
            hashes.add(configuration_hash(core, config))
    assert entry["hash"] in hashes


@pytest.mark.parametrize("name", read_results(BOARDS))
def test_a_board_reaches_its_clock_or_has_no_room(name):
    entry, board = read_results(BOARDS)[name], load_board(name)
    full = [key for key in boards.RESOURCES if entry[key]["used"] > entry[key]["available"]]
    if entry["model"] is None:
        assert full
        assert sum(entry["luts_per_unit"].values()) > 0
        return
    assert not full
    clocks = entry["fmax_mhz"].values()
    assert len(clocks) >= 3
    assert statistics.median(clocks) >= board.core_mhz == entry["clock_mhz"]
    assert any(entry["timing_met"].values())
