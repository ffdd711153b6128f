# amaranth: UnusedElaboratable=no
import random

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring

from mla_hw.errors import ConfigError
from mla_hw.host.frames import Deframer, encode_frame
from mla_hw.host.link import LinkError
from mla_hw.host.messages import Message, Response
from mla_hw.host.protocol import (
    COMMANDS,
    ESCAPE,
    FLAG,
    MAX_PAYLOAD,
    Operation,
    Space,
    Status,
    command,
)
from mla_hw.host.steps import acknowledge_writes, latch_writes, start_writes
from mla_hw.registers import COUNTERS, IDENTITY, MAP_VERSION, ErrorCode, register
from rtl_gen.host.host_link import HostLink
from rtl_gen.units.registers import Registers
from tests.configs import SMALL
from tests.host.board import CLOCK_HZ, Board
from tests.streams import convert

PORTS = [4, 8, 16, 64]


def message(space, operation, count=1, address=0, data=b""):
    return Message(command=command(space, operation), count=count, address=address, data=data)


def write_core(*pairs):
    data = b"".join(word.to_bytes(4, "little") for pair in pairs for word in pair)
    return message(Space.CORE, Operation.WRITE, len(pairs), data=data)


async def send(board, content):
    await board.line.write(encode_frame(content))


async def responses(board, silence=0.002):
    """Responses until there is none for so many seconds."""
    deframer, found = Deframer(4 * MAX_PAYLOAD), []
    while data := await board.line.read(silence):
        found += [Response.decode(content) for content in deframer.feed(data)]
    assert deframer.spoilt == 0
    return found


async def ask(board, content):
    """The response to a request, or None."""
    await send(board, content)
    found = await responses(board)
    assert len(found) <= 1
    return found[0] if found else None


@pytest.mark.parametrize("pause", [False, True], ids=["free", "pauses"])
@pytest.mark.parametrize("port_bytes", PORTS)
def test_memory_and_registers(port_bytes, pause):
    rng = np.random.default_rng(port_bytes) if pause else None
    board = Board(port_bytes=port_bytes, rng=rng)
    data = random.Random(port_bytes).randbytes(2 * MAX_PAYLOAD) + bytes([FLAG, ESCAPE]) * 64

    async def testbench(board):
        identity = await board.perform(board.link.identify())
        assert (identity.port_bytes, identity.clock_hz) == (port_bytes, CLOCK_HZ)
        assert identity.payload_bytes == MAX_PAYLOAD // port_bytes * port_bytes
        await board.perform(board.link.write_memory(128, data))
        assert board.content[128 : 128 + len(data)] == data
        assert not any(board.content[:128]) | any(board.content[128 + len(data) :])
        assert await board.perform(board.link.read_memory(128, len(data))) == data
        for space, registers in (
            (Space.CORE, board.core),
            (Space.CONTROLLER, board.controller),
        ):
            pairs = [(4, 0x1234_5678), (0x3FC, 0xFFFF_FFFF), (8, 0x7D7E_7D7E), (4, 5)]
            await board.perform(board.link.write_registers(space, pairs))
            assert registers.writes == pairs
            read = board.link.read_registers(space, 0, 4)
            assert await board.perform(read) == [0, 5, 0x7D7E_7D7E, 0]
        assert board.link.traffic.repeated == 0
        assert board.link.traffic.spoilt == 0

    board.simulate(testbench)


def test_refused_items_end_a_request():
    board = Board(errors=[64])

    async def testbench(board):
        await board.perform(board.link.identify())
        board.core.refused = {8}
        with pytest.raises(LinkError, match="write_core: the bus has answered an item with an err"):
            await board.perform(board.link.write_registers(Space.CORE, [(4, 1), (8, 2), (12, 3)]))
        assert board.core.writes == [(4, 1)]
        with pytest.raises(LinkError, match="read_core at 0x4: "):
            await board.perform(board.link.read_registers(Space.CORE, 4, 3))
        response = await ask(board, message(Space.CORE, Operation.READ, 3, 4).content(4))
        assert (response.status, response.words) == (Status.REFUSED, [1])
        board.link._sequence = 4
        with pytest.raises(LinkError, match="wait_core at 0x8: "):
            await board.perform(board.link.wait_register(Space.CORE, 8, 1))
        with pytest.raises(LinkError, match="write_memory at 0x38 to 0x57: "):
            await board.perform(board.link.write_memory(56, bytes(range(32))))
        with pytest.raises(LinkError, match="read_memory at 0x38 to 0x57: "):
            await board.perform(board.link.read_memory(56, 32))
        # Nothing is left behind of an error.
        assert await board.perform(board.link.read_memory(56, 8)) == bytes(range(8))

    board.simulate(testbench)


