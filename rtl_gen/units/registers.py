"""AXI4-Lite registers of the core."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from mla_hw.hardware import CoreConfig
from mla_hw.program.instructions import FIELDS, INSTRUCTION_WORDS
from mla_hw.registers import (
    COUNTERS,
    POSITION_BITS,
    REGISTER_ADDRESS_BITS,
    Access,
    ErrorCode,
    Register,
    cache_register,
    core_constants,
    position_register,
    register,
    registers,
)
from rtl_gen.axi import Response, axi_lite_signature
from rtl_gen.control_layouts import bases_layout, error_layout
from rtl_gen.pipeline import delay
from rtl_gen.units.counters import Counters

__all__ = ["Registers", "events_layout"]


def events_layout() -> data.StructLayout:
    """Return a bit for each event that is counted; the unit counts cycles by itself."""
    return data.StructLayout(dict.fromkeys((name for name in COUNTERS if name != "cycles"), 1))


class Registers(wiring.Component):
    """The register map :func:`mla_hw.registers.registers` as an AXI4-Lite subordinate.

    One transaction at a time, latencies as in :mod:`mla_hw.cycles.registers`; reading a counter
    waits until all are sampled. The low two address bits are ignored. What the map does not allow
    answers with SLVERR and changes nothing. A start whose parameters cannot be right becomes an
    error instead; one while running is ignored. Counters become 0 with ``clear``.

    Parameters
    ----------
    config : CoreConfig
    config_hash : int
        64 bits, for the host to compare with its manifest.

    Members
    -------
    bus : :py:`In(axi_lite_signature(REGISTER_ADDRESS_BITS))`
    interrupt : :py:`Out(1)`
        An enabled event has come and has not been cleared.
    start, abort : :py:`Out(1)`
        Pulses for the dispatcher.
    position, program_beats, bases : :py:`Out(...)`
        Parameters of the run; constant while running.
    clear, running, halted, error : :py:`In(...)`
        State of the dispatcher.
    events : :py:`In(events_layout())`
        What is counted, in this cycle.
    """

    bus: Any
    interrupt: Signal
    start: Signal
    abort: Signal
    position: Signal
    program_beats: Signal
    bases: data.View
    clear: Signal
    running: Signal
    halted: Signal
    error: data.View
    events: data.View

    def __init__(self, config: CoreConfig, *, config_hash: int = 0) -> None:
        self.config = config
        self.config_hash = config_hash
        self.map = registers(config.query_rows)
        super().__init__({
            "bus": In(axi_lite_signature(REGISTER_ADDRESS_BITS)),
            "interrupt": Out(1),
            "start": Out(1),
            "abort": Out(1),
            "position": Out(config.query_rows * POSITION_BITS),
            "program_beats": Out(register("program_beats").mask.bit_length()),
            "bases": Out(bases_layout(config)),
            "clear": In(1),
            "running": In(1),
            "halted": In(1),
            "error": In(error_layout()),
            "events": In(events_layout()),
        })

    def elaborate(self, platform):
        m = Module()

        m.submodules.counters = counters = Counters(len(COUNTERS))
        # What each register reads as, but for the counters.
        values = {
            item.name: Signal(
                item.mask.bit_length(), name=f"{item.name}_value", init=(item.reset or 0)
            )
            for item in self.map
            if item.access is not Access.COUNTER
        }
        self._drive_constants(m, values)
        # Which of them, and which of its words, the address of the transaction selects.
        selected = {
            name: Signal(-(-len(value) // 32), name=f"{name}_selected")
            for name, value in values.items()
        }
        write = self._serve(m, values, selected, counters)
        self._update(m, values, write, selected, counters)
        rows = range(self.config.query_rows)
        bases = [f"base_{name}" for name in FIELDS["base"].choices]
        bases += [cache_register(row) for row in rows[1:]]
        m.d.comb += [
            self.position.eq(Cat(values[position_register(row)] for row in rows)),
            self.program_beats.eq(values["program_beats"]),
            *(self.bases[i].eq(values[name]) for i, name in enumerate(bases)),
        ]

        return m

    def _drive_constants(self, m: Module, values: dict[str, Signal]) -> None:
        constants = core_constants(self.config, self.config_hash)
        for name in ("shape", "limits", "identity", "version", "hash", "control"):
            m.d.comb += values[name].eq(constants.get(name, register(name).reset))

    def _serve(
        self,
        m: Module,
        values: dict[str, Signal],
        selected: dict[str, Signal],
        counters: Counters,
    ) -> Any:
        """Answer transactions; return the write that takes place in this cycle."""
        bus = self.bus
        write: Any = Signal(data.StructLayout({"en": 1, "data": 32, "mask": 32}))
        word = Signal(REGISTER_ADDRESS_BITS - 2, reset_less=True)
        written = Signal(32, reset_less=True)
        strobe = Signal(4, reset_less=True)
        found = Signal(32, reset_less=True)
        response = Signal(Response)
        readable, writable, is_counter = Signal(), Signal(), Signal()

        # The address is decoded in the cycle after it was accepted, and used in the one after that.
        m.d.sync += [signal.eq(0) for signal in (readable, writable, is_counter)]
        with m.Switch(word):
            for item in self.map:
                for i in range(item.words):
                    with m.Case(item.address // 4 + i):
                        m.d.sync += [
                            readable.eq(1),
                            writable.eq(self._writable(item)),
                            is_counter.eq(item.access is Access.COUNTER),
                        ]
                        if item.access is Access.COUNTER:
                            m.d.sync += counters.address.eq(list(COUNTERS).index(item.name))
        for name, signal in selected.items():
            for i, bit in enumerate(signal):
                m.d.sync += bit.eq(word == register(name).address // 4 + i)
        m.d.sync += found.eq(
            reduce(
                or_,
                (
                    Mux(bit, values[name][32 * i : 32 * (i + 1)], 0)
                    for name, signal in selected.items()
                    for i, bit in enumerate(signal)
                ),
            )
        )
        counter_half = counters.value.word_select(word[0], 32)

        m.d.comb += [
            write.data.eq(written),
            write.mask.eq(Cat(bit.replicate(8) for bit in strobe)),
            bus.b.resp.eq(response),
            bus.r.resp.eq(response),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [written.eq(bus.w.data), strobe.eq(bus.w.strb)]
                with m.If(bus.aw.valid & bus.w.valid):
                    m.d.comb += [bus.aw.ready.eq(1), bus.w.ready.eq(1)]
                    m.d.sync += word.eq(bus.aw.addr[2:])
                    m.next = "DECODE WRITE"
                with m.Elif(bus.ar.valid):
                    m.d.comb += bus.ar.ready.eq(1)
                    m.d.sync += word.eq(bus.ar.addr[2:])
                    m.next = "DECODE READ"
            with m.State("DECODE WRITE"):
                m.next = "WRITE"
            with m.State("WRITE"):
                m.d.comb += write.en.eq(writable)
                m.d.sync += response.eq(Mux(writable, Response.OKAY, Response.SLVERR))
                m.next = "WRITTEN"
            with m.State("WRITTEN"):
                m.d.comb += bus.b.valid.eq(1)
                with m.If(bus.b.ready):
                    m.next = "IDLE"
            with m.State("DECODE READ"):
                m.next = "LOOK UP"
            with m.State("LOOK UP"), m.If(~is_counter | ~counters.busy):
                m.next = "FOUND"
            with m.State("FOUND"):
                m.d.sync += [
                    bus.r.data.eq(Mux(is_counter, counter_half, found)),
                    response.eq(Mux(readable, Response.OKAY, Response.SLVERR)),
                ]
                m.next = "READ"
            with m.State("READ"):
                m.d.comb += bus.r.valid.eq(1)
                with m.If(bus.r.ready):
                    m.next = "IDLE"
        return write

    def _writable(self, item: Register) -> Any:
        """Tell whether a write to a register is accepted in this cycle."""
        if item.access is Access.RW_IDLE:
            return ~self.running
        return Const(item.access in (Access.RW, Access.W1, Access.W1C))

    def _update(
        self,
        m: Module,
        values: dict[str, Signal],
        write: Any,
        selected: dict[str, Signal],
        counters: Counters,
    ) -> None:
        """Let writes and the dispatcher change the registers."""
        ones = write.data & write.mask

        def written(name: str) -> Any:
            return write.en & selected[name][0]

        for item in self.map:
            if item.access in (Access.RW, Access.RW_IDLE):
                # With the response, in which cycle `ones` and `mask` are still there: the enable of
                # so many registers comes from one of its own.
                with m.If(delay(m, written(item.name), 1, f"write_{item.name}", reset_less=False)):
                    value = values[item.name]
                    m.d.sync += value.eq((value & ~write.mask) | ones)

        start, abort, latch = (Signal(name=field.name) for field in register("control").fields)
        for field, signal in zip(register("control").fields, (start, abort, latch), strict=True):
            m.d.sync += signal.eq(written("control") & ones[field.lsb])
        # Settled long before a start can follow.
        wrong = Signal(ErrorCode)
        beats = -(-self.config.program_depth * INSTRUCTION_WORDS * 4 // self.config.port_bytes)
        m.d.sync += wrong.eq(ErrorCode.NONE)
        with m.If((values["program_beats"] == 0) | (values["program_beats"] > beats)):
            m.d.sync += wrong.eq(ErrorCode.PROGRAM)
        for row in range(self.config.query_rows):
            with m.If(values[position_register(row)] >= values["capacity"]):
                m.d.sync += wrong.eq(ErrorCode.POSITION)

        running = self.running
        # What the dispatcher reports comes late in the cycle.
        error: Any = Signal(error_layout())
        halted, done, failed, refused = Signal(), Signal(), Signal(), Signal()
        m.d.sync += [error.eq(self.error), halted.eq(self.halted), refused.eq(0)]
        m.d.comb += [
            self.abort.eq(abort & running),
            values["status"].eq(Cat(running, done, failed)),
            counters.count.eq(Cat(running, self.events)),
            counters.clear.eq(self.clear),
            counters.latch.eq(latch),
        ]
        with m.If(start & ~running):
            m.d.sync += [done.eq(0), failed.eq(0), values["error_code"].eq(0)]
            m.d.comb += self.start.eq(wrong == ErrorCode.NONE)
            with m.If(wrong != ErrorCode.NONE):
                m.d.sync += [error.eq(0), error.en.eq(1), error.code.eq(wrong), refused.eq(1)]
        ended_well = halted & ~failed & ~error.en
        # After an error, too, the host is told when it can start again.
        ended_badly = (halted & (failed | error.en)) | refused
        with m.If(ended_well):
            m.d.sync += done.eq(1)
        with m.If(error.en):
            m.d.sync += [
                failed.eq(1),
                values["error_code"].eq(error.code),
                values["error_program_counter"].eq(error.program_counter),
                values["error_address"].eq(error.address),
            ]

        events = values["interrupt_status"]
        cleared = Mux(written("interrupt_status"), ones, 0)
        m.d.sync += events.eq((events & ~cleared) | Cat(ended_well, ended_badly))
        m.d.comb += self.interrupt.eq((events & values["interrupt_enable"]).any())
