"""A host link with memory and registers behind it, in Amaranth's simulator."""

import random

from amaranth.sim import Simulator

from mla_hw.host.link import Link
from mla_hw.host.operation import perform_async
from mla_hw.host.pins import PinListener, PinTransport
from rtl_gen.axi import Response
from rtl_gen.host.host_link import HostLink
from tests.axi import Pauses
from tests.host.fake_link import Registers

__all__ = ["CLOCK_HZ", "Board"]

CLOCK_HZ = 1_000_000


class Board:
    """The link and what it serves; test benches get the board and run operations on its pins.

    Parameters
    ----------
    port_bytes, divisor : int
    rng : numpy.random.Generator or None
        Makes the buses pause.
    size : int
        Bytes of memory.
    errors : collection of int
        Addresses of bursts that the memory refuses.
    noise : float
        Probability that a bit is inverted, in either direction.
    """

    def __init__(self, *, port_bytes=8, divisor=4, rng=None, size=4096, errors=(), noise=0.0):
        self.dut = HostLink(port_bytes=port_bytes, divisor=divisor, clock_hz=CLOCK_HZ)
        self.divisor = divisor
        self.port_bytes = port_bytes
        self.pauses = Pauses(rng)
        self.content = bytearray(size)
        self.errors = errors
        #: Cycles that the line has taken, and when reads of memory were.
        self.cycles, self.read_times = 0, []
        self.core, self.controller = Registers(), Registers()
        #: Buses that are answered here.
        self.served = ("memory", "control", "controller")
        #: The link stays without an answer while this is set.
        self.stuck = False
        self._noise, self._rng = noise, random.Random(0)
        self.link = Link(baud=CLOCK_HZ // divisor, timeout=0.002, attempts=10)

    def simulate(self, testbench, *, max_cycles=400_000):
        """Run ``testbench(board)``; ``max_cycles`` cycles are an error."""

        async def main(ctx):
            self.ctx = ctx

            async def wait(bits):
                await ctx.delay(bits * self.divisor / CLOCK_HZ)
                self.cycles += bits * self.divisor

            ctx.set(self.dut.rx, 1)
            await wait(2)
            self.line = PinTransport(
                drive=lambda bit: ctx.set(self.dut.rx, self._spoil(bit)),
                wait=wait,
                listener=self.listener,
                baud=CLOCK_HZ / self.divisor,
            )
            await testbench(self)

        async def listen(ctx):
            async def wait(bits):
                await ctx.delay(bits * self.divisor / CLOCK_HZ)

            self.listener = PinListener(
                sample=lambda: self._spoil(ctx.get(self.dut.tx)),
                edge=lambda: ctx.negedge(self.dut.tx),
                wait=wait,
            )
            await self.listener.listen()

        async def watchdog(ctx):
            await ctx.delay(max_cycles / CLOCK_HZ)
            raise TimeoutError(f"still busy after {max_cycles} cycles")

        simulator = Simulator(self.dut)
        simulator.add_clock(1 / CLOCK_HZ)
        simulator.add_testbench(listen, background=True)
        simulator.add_testbench(watchdog, background=True)
        actions = {
            "memory": (self._read_memory, self._write_memory),
            "control": self._registers(self.core),
            "controller": self._registers(self.controller),
        }
        for name in self.served:
            process = self._serve(getattr(self.dut, name), *actions[name])
            simulator.add_testbench(process, background=True)
        simulator.add_testbench(main)
        simulator.run()

    def _spoil(self, bit):
        return bit ^ (self._rng.random() < self._noise)

    async def perform(self, operation):
        """Run an operation over the pins."""
        return await perform_async(operation, self.line)

    async def wait(self, cycles):
        await self.ctx.delay(cycles / CLOCK_HZ)

    def _serve(self, bus, read, write):
        """Subordinate of any bus: takes a beat at a time, with pauses before each step.

        ``read`` and ``write`` return what is answered, as far as the bus has it.
        """

        async def pause(ctx, *held):
            offered = [ctx.get(signal) for signal in held]
            while self.stuck or not self.pauses.go():
                await ctx.tick()
                assert [ctx.get(signal) for signal in held] == offered, "changed while waiting"

        async def take(ctx, channel, *members):
            if not ctx.get(channel.valid):
                await ctx.tick().until(channel.valid)
            signals = [getattr(channel, name) for name in members]
            await pause(ctx, channel.valid, *signals)
            ctx.set(channel.ready, 1)
            values = await ctx.tick().sample(*signals).until(channel.valid)
            ctx.set(channel.ready, 0)
            return values

        async def answer(ctx, channel, **members):
            await pause(ctx)
            for name, value in members.items():
                ctx.set(getattr(channel, name), value)
            ctx.set(channel.valid, 1)
            await ctx.tick().until(channel.ready)
            ctx.set(channel.valid, 0)

        burst = [name for name in ("len", "size", "burst") if name in bus.ar.signature.members]
        last = [name for name in ("last",) if name in bus.w.signature.members]

        async def testbench(ctx):
            while True:
                if not ctx.get(bus.ar.valid | bus.aw.valid):
                    await ctx.posedge(bus.ar.valid).posedge(bus.aw.valid)
                    continue
                assert not ctx.get(bus.ar.valid & bus.aw.valid)
                if ctx.get(bus.ar.valid):
                    address, *rest = await take(ctx, bus.ar, "addr", *burst)
                    data, response = read(address)
                    await answer(ctx, bus.r, data=data, resp=response)
                else:
                    address, *rest = await take(ctx, bus.aw, "addr", *burst)
                    value, strobe, *final = await take(ctx, bus.w, "data", "strb", *last)
                    assert strobe == (1 << len(bus.w.strb)) - 1
                    assert all(final)
                    await answer(ctx, bus.b, resp=write(address, value))
                assert not rest or rest == [0, (len(bus.w.strb) - 1).bit_length(), 1]

        return testbench

    def _read_memory(self, address):
        assert address % self.port_bytes == 0
        self.read_times.append(self.cycles)
        data = self.content[address : address + self.port_bytes]
        return int.from_bytes(data, "little"), self._response(address in self.errors)

    def _write_memory(self, address, value):
        assert address % self.port_bytes == 0
        if address not in self.errors:
            data = value.to_bytes(self.port_bytes, "little")
            self.content[address : address + self.port_bytes] = data
        return self._response(address in self.errors)

    def _response(self, refused):
        return Response.SLVERR if refused else Response.OKAY

    def _registers(self, registers):
        """What reads and writes of registers do."""

        def read(address):
            return registers.read(address), self._response(address in registers.refused)

        def write(address, value):
            if address not in registers.refused:
                registers.write(address, value)
            return self._response(address in registers.refused)

        return read, write
