"""A small core with the ports of the accelerator: copies memory, adding 1 to each word."""

from enum import IntEnum

from amaranth import Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from rtl_gen.axi import Response, axi4_signature, axi_lite_signature, drive_address_constants
from sim.bench import ENGINES, Port

__all__ = ["BEATS", "Fault", "Register", "StandIn", "standin_ports"]

#: Longest region in beats.
BEATS = 256
_TAGS = 0x100


class Register(IntEnum):
    """Addresses."""

    CONTROL = 0x00  # 1: start
    STATUS = 0x04  # 1: done; writing it clears it and the interrupt
    SOURCE = 0x08
    DESTINATION = 0x0C
    BEATS = 0x10
    BURST = 0x14  # beats per burst
    FAULT = 0x18
    CYCLES = 0x1C
    REFUSED = 0x20  # beats and bursts that were not answered with OKAY


class Fault(IntEnum):
    """Rules of the bus that the core breaks when it is told to."""

    NONE = 0
    READ_FALLS = 1
    READ_CHANGES = 2
    LAST_EARLY = 3
    LAST_MISSING = 4
    WRITE_CHANGES = 5
    HANGS = 6
    HALTS_EARLY = 7


def standin_ports(core: "StandIn") -> dict[str, Port]:
    """List the Verilog ports, as the manifest of a core does."""
    ports = {"clk": Port("input", 1), "rst": Port("input", 1)}
    for path, member, value in core.signature.flatten(core):
        direction = "input" if member.flow is In else "output"
        ports["__".join(path)] = Port(direction, len(Value.cast(value)))
    return ports


class _Queue(wiring.Component):
    """What the simulation's trace looks at."""

    def __init__(self) -> None:
        super().__init__({
            "start": Out(1),
            "start_tag": Out(16),
            "end": Out(1),
            "end_tag": Out(16),
            "starts": In(1),
            "ends": In(1),
            "tag": In(16),
        })

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [
            self.start.eq(self.starts),
            self.start_tag.eq(self.tag),
            self.end.eq(self.ends),
            self.end_tag.eq(self.tag),
        ]
        # A submodule without state is dissolved in the Verilog.
        m.d.sync += Signal(name="busy").eq(self.start & ~self.end)
        return m


class _Dispatcher(wiring.Component):
    clear: Out(1)
    halted: Out(1)
    starts: In(1)
    halts: In(1)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [self.clear.eq(self.starts), self.halted.eq(self.halts)]
        m.d.sync += Signal(name="running").eq(self.clear & ~self.halted)
        return m