def test_waiting_ends_with_the_register_or_the_count():
    board = Board()

    async def testbench(board):
        await board.perform(board.link.identify())
        assert await board.perform(board.link.wait_register(Space.CORE, 0x2C, 300)) == 0
        reads = []
        board.core.read = lambda address: reads.append(address) or 2 * (len(reads) == 400)
        assert await board.perform(board.link.wait_register(Space.CORE, 0x2C, 500)) == 2
        assert reads == [0x2C] * 400

    board.simulate(testbench)


def test_unknown_commands():
    board = Board()
    known = {item.code for item in COMMANDS}

    async def testbench(board):
        await board.perform(board.link.identify())
        unknown = [code for code in range(32) if code not in known] + [0x80, 0xFF]
        for sequence, code in enumerate(unknown, 2):
            response = await ask(board, bytes([sequence, code, 0, 0, 0, 0, 0, 0]))
            assert response.status == Status.UNKNOWN
            assert (response.sequence, response.command) == (sequence, code)
            assert response.data == b""
        assert not board.core.writes + board.controller.writes

    board.simulate(testbench)


def test_a_repeated_request_is_answered_and_not_carried_out():
    board = Board()

    async def testbench(board):
        await board.perform(board.link.identify())
        content = write_core((4, 7)).content(2)
        first = await ask(board, content)
        assert first.status == Status.OK
        assert await ask(board, content) == first
        assert board.core.writes == [(4, 7)]
        read = message(Space.CORE, Operation.READ, 2, 4).content(3)
        first = await ask(board, read)
        board.core.values[4] = 9
        # What it was, and not what it is by now.
        assert await ask(board, read) == first
        # Older ones, by up to half of the numbers, are dropped.
        for sequence in (2, 1, 0, 255, 131):
            assert await ask(board, write_core((4, 8)).content(sequence)) is None
        assert board.core.writes == [(4, 7)]
        assert (await ask(board, write_core((4, 8)).content(130))).sequence == 130
        assert board.core.writes == [(4, 7), (4, 8)]
        # Identifying begins anew wherever it is.
        identify = message(Space.LINK, Operation.READ, 3)
        assert (await ask(board, identify.content(20))).words[2] == CLOCK_HZ
        assert (await ask(board, write_core((4, 1)).content(21))).sequence == 21

    board.simulate(testbench)


def test_what_is_no_frame_is_dropped():
    board = Board()
    content = write_core((4, 7), (8, 0x7E7D_0000)).content(2)

    async def testbench(board):
        await board.perform(board.link.identify())
        frame = encode_frame(content)
        # Every byte of it hit, lengths that are wrong, ends that are cut off.
        spoilt = [
            frame[:place] + bytes([frame[place] ^ 1 << place % 8]) + frame[place + 1 :]
            for place in range(1, len(frame) - 1)
        ]
        spoilt += [encode_frame(content[:-4]), encode_frame(content + bytes(4))]
        spoilt += [encode_frame(content[:3]), encode_frame(b""), encode_frame(content + b"1")]
        spoilt += [frame[:cut] for cut in range(0, len(frame) - 1, 3)]
        spoilt += [frame[:-1] + bytes([ESCAPE, FLAG]), encode_frame(content + bytes(600))]
        spoilt += [encode_frame(bytes([*content[:2], 255, *content[3:]]) + bytes(1004))]
        for data in spoilt:
            await board.line.write(data)
        assert await responses(board) == []
        assert board.core.writes == []
        # The next one is understood, whatever was before it.
        assert (await ask(board, content)).status == Status.OK
        assert len(board.core.writes) == 2

    board.simulate(testbench)


def test_noise_and_breaks():
    board = Board()
    rng = random.Random(0)

    async def testbench(board):
        await board.perform(board.link.identify())
        for sequence in range(2, 6):
            await board.line.write(rng.randbytes(700))
            # A cable that is pulled within a byte, and comes back with a spike.
            await board.line.write(encode_frame(write_core((4, 1)).content(sequence))[:9])
            board.ctx.set(board.dut.rx, 0)
            await board.wait(rng.randrange(20, 200))
            board.ctx.set(board.dut.rx, 1)
            await board.wait(50)
            board.ctx.set(board.dut.rx, 0)
            await board.wait(1)
            board.ctx.set(board.dut.rx, 1)
            await board.wait(rng.randrange(60))
            assert await responses(board) == []
            response = await ask(board, write_core((4, sequence)).content(sequence))
            assert response.sequence == sequence
        assert board.core.writes == [(4, sequence) for sequence in range(2, 6)]

    board.simulate(testbench)


