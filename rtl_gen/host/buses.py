"""One transaction after another on the buses of a board."""

from typing import Any

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from mla_hw.host.protocol import (
    LINK_IDENTITY,
    LINK_WORDS,
    MAX_PAYLOAD,
    PAIR_BYTES,
    PROTOCOL_VERSION,
    WORD_BYTES,
    Space,
)
from mla_hw.registers import REGISTER_ADDRESS_BITS
from rtl_gen.axi import axi4_signature, axi_lite_signature, drive_address_constants, is_error

__all__ = ["CONTROLLER_ADDRESS_BITS", "Buses", "answer_layout", "transfer_layout"]

#: Byte addresses of the memory controller's registers.
CONTROLLER_ADDRESS_BITS = 16


def transfer_layout(port_bytes: int) -> data.StructLayout:
    """Return what is to be transferred; the last bytes of ``data`` are a beat, or a pair."""
    return data.StructLayout({
        "space": Space,
        "writing": 1,
        "address": 32,
        "data": 8 * max(PAIR_BYTES, port_bytes),
    })


def answer_layout(port_bytes: int) -> data.StructLayout:
    """Return what has come back; the first bytes of ``data`` are a beat, or a word."""
    return data.StructLayout({"refused": 1, "data": 8 * port_bytes})


class Buses(wiring.Component):
    """Transfer single beats and registers; the link's own words are there at once.

    Address and data are offered from the cycle on in which ``en`` is high; ``done`` is high in the
    cycle in which the bus answers, and ends the transaction. A write to a register has its address
    in front of its value in ``data``. A bus that does not answer stalls it.

    Parameters
    ----------
    port_bytes : int
        Width of the memory port, at least 4.
    clock_hz : int
        For the host to know.

    Members
    -------
    en : :py:`In(1)`
        Stays high, with the same ``transfer``, until ``done``; is low for a cycle behind it.
    transfer : :py:`In(transfer_layout(port_bytes))`
    done : :py:`Out(1)`
    answer : :py:`Out(answer_layout(port_bytes))`
        With ``done``.
    memory : :py:`Out(axi4_signature(...))`
    control : :py:`Out(axi_lite_signature(REGISTER_ADDRESS_BITS))`
    controller : :py:`Out(axi_lite_signature(CONTROLLER_ADDRESS_BITS))`
    """

    en: Signal
    transfer: Any
    done: Signal
    answer: Any
    memory: Any
    control: Any
    controller: Any

    def __init__(self, *, port_bytes: int, clock_hz: int) -> None:
        self.port_bytes, self.clock_hz = port_bytes, clock_hz
        super().__init__({
            "en": In(1),
            "transfer": In(transfer_layout(port_bytes)),
            "done": Out(1),
            "answer": Out(answer_layout(port_bytes)),
            "memory": Out(axi4_signature(address_bits=32, data_bits=8 * port_bytes)),
            "control": Out(axi_lite_signature(REGISTER_ADDRESS_BITS)),
            "controller": Out(axi_lite_signature(CONTROLLER_ADDRESS_BITS)),
        })

    def elaborate(self, platform):
        m = Module()

        transfer, answer = self.transfer, self.answer
        pair = transfer.data[-8 * PAIR_BYTES :]
        drive_address_constants(m, self.memory.ar, self.port_bytes)
        drive_address_constants(m, self.memory.aw, self.port_bytes)
        m.d.comb += [
            self.memory.ar.addr.eq(transfer.address),
            self.memory.aw.addr.eq(transfer.address),
            self.memory.w.data.eq(transfer.data[-8 * self.port_bytes :]),
            self.memory.w.strb.eq(~0),
            self.memory.w.last.eq(1),
        ]
        for bus in (self.control, self.controller):
            m.d.comb += [
                bus.ar.addr.eq(transfer.address),
                bus.aw.addr.eq(pair),
                bus.w.data.eq(pair[8 * WORD_BYTES :]),
                bus.w.strb.eq(~0),
            ]

        # What is still to be taken of a transaction.
        addressing, sending = Signal(init=1), Signal(init=1)
        writing = transfer.writing
        with m.If(~self.en):
            m.d.sync += [addressing.eq(1), sending.eq(1)]
        with m.Switch(transfer.space):
            for space, bus in (
                (Space.MEMORY, self.memory),
                (Space.CORE, self.control),
                (Space.CONTROLLER, self.controller),
            ):
                with m.Case(space):
                    m.d.comb += [
                        bus.ar.valid.eq(self.en & addressing & ~writing),
                        bus.aw.valid.eq(self.en & addressing & writing),
                        bus.w.valid.eq(self.en & sending & writing),
                        bus.r.ready.eq(self.en),
                        bus.b.ready.eq(self.en),
                        self.done.eq(self.en & Mux(writing, bus.b.valid, bus.r.valid)),
                        answer.refused.eq(is_error(Mux(writing, bus.b.resp, bus.r.resp))),
                        answer.data.eq(bus.r.data),
                    ]
                    with m.If(self.en & Mux(writing, bus.aw.ready, bus.ar.ready)):
                        m.d.sync += addressing.eq(0)
                    with m.If(self.en & bus.w.ready):
                        m.d.sync += sending.eq(0)
            with m.Case(Space.LINK):
                m.d.comb += [self.done.eq(self.en), answer.data.eq(self._link_word())]

        return m

    def _link_word(self) -> Value:
        """Return the word of the link itself at the address."""
        values = {
            "identity": LINK_IDENTITY,
            "version": PROTOCOL_VERSION,
            "port_bytes": self.port_bytes,
            "payload_words": MAX_PAYLOAD // WORD_BYTES,
            "clock_hz": self.clock_hz,
        }
        words: Any = [
            Cat(C(values[name], width) for name, width in word.fields.items())
            for word in LINK_WORDS
        ]
        word: Value = Array(words)[self.transfer.address[2:4]]
        return word
