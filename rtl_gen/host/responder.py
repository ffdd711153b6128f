"""Responses to the host, which stay until the next one."""

from typing import Any

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from mla_hw.host.protocol import MAX_PAYLOAD, RESPONSE, header_bytes
from rtl_gen.host.frames import BANK_BYTES, content_layout, header_layout

__all__ = ["Responder", "payload_layout"]

_HEADER = header_bytes(RESPONSE)
assert MAX_PAYLOAD + _HEADER < BANK_BYTES


def payload_layout() -> data.StructLayout:
    """Return a byte that is added to the payload."""
    return data.StructLayout({"en": 1, "data": 8})


class Responder(wiring.Component):
    """Store a response's payload and send it behind its header, as often as asked for.

    The first byte is offered in the second cycle of ``send``, and each one two cycles after the one
    before was taken; a line takes longer for it. Where the line waits, it waits.

    Members
    -------
    clear : :py:`In(1)`
        Begin a new payload.
    payload : :py:`In(payload_layout())`
        A byte of it; up to one per cycle.
    header : :py:`In(header_layout(RESPONSE))`
        All but the length is taken from here, while it is sent.
    send : :py:`In(1)`
        Stays high until ``sent``.
    sent : :py:`Out(1)`
        The last byte is taken in this cycle.
    o : :py:`Out(stream.Signature(content_layout()))`
    """

    clear: Signal
    payload: Any
    header: Any
    send: Signal
    sent: Signal
    o: Any

    def __init__(self) -> None:
        super().__init__({
            "clear": In(1),
            "payload": In(payload_layout()),
            "header": In(header_layout(RESPONSE)),
            "send": In(1),
            "sent": Out(1),
            "o": Out(stream.Signature(content_layout())),
        })

    def elaborate(self, platform):
        m = Module()

        attrs: dict = {"no_rw_check": 1}
        storage: memory.Memory = memory.Memory(shape=8, depth=BANK_BYTES, init=[], attrs=attrs)
        m.submodules.storage = storage
        w_port, r_port = storage.write_port(), storage.read_port()

        # Places in the whole response; those of the header stay empty in the memory.
        length = Signal(range(BANK_BYTES), init=_HEADER)
        place, following = Signal.like(length, init=0), Signal.like(length, init=0)
        header: Any = Signal(header_layout(RESPONSE))
        there = Signal()
        m.d.comb += [
            w_port.addr.eq(length),
            w_port.data.eq(self.payload.data),
            w_port.en.eq(self.payload.en),
            following.eq(place + 1),
            header.eq(self.header),
            header.payload.eq(length[2:] - 1),
            r_port.addr.eq(place),
            self.o.p.data.eq(
                Mux(place[2:].any(), r_port.data, header.as_value().word_select(place[:2], 8))
            ),
            self.o.p.last.eq(following == length),
            self.o.valid.eq(self.send & there),
            self.sent.eq(self.o.valid & self.o.ready & self.o.p.last),
        ]
        with m.If(self.clear):
            m.d.sync += length.eq(_HEADER)
        with m.Elif(self.payload.en):
            m.d.sync += length.eq(length + 1)
        # What is stored comes a cycle after its place.
        m.d.sync += there.eq(self.send)
        with m.If(~self.send):
            m.d.sync += place.eq(0)
        with m.Elif(self.o.valid & self.o.ready):
            m.d.sync += [place.eq(following), there.eq(0)]

        return m
