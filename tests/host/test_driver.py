from dataclasses import replace

import numpy as np
import pytest

from mla_hw.design import Design
from mla_hw.errors import ConfigError, ToolError
from mla_hw.host.driver import Driver
from mla_hw.host.layers import layer_design
from mla_hw.host.link import Link, LinkError
from mla_hw.host.operation import perform
from mla_hw.host.protocol import MAX_PAYLOAD, Space
from mla_hw.registers import COUNTERS, ErrorCode, register
from tests.host.board import Board
from tests.host.fake_core import CYCLES, FakeCore
from tests.host.fake_link import CLOCK_HZ, FakeLink, break_line

BAUD = 3_000_000
START = (register("control").address, 1)
ABORT = (register("control").address, 2)


def make(design=None, *, attempts=5, **options):
    """A driver, and a fake link with a fake core behind it."""
    fake = FakeLink(**options)
    if design is not None:
        fake.core = FakeCore(design, fake.memory)
    return Driver(Link(baud=BAUD, attempts=attempts, sequence=250), patience=1 << 22), fake


def golden(design, rows):
    """Rows of y of the golden model, one token after another."""
    machine, found = design.machine(), []
    for position, row in enumerate(rows):
        machine.write_hidden(row)
        machine.run((position,))
        found.append(machine.y())
    return found


def prepare(driver, fake, design):
    perform(driver.connect(), fake)
    perform(driver.check_identity(design), fake)
    return perform(driver.load(design), fake)


def test_decodes_what_the_golden_model_does(design, hidden):
    driver, fake = make(design)
    size = prepare(driver, fake, design)
    assert driver.clock_hz == CLOCK_HZ
    x = design.regions["x"].offset
    # And some padding between x and y, and behind them.
    assert x <= size < len(design.image)
    assert fake.memory[:x] == design.image[:x]
    for position, (row, wanted) in enumerate(zip(hidden, golden(design, hidden), strict=True)):
        token = perform(driver.run_token(design, row, (position,)), fake)
        np.testing.assert_array_equal(token.y, wanted)
        assert token.counters == {
            name: CYCLES + position if name == "cycles" else number
            for number, name in enumerate(COUNTERS)
        }
    assert fake.core.writes.count(START) == len(hidden)
    # Base registers are written once, and nothing a second time.
    bases = register("base_program").address
    assert sum(address == bases for address, _ in fake.core.writes) == 1
    assert driver.link.traffic.repeated == 0


@pytest.mark.parametrize("seed", range(4))
def test_errors_of_the_line_change_nothing(design, hidden, seed):
    driver, fake = make(
        design,
        attempts=40,
        request=break_line(seed, 0.25),
        response=break_line(seed + 100, 0.25),
    )
    prepare(driver, fake, design)
    for position, wanted in enumerate(golden(design, hidden)):
        token = perform(driver.run_token(design, hidden[position], (position,)), fake)
        np.testing.assert_array_equal(token.y, wanted)
    assert fake.core.writes.count(START) == len(hidden)
    assert driver.link.traffic.repeated > 0
    assert driver.link.traffic.spoilt > 0


def test_only_what_has_changed_is_loaded(design):
    driver, fake = make(design)
    whole = prepare(driver, fake, design)
    assert perform(driver.load(design), fake) == 0
    place = design.regions["weights"].offset + 5
    changed = bytearray(design.image)
    changed[place] ^= 1
    other = replace(design, image=bytes(changed))
    said = []
    size = perform(driver.load(other, progress=lambda *done: said.append(done)), fake)
    assert 0 < size < whole
    assert fake.memory[place] == changed[place]
    assert said[0] == (MAX_PAYLOAD, size)
    assert said[-1] == (size, size)
    # The first image again, of which something else is asked for first.
    assert perform(driver.load(design, regions=["rope", "constants"]), fake) == 0
    assert perform(driver.load(design, regions=["weights"]), fake) == size
    assert fake.memory[place] == design.image[place]
    with pytest.raises(ConfigError, match="no region 'nothing', only program, weights"):
        perform(driver.load(design, regions=["nothing"]), fake)
    with pytest.raises(ConfigError, match=r"has no image\.bin"):
        perform(driver.load(replace(design, image=b"")), fake)
    # After another connection everything may be different.
    assert prepare(driver, fake, design) == whole


def test_memory_that_does_not_keep_what_was_written(design):
    driver, fake = make(design)
    size = prepare(driver, fake, design)
    said = []
    perform(driver.verify(design, progress=lambda *done: said.append(done)), fake)
    assert said[-1] == (size, size)
    # What runs write is not compared.
    fake.memory[design.regions["x"].offset] ^= 1
    perform(driver.verify(design), fake)
    places = [design.regions[name].offset + 3 for name in ("weights", "constants")]
    for place in places:
        fake.memory[place] ^= 0x80
    message = f"2 of {size} bytes differ, the first at {min(places):#x}"
    with pytest.raises(ToolError, match=message):
        perform(driver.verify(design), fake)


