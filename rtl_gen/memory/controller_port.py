"""The registers of a memory controller: initialisation, and access for the host."""

from collections.abc import Sequence
from typing import Any

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from mla_hw.host.controller import RegisterWrite
from rtl_gen.axi import Response, axi_lite_signature

__all__ = ["CONTROLLER_ADDRESS_BITS", "ControllerPort", "wishbone_signature"]

CONTROLLER_ADDRESS_BITS = 16
"""Width of byte addresses behind the port."""

_WORD_SHIFT = 2


def wishbone_signature(address_bits: int) -> wiring.Signature:
    """Classic Wishbone with 32 data bits, seen from the initiator; addresses count words."""
    return wiring.Signature({
        "cyc": Out(1),
        "stb": Out(1),
        "we": Out(1),
        "adr": Out(address_bits),
        "sel": Out(4),
        "dat_w": Out(32),
        "dat_r": In(32),
        "ack": In(1),
        "err": In(1),
    })


class ControllerPort(wiring.Component):
    """Write a fixed sequence to the registers of a memory controller, then let the host at them.

    The writes begin in the first cycle after the reset. Each ends with its acknowledge, and the
    next begins after as many cycles as it asks for, at least one. Requests of the host wait until
    all are done. An access of the host is offered to the controller in the cycle after its address,
    and for a write its data, has been offered; it is answered in the cycle after the acknowledge,
    with SLVERR after an error. One access at a time; reads and writes offered together take turns.

    Parameters
    ----------
    writes : sequence of RegisterWrite
        The initialisation; may be empty.

    Members
    -------
    host : :py:`In(axi_lite_signature(CONTROLLER_ADDRESS_BITS))`
        The low two address bits are ignored.
    registers : :py:`Out(wishbone_signature(...))`
    done : :py:`Out(1)`
        The writes are done.
    """

    host: Any
    registers: Any
    done: Signal

    def __init__(self, writes: Sequence[RegisterWrite]) -> None:
        self.writes = tuple(writes)
        super().__init__({
            "host": In(axi_lite_signature(CONTROLLER_ADDRESS_BITS)),
            "registers": Out(wishbone_signature(CONTROLLER_ADDRESS_BITS - _WORD_SHIFT)),
            "done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()

        bus = self.registers
        ended = bus.ack | bus.err
        m.d.comb += [bus.stb.eq(bus.cyc), self.done.eq(1)]
        with m.If(ended):
            m.d.sync += bus.cyc.eq(0)
        if self.writes:
            self._initialise(m, ended)
        self._serve_host(m, ended)

        return m

    def _initialise(self, m: Module, ended: Value) -> None:
        bus = self.registers
        step = Signal(range(len(self.writes) + 1))
        longest = max(write.wait for write in self.writes)
        wait = Signal(range(longest + 1))
        started = Signal()
        m.d.comb += self.done.eq((step == len(self.writes)) & (wait == 0))
        address, value, pause = (Signal.like(signal) for signal in (bus.adr, bus.dat_w, wait))
        with m.Switch(step):
            for index, write in enumerate(self.writes):
                with m.Case(index):
                    m.d.comb += [
                        address.eq(write.address >> _WORD_SHIFT),
                        value.eq(write.value),
                        pause.eq(write.wait),
                    ]
        with m.If(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.Elif(~self.done & ~started):
            m.d.sync += [
                started.eq(1),
                bus.cyc.eq(1),
                bus.we.eq(1),
                bus.adr.eq(address),
                bus.dat_w.eq(value),
                bus.sel.eq(0b1111),
            ]
        with m.If(started & ended):
            m.d.sync += [started.eq(0), step.eq(step + 1), wait.eq(pause)]

    def _serve_host(self, m: Module, ended: Value) -> None:
        bus, host = self.registers, self.host
        busy, turn = Signal(), Signal()
        answering = host.r.valid | host.b.valid
        idle = self.done & ~busy & ~answering
        wants_write = host.aw.valid & host.w.valid
        writes = wants_write & (turn | ~host.ar.valid)
        reads = host.ar.valid & ~writes
        m.d.comb += [
            host.aw.ready.eq(idle & writes),
            host.w.ready.eq(idle & writes),
            host.ar.ready.eq(idle & reads),
        ]
        with m.If(idle & (writes | reads)):
            m.d.sync += [
                busy.eq(1),
                turn.eq(reads),
                bus.cyc.eq(1),
                bus.we.eq(writes),
                bus.adr.eq(Mux(writes, host.aw.addr, host.ar.addr) >> _WORD_SHIFT),
                bus.dat_w.eq(host.w.data),
                bus.sel.eq(Mux(writes, host.w.strb, 0b1111)),
            ]
        for channel in (host.r, host.b):
            with m.If(channel.ready):
                m.d.sync += channel.valid.eq(0)
        response = Mux(bus.err, Response.SLVERR, Response.OKAY)
        with m.If(busy & ended):
            m.d.sync += [
                busy.eq(0),
                host.b.valid.eq(bus.we),
                host.r.valid.eq(~bus.we),
                host.b.resp.eq(response),
                host.r.resp.eq(response),
                host.r.data.eq(bus.dat_r),
            ]
