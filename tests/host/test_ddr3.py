"""The host brings a DDR3 SDRAM up: registers as generated, PHY and chip as a model."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest

from boards import load_board
from boards.litedram_core import board_controller
from mla_hw.cli.run import run
from mla_hw.design import Design
from mla_hw.errors import ConfigError, ToolError
from mla_hw.host.ddr3 import prepare_ddr3
from mla_hw.host.link import CYCLES_PER_READ, Link
from mla_hw.host.operation import perform
from mla_hw.host.protocol import Space
from tests.host import fake_link
from tests.host.board import Board
from tests.host.ddr3_model import READ_CYCLES, WRITE_CYCLES, Ddr3Model, Lane
from tests.host.fake_core import FakeCore
from tests.host.fake_link import FakeLink, Registers, break_line
from tests.host.test_serial_port import BAUD, plugged

BOARDS = ("ecpix5-85f", "orangecrab-85f")


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    """Waits of the fake link last as long as they are asked to."""
    monkeypatch.setattr(fake_link, "_PATIENCE", 1 << 20)


@pytest.fixture(scope="module")
def cores():
    return {name: board_controller(load_board(name)) for name in BOARDS}


@pytest.fixture
def core(cores):
    return cores["ecpix5-85f"]


def two_lanes():
    return [Lane({1: (2, 5)}), Lane({2: (1, 3)})]


def attach(core, lanes, *, board="ecpix5-85f", **line):
    """Return a link and its host's side, with a model behind."""
    clock_mhz = load_board(board).core_mhz
    fake = FakeLink(clock_hz=round(clock_mhz * 1e6), **line)
    fake.controller = Ddr3Model(core.registers, clock_mhz=clock_mhz, lanes=lanes)
    link = Link(baud=BAUD, attempts=20)
    perform(link.identify(), fake)
    return fake, link


def prepare(core, lanes, **keywords):
    """Return what was found, and the model."""
    fake, link = attach(core, lanes, **keywords)
    return perform(prepare_ddr3(link, core), fake), fake.controller


@pytest.mark.parametrize("board", BOARDS)
def test_initialisation_follows_the_standard(cores, board):
    """Order and times are checked by the model, here what the mode registers say."""
    _, model = prepare(cores[board], two_lanes(), board=board)
    chip = model.chip
    assert model.ready
    # Burst of eight, sequential; normal operation; slow exit from power-down.
    assert [chip.mode_field(0, *bits) for bits in ((1, 0), (3,), (7,), (12,))] == [0, 0, 0, 0]
    # The data of speed grade 1600, of which the slowest clocks ask for the least cycles.
    assert chip.read_latency >= math.ceil(13.75 / chip.clock_ns)
    assert chip.write_recovery >= math.ceil(15 / chip.clock_ns)
    # JESD79-3, table of CWL: 5 from 2.5 ns on, where a read takes 5 or 6 cycles.
    assert chip.clock_ns >= 2.5
    assert chip.write_latency == 5
    assert chip.read_latency in (5, 6)
    # 34 ohm; termination of 60 ohm; no additive latency, leveling or TDQS; DLL and outputs on.
    assert chip.mode_field(1, 5, 1) == 1
    assert chip.mode_field(1, 9, 6, 2) == 1
    assert [chip.mode_field(1, *bits) for bits in ((4, 3), (7,), (11,), (0,), (12,))] == [0] * 5
    # Termination of writes of 60 ohm; no self-refresh at high temperature or of a part.
    assert chip.mode_field(2, 10, 9) == 1
    assert chip.mode_field(2, 7, 6, 2, 1, 0) == 0
    assert dict(chip.modes)[3] == 0


def edited(core, edit):
    """Return the initialisation with each write, given with the name of its register, edited."""
    names = {address: name for name, address in core.registers.items()}
    edits = (edit(names[write.address], write) for write in core.initialisation)
    return replace(core, initialisation=tuple(filter(None, edits)))