def test_a_load_that_was_cut_off_is_done_again(design):
    driver, fake = make(design)
    perform(driver.connect(), fake)
    fake.request = lambda _: b""
    with pytest.raises(LinkError, match="does not answer, after 5 attempts"):
        perform(driver.load(design, regions=["rope"]), fake)
    fake.request = bytes
    assert perform(driver.load(design, regions=["rope"]), fake) == design.regions["rope"].size


def test_layers_are_selected_by_base_registers(layers_folder):
    """Both layers of one image, in turns: each as if it were alone, with a cache of its own."""
    image = Design.load(layers_folder)
    with np.load(layers_folder.parent / "rows.npz") as rows:
        x = rows["x"]
    chosen = {number: layer_design(image, number) for number in image.layers}
    hidden = {number: layer.quantize_hidden(x)[0] for number, layer in chosen.items()}
    wanted = {number: golden(layer, hidden[number]) for number, layer in chosen.items()}
    assert not np.array_equal(wanted[2], wanted[0])
    driver, fake = make(image)
    prepare(driver, fake, image)
    for layer in chosen.values():
        for name in ("program", "weights", "constants", "rope"):
            place = slice(layer.regions[name].offset, layer.regions[name].end)
            assert fake.memory[place] == image.image[place]
    for position in range(len(x)):
        for number, layer in chosen.items():
            row = hidden[number][position]
            token = perform(driver.run_token(layer, row, (position,)), fake)
            np.testing.assert_array_equal(token.y, wanted[number][position])
    starts = [weights for weights, _ in fake.core.runs]
    assert starts == 3 * [chosen[number].regions["weights"].offset for number in (2, 0)]
    bases = register("base_program").address
    programs = {value for address, value in fake.core.writes if address == bases}
    assert programs == {image.regions["program"].offset}


def test_a_core_with_another_hash_is_refused(design):
    driver, fake = make(design)
    perform(driver.connect(), fake)
    fake.core.set("hash", fake.core.get("hash") ^ 1)
    wanted = design.manifest["hash"]
    found = f"{int(wanted, 16) ^ 1:016x}"
    with pytest.raises(ConfigError, match=f"configuration hash {found}, manifest.json {wanted}"):
        perform(driver.check_identity(design), fake)


def test_what_is_no_core_of_ours_is_refused(design):
    driver, fake = make(design)
    perform(driver.connect(), fake)
    fake.core.set("identity", 0xFFFF_FFFF)
    with pytest.raises(ConfigError, match="no core: its identity reads 0xffffffff"):
        perform(driver.check_identity(design), fake)
    driver, fake = make(design)
    perform(driver.connect(), fake)
    fake.core.set("version", 2 << 16 | 5)
    with pytest.raises(ConfigError, match=r"version 2\.0\.5, this program knows 1\.1\.0"):
        perform(driver.check_identity(design), fake)
    driver, fake = make(design, port_bytes=16)
    perform(driver.connect(), fake)
    with pytest.raises(ConfigError, match=r"memory port has 16 bytes, that of manifest.json 8"):
        perform(driver.check_identity(design), fake)


def test_what_is_no_link_of_ours_is_refused(design):
    driver, fake = make(design, version=9)
    with pytest.raises(ConfigError, match="speaks version 9 of the protocol, this program 1"):
        perform(driver.connect(), fake)
    driver, fake = make(design)
    fake._carry_out = lambda *_: (0, bytes(12))
    with pytest.raises(ConfigError, match="what answers is no host link of mla-hw"):
        perform(driver.connect(), fake)
    with pytest.raises(ConfigError, match="must be identified before"):
        perform(driver.load(design), fake)


class Chatter:
    """A device that says things all the time, none of which are frames."""

    def __init__(self, words):
        self.words, self.reads = words, 0

    def write(self, data):
        pass

    def read(self, timeout):
        self.reads += 1
        return self.words


@pytest.mark.parametrize("words", [b"login: " * 100, b"tick\r\n"])
def test_a_line_that_only_chatters_is_given_up(words):
    link, chatter = Link(baud=BAUD), Chatter(words)
    with pytest.raises(LinkError, match=r"does not answer, after 5 attempts: \d+ bytes came, but"):
        perform(link.identify(), chatter)
    assert link.traffic.requests == 5
    # Each of them may come as late as a response.
    assert chatter.reads < 5 * 20