def test_a_byte_without_its_stop_bit_spoils_its_frame():
    board = Board()

    async def testbench(board):
        await board.perform(board.link.identify())
        frame = encode_frame(write_core((4, 1)).content(2))
        for place in (1, 8, len(frame) - 1):
            await board.line.write(frame[:place])
            for bit in (0, *(frame[place] >> i & 1 for i in range(8)), 0, 1, 1):
                board.ctx.set(board.dut.rx, bit)
                await board.wait(board.divisor)
            await board.line.write(frame[place + 1 :])
            assert await responses(board) == []
        assert board.core.writes == []

    board.simulate(testbench)


def test_one_request_is_held_and_more_are_dropped():
    board = Board()

    async def testbench(board):
        await board.perform(board.link.identify())
        board.stuck = True
        for sequence in range(2, 7):
            await send(board, write_core((4, sequence)).content(sequence))
        assert await responses(board) == []
        board.stuck = False
        assert [item.sequence for item in await responses(board)] == [2, 3]
        assert board.core.writes == [(4, 2), (4, 3)]
        assert (await ask(board, write_core((4, 7)).content(7))).status == Status.OK

    board.simulate(testbench)


def test_reads_follow_each_other_without_a_gap():
    """Two requests under way keep the line busy."""
    board = Board(divisor=8)
    count = 6

    async def testbench(board):
        await board.perform(board.link.identify())
        await board.perform(board.link.read_memory(0, count * MAX_PAYLOAD))
        cycles = board.read_times[-1] - board.read_times[0]
        line = (count - 1) * (MAX_PAYLOAD + 10) * 10 * board.divisor
        assert cycles < 1.05 * line
        assert board.link.traffic.repeated == 0

    board.simulate(testbench)


class WithRegisters(wiring.Component):
    """The link with the registers of a core, which never runs."""

    def __init__(self, link, core):
        self.link, self.core = link, core
        super().__init__({})
        self.rx, self.tx, self.memory = link.rx, link.tx, link.memory
        self.control, self.controller = link.control, link.controller

    def elaborate(self, platform):
        m = Module()
        m.submodules.link, m.submodules.core = self.link, self.core
        wiring.connect(m, self.link.control, self.core.bus)
        return m


def test_registers_of_a_core():
    """The registers of the core itself answer, and refuse a start that cannot be right."""
    board = Board()
    core = Registers(SMALL, config_hash=0x0123_4567_89AB_CDEF)
    board.dut = WithRegisters(board.dut, core)
    board.served = ("memory", "controller")

    async def testbench(board):
        link = board.link
        await board.perform(link.identify())
        words = await board.perform(link.read_registers(Space.CORE, 0, 5))
        assert words[:4] == [IDENTITY, MAP_VERSION, 0x89AB_CDEF, 0x0123_4567]
        assert words[4] >> 24 == SMALL.port_bytes
        writes = [(register("capacity").address, 4), *start_writes((5,))]
        await board.perform(link.write_registers(Space.CORE, writes))
        events = register("interrupt_status").address
        assert await board.perform(link.wait_register(Space.CORE, events, 1)) == 2
        (code,) = await board.perform(
            link.read_registers(Space.CORE, register("error_code").address, 1)
        )
        assert code == ErrorCode.POSITION
        await board.perform(link.write_registers(Space.CORE, acknowledge_writes()))
        await board.perform(link.write_registers(Space.CORE, latch_writes()))
        counters = register("cycles").address
        count = 2 * len(COUNTERS)
        read = link.read_registers(Space.CORE, counters, count)
        assert await board.perform(read) == [0] * count
        with pytest.raises(LinkError, match="write_core: "):
            await board.perform(link.write_registers(Space.CORE, [(0, 1)]))

    board.simulate(testbench)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("port_bytes", 12, "port_bytes must be one of .* not 12"),
        ("divisor", 3, "divisor must be 4 or more, not 3"),
        ("clock_hz", 0, "clock_hz must be from 1"),
        ("clock_hz", 1 << 32, "clock_hz must be from 1"),
    ],
)
def test_rejects_parameters(name, value, message):
    with pytest.raises(ConfigError, match=message):
        HostLink(**{"port_bytes": 8, "divisor": 16, "clock_hz": 1000, name: value})


def test_emits_verilog():
    text = convert(HostLink(port_bytes=8, divisor=16, clock_hz=48_000_000))
    for port in ("rx", "tx", "memory__ar__valid", "control__w__data", "controller__aw__addr"):
        assert port in text
