import pytest

from mla_hw.host.controller import RegisterWrite
from rtl_gen.axi import Response
from rtl_gen.memory.controller_port import ControllerPort
from tests.axi_lite import read, write
from tests.streams import simulate

WRITES = (
    RegisterWrite(address=0x800, value=14, wait=20),
    RegisterWrite(address=0x804, value=0xFFFF_FFFF),
    RegisterWrite(address=0x80C, value=7, wait=3),
)
ERROR = 0x1000


class Registers:
    """Wishbone target that acknowledges after some cycles; addresses from ERROR on are errors."""

    def __init__(self, bus, delay):
        self.bus, self.delay = bus, delay
        self.words = {}
        #: Cycle of the acknowledge, address and value.
        self.log = []

    async def run(self, ctx):
        bus, cycle, waited = self.bus, 0, 0
        while True:
            _, _, cyc, stb, we, adr, data, sel = await ctx.tick().sample(
                bus.cyc, bus.stb, bus.we, bus.adr, bus.dat_w, bus.sel
            )
            done = ctx.get(bus.ack) or ctx.get(bus.err)
            assert cyc == stb
            if done:
                address = 4 * adr
                if we and ctx.get(bus.ack):
                    self.log.append((cycle, address, data))
                    assert sel == 0xF
            waited = waited + 1 if cyc and not done else 0
            answer = bool(cyc and not done and waited > self.delay)
            fails = 4 * adr >= ERROR
            ctx.set(bus.ack, answer and not fails)
            ctx.set(bus.err, answer and fails)
            if answer:
                if we and not fails:
                    self.words[4 * adr] = data
                ctx.set(bus.dat_r, self.words.get(4 * adr, 0))
            cycle += 1


@pytest.mark.parametrize("delay", [0, 3])
def test_initialisation_then_host(delay):
    dut = ControllerPort(WRITES)
    registers = Registers(dut.registers, delay)
    seen = []

    async def host(ctx):
        seen.append((await read(ctx, dut.host, 0x80C), ctx.get(dut.done)))
        assert await write(ctx, dut.host, 0x810, 0x1234) == Response.OKAY
        seen.append(await read(ctx, dut.host, 0x810))
        seen.append(await read(ctx, dut.host, ERROR + 4))
        assert await write(ctx, dut.host, ERROR, 1) == Response.SLVERR

    simulate(dut, host, background=[registers.run])
    # The first request of the host waits for the end of the initialisation.
    assert seen[0] == ((7, Response.OKAY), 1)
    assert seen[1] == (0x1234, Response.OKAY)
    assert seen[2][1] == Response.SLVERR
    assert [entry[1:] for entry in registers.log] == [
        *((step.address, step.value) for step in WRITES),
        (0x810, 0x1234),
    ]
    cycles = [entry[0] for entry in registers.log]
    for step, before, after in zip(WRITES, cycles, cycles[1:], strict=False):
        assert after - before > step.wait


def test_without_initialisation_the_host_is_served_at_once():
    dut = ControllerPort(())
    registers = Registers(dut.registers, 0)
    found = []

    async def host(ctx):
        assert ctx.get(dut.done)
        await write(ctx, dut.host, 4, 5)
        found.append(await read(ctx, dut.host, 4))

    simulate(dut, host, background=[registers.run])
    assert found == [(5, Response.OKAY)]


def test_reads_and_writes_take_turns():
    dut = ControllerPort(())
    registers = Registers(dut.registers, 0)
    order = []

    async def reads(ctx):
        for _ in range(4):
            await read(ctx, dut.host, 0)
            order.append("read")

    async def writes(ctx):
        for _ in range(4):
            await write(ctx, dut.host, 0, 1)
            order.append("write")

    simulate(dut, reads, writes, background=[registers.run])
    assert {*order[0:2]} == {*order[2:4]} == {*order[4:6]} == {"read", "write"}
