"""Bench of a vector unit: its commands, the memories that it reads, its multipliers and outputs."""

from operator import attrgetter

from amaranth import Elaboratable, Module
from amaranth.lib.memory import Memory

from mla_hw.cycles.context_accumulator import CONTEXT_READ_LATENCY
from mla_hw.cycles.simple_memory import MEMORY_READ_LATENCY
from mla_hw.program.instructions import FIELDS
from rtl_gen.pipeline import delay
from rtl_gen.units.multiplier import Multiplier
from tests.streams import simulate

__all__ = ["TARGETS", "VectorBench"]

TARGETS = {name: code for code, name in enumerate(FIELDS["target"].choices)}
_MULTIPLIERS = ("multiplier_0", "multiplier_1")
_IDLE_CYCLES = 4


class VectorBench(Elaboratable):
    """Surround a unit with memories and multipliers, run commands, record what it writes.

    Parameters
    ----------
    dut : Component
        Unit with ``command`` and ``done``.
    outputs : tuple of str
        Ports with ``en`` whose writes are recorded.
    pulses : tuple of str
        Ports, or fields of ports, whose cycles are counted.
    memories : lists of int
        Contents of the memory behind each read port.
    """

    def __init__(self, dut, *, outputs, pulses=(), **memories):
        self.dut = dut
        self.memories = memories
        self.outputs = outputs
        self.pulses = pulses
        self.storage = {}

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = self.dut
        for name in self.multipliers:
            port = getattr(self.dut, name)
            m.submodules[name] = unit = Multiplier(a_width=16, b_width=16)
            m.d.comb += [unit.a.eq(port.a), unit.b.eq(port.b), port.p.eq(unit.p)]
        for name, contents in self.memories.items():
            port = getattr(self.dut, name)
            memory = Memory(shape=port.data.shape(), depth=max(len(contents), 2), init=contents)
            m.submodules[name] = self.storage[name] = memory
            read = memory.read_port()
            m.d.comb += read.addr.eq(port.address)
            latency = CONTEXT_READ_LATENCY if name == "context" else MEMORY_READ_LATENCY
            m.d.comb += port.data.eq(delay(m, read.data, latency - 1, name))
        return m

    @property
    def multipliers(self):
        return [name for name in _MULTIPLIERS if hasattr(self.dut, name)]

    def load(self, ctx, **memories):
        """Replace the contents of memories."""
        for name, contents in memories.items():
            for address, value in enumerate(contents):
                ctx.set(self.storage[name].data[address], value)

    def run(self, *commands, prepare=None, before=None, finish=None, pauses=0, max_cycles=20_000):
        """Run the commands one after the other; return one dict per command.

        ``await prepare(ctx)`` comes first, ``before(ctx, index)`` in no time before each command,
        ``await finish(ctx)`` last. Between the commands the unit idles for ``pauses`` cycles.

        The keys are ``cycles`` (from the accepted command to ``done``), ``gap`` (to the command
        from ``done`` of the one before), every output with the list of its writes, ``last`` with
        the cycle of its last one, every pulse with its count. What comes until ``done`` belongs to
        the command, what comes later is an error.
        """
        dut, records = self.dut, []
        ports = [getattr(dut, name) for name in self.multipliers]
        operands = [operand for port in ports for operand in (port.a, port.b)]

        async def step(ctx, record):
            """Wait one cycle and record it; return ready and done."""
            _, _, ready, done, *values = await ctx.tick().sample(
                dut.command.ready,
                dut.done,
                *(attrgetter(name)(dut) for name in (*self.outputs, *self.pulses)),
                *operands,
            )
            record["cycles"] += 1
            for name in self.outputs:
                port = values.pop(0)
                if port.en:
                    fields = {key: port[key] for key, _ in port.shape() if key != "en"}
                    record[name].append(fields)
                    record["last"][name] = record["cycles"]
            for name in self.pulses:
                record[name] += values.pop(0)
            assert not ready or not any(values), "an idle unit has to keep off the multipliers"
            return ready, done

        def empty():
            lists = {name: [] for name in self.outputs}
            return {**lists, **dict.fromkeys(self.pulses, 0), "cycles": 0, "last": {}}

        async def testbench(ctx):
            if prepare is not None:
                await prepare(ctx)
            stray = empty()
            for index, command in enumerate(commands):
                if before is not None:
                    before(ctx, index)
                begin, record = stray["cycles"], empty()
                for _ in range(pauses):
                    assert (await step(ctx, stray)) == (1, 0)
                ctx.set(dut.command.payload, command)
                ctx.set(dut.command.valid, 1)
                ready = done = 0
                while not ready:
                    ready, done = await step(ctx, stray)
                    assert not done
                ctx.set(dut.command.valid, 0)
                ctx.set(dut.command.payload, {})
                record["gap"] = stray["cycles"] - begin
                while not done:
                    ready, done = await step(ctx, record)
                    assert not ready, "one command at a time"
                records.append(record)
            for _ in range(_IDLE_CYCLES):
                assert (await step(ctx, stray)) == (1, 0)
            written = [stray[name] for name in (*self.outputs, *self.pulses)]
            assert not any(written), "written outside of a command"
            if finish is not None:
                await finish(ctx)

        simulate(self, testbench, max_cycles=max_cycles)
        return records