class StandIn(wiring.Component):
    """Read all bursts of a region, one address per cycle; then write them, one after the other.

    Memory ``buffer.words`` has the data plus 1, ``stamps.cycles`` the cycle of every beat.
    """

    def __init__(self, port_bytes: int) -> None:
        self.port_bytes = port_bytes
        super().__init__({
            "memory": Out(axi4_signature(data_bits=8 * port_bytes)),
            "control": In(axi_lite_signature(8)),
            "interrupt": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        memory, shift = self.memory, exact_log2(self.port_bytes)

        m.submodules.dispatcher = dispatcher = _Dispatcher()
        queues = {engine: _Queue() for engine in ENGINES}
        for engine, queue in queues.items():
            m.submodules[f"{engine}_queue"] = queue
            m.d.comb += queue.tag.eq(_TAGS + ENGINES.index(engine))
        words = Memory(shape=8 * self.port_bytes, depth=BEATS, init=[])
        cycles = Memory(shape=signed(37), depth=BEATS, init=[])
        m.submodules.words, m.submodules.cycles = words, cycles
        word_w, word_r, cycle_w = words.write_port(), words.read_port(), cycles.write_port()

        now = Signal(37)
        start, halt = Signal(), Signal()
        source, destination = Signal(32), Signal(32)
        beats, burst = Signal(9), Signal(9)
        fault, refused = Signal(Fault), Signal(16)
        m.d.sync += now.eq(Mux(start, 1, now + 1))
        m.d.comb += [dispatcher.starts.eq(start), dispatcher.halts.eq(halt)]
        with m.If(halt):
            m.d.sync += self.interrupt.eq(1)

        # Registers: an address and its data are taken together; one transaction at a time.
        control = self.control
        write = Signal()
        m.d.comb += [
            write.eq(control.aw.valid & control.w.valid & ~control.b.valid),
            control.aw.ready.eq(write),
            control.w.ready.eq(write),
            control.ar.ready.eq(~control.r.valid),
        ]
        with m.If(control.b.ready):
            m.d.sync += control.b.valid.eq(0)
        with m.If(control.r.ready):
            m.d.sync += control.r.valid.eq(0)
        with m.If(write):
            m.d.sync += [control.b.valid.eq(1), control.b.resp.eq(Response.OKAY)]
            with m.Switch(control.aw.addr):
                for address, signal in (
                    (Register.SOURCE, source),
                    (Register.DESTINATION, destination),
                    (Register.BEATS, beats),
                    (Register.BURST, burst),
                    (Register.FAULT, fault),
                ):
                    with m.Case(address):
                        m.d.sync += signal.eq(control.w.data)
                with m.Case(Register.CONTROL):
                    m.d.comb += start.eq(control.w.data[0])
                with m.Case(Register.STATUS):
                    m.d.sync += self.interrupt.eq(0)
                with m.Default():
                    m.d.sync += control.b.resp.eq(Response.SLVERR)
        with m.If(control.ar.valid & control.ar.ready):
            m.d.sync += control.r.valid.eq(1)
            with m.Switch(control.ar.addr):
                with m.Case(Register.STATUS):
                    m.d.sync += control.r.data.eq(self.interrupt)
                with m.Case(Register.CYCLES):
                    m.d.sync += control.r.data.eq(now)
                with m.Case(Register.REFUSED):
                    m.d.sync += control.r.data.eq(refused)

        # Reading: addresses and data run on their own.
        addressed, received, written = Signal(9), Signal(9), Signal(9)
        m.d.comb += [
            memory.ar.addr.eq(source + (addressed << shift)),
            memory.ar.len.eq(burst - 1),
            memory.aw.addr.eq(destination + (written << shift)),
            memory.aw.len.eq(burst - 1),
            memory.r.ready.eq(1),
            memory.w.strb.eq(-1),
            memory.w.data.eq(word_r.data),
            word_w.addr.eq(received),
            word_w.data.eq(memory.r.data + 1),
            word_w.en.eq(memory.r.valid),
            cycle_w.addr.eq(received),
            cycle_w.data.eq(now),
            cycle_w.en.eq(memory.r.valid),
        ]
        drive_address_constants(m, memory.ar, self.port_bytes)
        drive_address_constants(m, memory.aw, self.port_bytes)
        with m.If(memory.ar.valid & memory.ar.ready):
            m.d.sync += addressed.eq(addressed + burst)
            with m.If(addressed + burst >= beats):
                m.d.sync += memory.ar.valid.eq(0)
        with m.Elif(memory.ar.valid & (fault == Fault.READ_FALLS)):
            m.d.sync += memory.ar.valid.eq(0)
        with m.Elif(memory.ar.valid & (fault == Fault.READ_CHANGES)):
            m.d.sync += source.eq(source + self.port_bytes)
        with m.If(memory.r.valid):
            m.d.sync += received.eq(received + 1)
            m.d.sync += refused.eq(refused + (memory.r.resp != Response.OKAY))

        left, data = Signal(9), Signal(9)
        m.d.comb += [
            word_r.addr.eq(data + (memory.w.valid & memory.w.ready)),
            memory.w.last.eq(left == 1),
        ]
        with m.If(fault == Fault.LAST_EARLY):
            m.d.comb += memory.w.last.eq(left == 2)
        with m.If(fault == Fault.LAST_MISSING):
            m.d.comb += memory.w.last.eq(0)
        with m.FSM():
            with m.State("IDLE"), m.If(start):
                m.d.sync += [
                    addressed.eq(0),
                    received.eq(0),
                    written.eq(0),
                    data.eq(0),
                    refused.eq(0),
                    memory.ar.valid.eq(1),
                ]
                m.d.comb += queues["reader"].starts.eq(1)
                m.next = "READ"
            all_read = (received == beats) & ~memory.ar.valid & (fault != Fault.HANGS)
            with m.State("READ"), m.If(all_read):
                m.d.comb += [queues["reader"].ends.eq(1), queues["writer"].starts.eq(1)]
                m.next = "ADDRESS"
            with m.State("ADDRESS"):
                m.d.comb += memory.aw.valid.eq(1)
                with m.If(memory.aw.ready):
                    m.d.sync += left.eq(burst)
                    m.next = "DATA"
            with m.State("DATA"):
                m.d.comb += memory.w.valid.eq(1)
                with m.If(memory.w.ready):
                    m.d.sync += [left.eq(left - 1), data.eq(data + 1)]
                    with m.If(left == 1):
                        m.d.sync += written.eq(written + burst)
                        m.next = "RESPONSE"
                with m.Elif(fault == Fault.WRITE_CHANGES):
                    m.d.sync += data.eq(data + 1)
            with m.State("RESPONSE"):
                m.d.comb += memory.b.ready.eq(fault != Fault.HALTS_EARLY)
                with m.If(memory.b.valid | (fault == Fault.HALTS_EARLY)):
                    error = memory.b.valid & (memory.b.resp != Response.OKAY)
                    m.d.sync += refused.eq(refused + error)
                    with m.If(written < beats):
                        m.next = "ADDRESS"
                    with m.Else():
                        m.d.comb += [queues["writer"].ends.eq(1), halt.eq(1)]
                        m.next = "IDLE"
        return m