def test_a_run_that_fails_is_named(design, hidden):
    driver, fake = make(design)
    prepare(driver, fake, design)
    fake.core.error = ErrorCode.READ
    fake.core.set("error_program_counter", 17)
    with pytest.raises(ToolError, match=r"stopped: read refused by the memory \(instruction 17\)"):
        perform(driver.run_token(design, hidden[0], (0,)), fake)
    fake.core.error = ErrorCode.NONE
    token = perform(driver.run_token(design, hidden[0], (0,)), fake)
    np.testing.assert_array_equal(token.y, golden(design, hidden[:1])[0])


def test_a_run_that_does_not_end_is_given_up_and_can_be_ended(design, hidden):
    driver, fake = make(design)
    prepare(driver, fake, design)
    fake.core.reads = 0
    with pytest.raises(ToolError, match="has not ended its run within 4194304 cycles"):
        perform(driver.run_token(design, hidden[0], (0,)), fake)
    # Another session begins, and finds the core running.
    fake.core.reads = 300
    assert fake.core.running
    driver, _ = make()
    prepare(driver, fake, design)
    assert ABORT in fake.core.writes
    token = perform(driver.run_token(design, hidden[0], (0,)), fake)
    np.testing.assert_array_equal(token.y, golden(design, hidden[:1])[0])


def test_a_run_that_cannot_be_ended(design):
    driver, fake = make(design)
    perform(driver.connect(), fake)
    fake.core.set("status", 1)
    with pytest.raises(ToolError, match="does not end a run that is under way"):
        perform(driver.stop(), fake)


def test_sizes_and_places_that_do_not_fit(design):
    driver, fake = make(design, size=1024)
    perform(driver.connect(), fake)
    with pytest.raises(ConfigError, match="in beats of 8 bytes, not 12 bytes at 0x0"):
        perform(driver.link.read_memory(0, 12), fake)
    with pytest.raises(ConfigError, match="not 8 bytes at 0x4"):
        perform(driver.link.write_memory(4, bytes(8)), fake)
    with pytest.raises(ConfigError, match="113 registers cannot be read at once"):
        perform(driver.link.read_registers(Space.CORE, 0, 113), fake)
    with pytest.raises(LinkError, match="write_memory at 0x380 to 0x53f: the bus has answered"):
        perform(driver.link.write_memory(0, bytes(2048)), fake)
    assert perform(driver.link.read_memory(0, 0), fake) == b""


def test_many_registers_take_several_requests():
    driver, fake = make()
    perform(driver.connect(), fake)
    pairs = [(4 * number, number) for number in range(130)]
    perform(driver.link.write_registers(Space.CONTROLLER, pairs), fake)
    assert fake.controller.writes == pairs
    assert fake.done.count("write_controller") == 3


@pytest.mark.parametrize("noise", [0, 0.0005], ids=["clean", "noise"])
def test_the_same_driver_runs_over_simulated_pins(design, hidden, noise):
    """Everything that `mla-hw run` does, but for the image, most of which is there already."""
    board = Board(size=1 << 15, noise=noise)
    board.core = FakeCore(design, board.content, reads=20)
    board.content[: len(design.image)] = design.image
    rope = design.regions["rope"]
    board.content[rope.offset : rope.end] = bytes(rope.size)
    driver = Driver(board.link, patience=1 << 22)
    wanted = golden(design, hidden[:2])

    async def testbench(board):
        await board.perform(driver.connect())
        await board.perform(driver.check_identity(design))
        assert await board.perform(driver.load(design, regions=["rope"])) == rope.size
        for position, y in enumerate(wanted):
            row = hidden[position]
            token = await board.perform(driver.run_token(design, row, (position,)))
            np.testing.assert_array_equal(token.y, y)
            assert token.counters["cycles"] == CYCLES + position
        assert board.core.writes.count(START) == 2
        assert (driver.link.traffic.repeated > 0) == (noise > 0)

    board.simulate(testbench)


def test_a_session_that_is_cut_off_in_a_frame_leaves_the_link_able_to_go_on():
    board = Board()

    async def testbench(board):
        await board.perform(board.link.identify())
        write, line = board.line.write, board.line

        async def cut(data):
            await write(data[: len(data) // 2])
            raise ConnectionError

        line.write = cut
        with pytest.raises(ConnectionError):
            await board.perform(board.link.write_memory(0, bytes(64)))
        line.write = write
        # Whoever comes next knows nothing of it, not even the sequence number.
        for sequence in (0, 130, 255):
            link = Link(baud=board.link.baud, timeout=0.002, sequence=sequence)
            await board.perform(link.identify())
            await board.perform(link.write_memory(0, bytes(range(64))))
            assert await board.perform(link.read_memory(0, 64)) == bytes(range(64))
            assert link.traffic.repeated == 0

    board.simulate(testbench)