def without_wait(microseconds):
    cycles = microseconds * load_board("ecpix5-85f").core_mhz
    return lambda name, write: replace(write, wait=0) if write.wait == cycles else write


def instead(register, values):
    """Write other values to a register; None drops the write."""

    def edit(name, write):
        if name != register or write.value not in values:
            return write
        value = values[write.value]
        return None if value is None else replace(write, value=value)

    return edit


CONTROL, ADDRESS, BANK = (
    f"sdram_dfii_{name}" for name in ("control", "pi0_address", "pi0_baddress")
)
FAULTS = {
    "power-up": (without_wait(200), "reset for less than 200 µs"),
    "wake": (without_wait(500), "clock enabled less than 500 µs after the reset"),
    "settle": (
        lambda name, write: replace(write, wait=0) if write.wait == 256 else write,
        "termination before the initialisation has ended",
    ),
    "no reset": (instead(CONTROL, {0: None, 0b1000: None}), "mode too soon"),
    "no clock": (instead(CONTROL, {0b1010: None}), "mode without clock"),
    "order": (instead(BANK, {2: 3, 3: 2}), "mode register 3 out of order"),
    "termination": (
        instead(CONTROL, {0b1010: 0b1110}),
        "termination before the initialisation has ended",
    ),
    "short calibration": (instead(ADDRESS, {0x400: 0}), "short calibration"),
    "latency": (
        instead(ADDRESS, {0x320: 0x330}),
        "cannot be read: lane 0: .* no delay reads right",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_model_finds_a_wrong_initialisation(core, fault):
    edit, text = FAULTS[fault]
    with pytest.raises((AssertionError, ToolError), match=text):
        prepare(edited(core, edit), two_lanes())


def check(found, lanes, model):
    """Compare with the widest window of each lane, and what is set now."""
    for number, (result, lane) in enumerate(zip(found, lanes, strict=True)):
        widest = max(last - first for first, last in lane.windows.values())
        bitslip = min(
            slip for slip, (first, last) in lane.windows.items() if last - first == widest
        )
        first, last = lane.windows[bitslip]
        assert (result.lane, result.bitslip) == (number, bitslip)
        assert (result.first, result.last, result.window) == (first, last, widest + 1)
        assert result.delay == (first + last) // 2
        assert model.settings[number] == [bitslip, result.delay]
        for slip, row in enumerate(result.good):
            low, high = lane.windows.get(slip, (1, 0))
            assert row == tuple(low <= delay <= high for delay in range(8))
    assert model.ready
    assert model.in_step
    assert model.chip.open_row is None


@pytest.mark.parametrize("seed", range(12))
def test_random_windows(core, seed):
    rng = np.random.default_rng(seed)
    lanes = []
    for _ in range(2):
        slips = rng.permutation(4)[: rng.integers(1, 4)]
        lane = Lane({})
        for slip in slips:
            width = int(rng.integers(2, 9))
            first = int(rng.integers(0, 9 - width))
            lane.windows[int(slip)] = (first, first + width - 1)
        lanes.append(lane)
    found, model = prepare(core, lanes)
    check(found, lanes, model)


@pytest.mark.parametrize("window", [(0, 1), (0, 7), (6, 7), (3, 4)])
@pytest.mark.parametrize("bitslip", [0, 3])
def test_windows_at_the_edges(core, window, bitslip):
    lanes = [Lane({bitslip: window}), Lane({3 - bitslip: (2, 4)})]
    found, model = prepare(core, lanes)
    check(found, lanes, model)


def test_a_delay_that_is_not_always_right_is_left_out(core):
    lanes = two_lanes()
    lanes[0].marginal = {(1, 1), (1, 6), (0, 3)}
    found, model = prepare(core, lanes)
    check(found, lanes, model)


def test_the_text_is_a_table(core):
    found, _ = prepare(core, two_lanes())
    assert [str(lane) for lane in found] == [
        "lane 0: |........|..####..|........|........| bitslip 1, delay 3 (2 to 5)",
        "lane 1: |........|........|.###....|........| bitslip 2, delay 2 (1 to 3)",
    ]


@pytest.mark.parametrize(
    ("lane", "text"),
    [
        (Lane({}), r"no delay reads right; the widest window has 0 of the 2 delays needed"),
        (Lane({2: (5, 5)}), r"bitslip 2, delay 5 \(5 to 5\); the widest window has 1 of"),
        (Lane({1: (2, 5)}, strobe=False), r"no delay reads right; the widest window has 0 of"),
    ],
)
def test_a_lane_without_a_window(core, lane, text):
    fake, link = attach(core, [Lane({1: (2, 5)}), lane])
    with pytest.raises(ToolError, match=rf"the DDR3 SDRAM cannot be read: lane 1: .*{text}"):
        perform(prepare_ddr3(link, core), fake)
    assert not fake.controller.ready
    # Mended, it works at once.
    fake.controller.lanes[1] = Lane({1: (2, 5)})
    assert perform(prepare_ddr3(link, core), fake)[1].delay == 3


def test_what_is_ready_is_left_alone(core):
    fake, link = attach(core, two_lanes())
    assert len(perform(prepare_ddr3(link, core), fake)) == 2
    fake.done.clear()
    assert perform(prepare_ddr3(link, core), fake) == ()
    assert fake.done == ["read_controller"]


@pytest.mark.parametrize("name", ["ddrphy_burstdet_seen", "sdram_dfii_pi1_rddata"])
def test_a_register_that_is_not_there(core, name):
    registers = {key: address for key, address in core.registers.items() if key != name}
    fake, link = attach(core, two_lanes())
    with pytest.raises(ConfigError, match=f"the memory controller has no register '{name}'"):
        perform(prepare_ddr3(link, replace(core, registers=registers)), fake)


def test_a_line_that_spoils_frames(core):
    """Nothing is done twice: the model would see a row that is opened again."""
    lanes = two_lanes()
    line = {"request": break_line(1, 0.05), "response": break_line(2, 0.05)}
    fake, link = attach(core, lanes, **line)
    found = perform(prepare_ddr3(link, core), fake)
    check(found, lanes, fake.controller)
    assert link.traffic.repeated > 0


def test_a_wait_lasts_as_long_as_it_is_counted_on():
    """The gateware of the link takes no fewer cycles for a read than waits are counted by."""
    board, reads, writes = Board(), [], []

    class Clocked(Registers):
        def read(self, address):
            reads.append(board.cycles)
            return 0

        def write(self, address, value):
            writes.append(board.cycles)

    async def testbench(board):
        await board.perform(board.link.wait_register(Space.CONTROLLER, 0, 256))
        await board.perform(board.link.write_registers(Space.CONTROLLER, 50 * [(0, 0)]))

    board.controller = Clocked()
    board.simulate(testbench)
    # The line's clock, which gives the times, is coarser than these cycles.
    assert len(reads) == 256
    assert round((reads[-1] - reads[0]) / 255) == READ_CYCLES == CYCLES_PER_READ
    assert len(writes) == 50
    assert round((writes[-1] - writes[0]) / 49) == WRITE_CYCLES


def test_run(core, core_folder, design, tmp_path):
    """The command does it by itself, before it loads the image."""
    folder = tmp_path / "core"
    shutil.copytree(core_folder, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"board": "ecpix5-85f"}))
    fake, _ = attach(core, two_lanes())
    fake.core = FakeCore(design, fake.memory)
    said = []
    with plugged(fake) as port:
        run(folder, port=port, baud=BAUD, progress=said.append)
    assert fake.controller.ready
    assert said[:3] == [
        "initialise the DDR3 SDRAM",
        "lane 0: |........|..####..|........|........| bitslip 1, delay 3 (2 to 5)",
        "lane 1: |........|........|.###....|........| bitslip 2, delay 2 (1 to 3)",
    ]
    assert said[3] == f"load {len(Design.load(folder).image)} bytes"
