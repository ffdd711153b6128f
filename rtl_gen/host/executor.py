"""Requests of the host, one after another."""

from typing import Any

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from mla_hw.host.protocol import (
    COMMANDS,
    OLDEST,
    PAIR_BYTES,
    REQUEST,
    RESPONSE,
    WAIT_READS,
    WORD_BYTES,
    Operation,
    Space,
    Status,
    command,
    header_bytes,
)
from rtl_gen.host.buses import answer_layout, transfer_layout
from rtl_gen.host.frames import BANK_BYTES, header_layout
from rtl_gen.host.responder import payload_layout

__all__ = ["Executor"]

_IDENTIFY = command(Space.LINK, Operation.READ).code
_HEADER = header_bytes(REQUEST)
# The word that a header passes through has room for it.
assert _HEADER <= PAIR_BYTES


class Executor(wiring.Component):
    """Carry out the requests that wait in a deframer, and have the responses sent.

    A request with the sequence number of the last one is answered again and not carried out a
    second time; one with an older number is dropped. Up to the first item it takes 11 cycles. An
    item takes a cycle for each of its bytes, two, and those of the bus: single beats, because
    memory is far faster than the line. The response is sent when all items are done, and the
    request given up when the last byte of the response is on its way. Only the buses and the line
    stall it.

    Parameters
    ----------
    port_bytes : int
        Width of the memory port, at least 4.

    Members
    -------
    frame, read_en, read_address, read_data
        Of :class:`rtl_gen.host.frames.Deframer`, from the other side.
    bus_en, transfer, bus_done, answer
        Of :class:`rtl_gen.host.buses.Buses`, from the other side.
    clear, payload, header, send, sent
        Of :class:`rtl_gen.host.responder.Responder`, from the other side.
    """

    frame: stream.Interface
    read_en: Signal
    read_address: Signal
    read_data: Signal
    bus_en: Signal
    transfer: Any
    bus_done: Signal
    answer: Any
    clear: Signal
    payload: Any
    header: Any
    send: Signal
    sent: Signal

    def __init__(self, *, port_bytes: int) -> None:
        self.port_bytes = port_bytes
        super().__init__({
            "frame": In(stream.Signature(0)),
            "read_en": Out(1),
            "read_address": Out(range(BANK_BYTES)),
            "read_data": In(8),
            "bus_en": Out(1),
            "transfer": Out(transfer_layout(port_bytes)),
            "bus_done": In(1),
            "answer": In(answer_layout(port_bytes)),
            "clear": Out(1),
            "payload": Out(payload_layout()),
            "header": Out(header_layout(RESPONSE)),
            "send": Out(1),
            "sent": In(1),
        })

    def elaborate(self, platform):
        m = Module()

        # Bytes of a request come in at the top, those of a response leave at the bottom.
        self.word = Signal(8 * max(PAIR_BYTES, self.port_bytes), reset_less=True)
        self.shift, self.load = Signal(), Signal()
        self.sequence, self.command = Signal(8), Signal(8)
        self.status = Signal(Status)
        self.address = Signal(32, reset_less=True)
        # Items, or reads of a wait, that follow this one.
        self.left = Signal(8 + (WAIT_READS - 1).bit_length(), reset_less=True)
        # Bytes that follow this one, of header or item.
        self.bytes_left = Signal(range(len(self.word) // 8), init=_HEADER - 1)
        self.heading = Signal(init=1)
        operation = self.command[2:4]
        self.writing = operation == Operation.WRITE
        self.waiting = operation == Operation.WAIT
        self.in_memory = self.command[:2] == Space.MEMORY

        # A byte of the request is there in the cycle after its address, which is one ahead.
        with m.If(self.read_en):
            m.d.sync += self.read_address.eq(self.read_address + 1)
        with m.If(self.shift):
            m.d.sync += self.bytes_left.eq(self.bytes_left - 1)
        with m.If(self.shift | self.load):
            shifted = Cat(self.word[8:], self.read_data)
            m.d.sync += self.word.eq(Mux(self.shift, shifted, self.answer.data))
        m.d.comb += [
            self.transfer.space.eq(self.command[:2]),
            self.transfer.writing.eq(self.writing),
            self.transfer.address.eq(self.address),
            self.transfer.data.eq(self.word),
            self.payload.data.eq(self.word[:8]),
            self.header.sequence.eq(self.sequence),
            self.header.command.eq(self.command),
            self.header.status.eq(self.status),
        ]
        with m.FSM():
            self._take(m)
            self._decide(m)
            self._transfer(m)
            self._end(m)

        return m

    def _take(self, m: Module) -> None:
        """Take header, and then the items that are written, out of the request."""
        with m.State("IDLE"):
            m.d.sync += [self.bytes_left.eq(_HEADER - 1), self.heading.eq(1)]
            m.d.comb += self.read_en.eq(self.frame.valid)
            with m.If(self.frame.valid):
                m.next = "TAKE"
        with m.State("TAKE"):
            m.d.comb += [self.read_en.eq(1), self.shift.eq(1)]
            with m.If(self.bytes_left == 0):
                m.d.sync += self.heading.eq(0)
                m.next = "BUS"
                with m.If(self.heading):
                    m.next = "DECIDE"

    def _decide(self, m: Module) -> None:
        """Compare sequence number and command with what there is to be done."""
        header: Any = data.View(header_layout(REQUEST), self.word[-8 * _HEADER :])
        ahead = (header.sequence - self.sequence)[:8]
        with m.State("DECIDE"):
            # The last one again.
            m.next = "RESPOND"
            with m.If((header.command == _IDENTIFY) | ((ahead != 0) & (ahead < OLDEST))):
                m.d.comb += self.clear.eq(1)
                m.d.sync += [
                    self.sequence.eq(header.sequence),
                    self.command.eq(header.command),
                    self.address.eq(header.address),
                    self.left.eq(header.count),
                    self.status.eq(Status.OK),
                ]
                m.next = "BEGIN"
            with m.Elif(ahead != 0):
                m.next = "DROP"
        with m.State("BEGIN"):
            self._next_item(m)
            with m.If(self.waiting):
                m.d.sync += self.left.eq(Cat(C(WAIT_READS - 1, 8), self.left[:8]))
            with m.If(~self.command.matches(*(item.code for item in COMMANDS))):
                m.d.sync += self.status.eq(Status.UNKNOWN)
                m.next = "RESPOND"

    def _next_item(self, m: Module) -> None:
        """Go on with the next item: take its bytes if it is written, or else ask the bus."""
        m.d.sync += self.bytes_left.eq(Mux(self.in_memory, self.port_bytes - 1, PAIR_BYTES - 1))
        m.next = "BUS"
        with m.If(self.writing):
            m.next = "TAKE"

    def _transfer(self, m: Module) -> None:
        """Transfer an item, give what was read to the response, and count."""
        with m.State("BUS"):
            m.d.comb += self.bus_en.eq(1)
            m.d.sync += self.bytes_left.eq(Mux(self.in_memory, self.port_bytes - 1, WORD_BYTES - 1))
            with m.If(self.bus_done):
                m.d.comb += self.load.eq(~self.writing)
                with m.If(self.answer.refused):
                    m.d.sync += self.status.eq(Status.REFUSED)
                m.next = "ANSWERED"
        with m.State("ANSWERED"):
            m.next = "GIVE"
            with m.If(self.writing | (self.status != Status.OK)):
                m.next = "COUNT"
            with m.Elif(self.waiting & (self.left != 0) & ~self.word[: 8 * WORD_BYTES].any()):
                m.d.sync += self.left.eq(self.left - 1)
                m.next = "BUS"
        with m.State("GIVE"):
            m.d.comb += [self.shift.eq(1), self.payload.en.eq(1)]
            with m.If(self.bytes_left == 0):
                m.next = "COUNT"
        with m.State("COUNT"):
            words = Mux(self.in_memory, self.port_bytes // WORD_BYTES, 1)
            m.d.sync += [
                self.address[2:].eq(self.address[2:] + words),
                self.left.eq(self.left - 1),
            ]
            self._next_item(m)
            with m.If((self.left == 0) | (self.status != Status.OK) | self.waiting):
                m.next = "RESPOND"

    def _end(self, m: Module) -> None:
        """Have the response sent, and give the request up."""
        with m.State("RESPOND"):
            m.d.comb += self.send.eq(1)
            with m.If(self.sent):
                m.next = "DROP"
        with m.State("DROP"):
            m.d.comb += self.frame.ready.eq(1)
            m.d.sync += self.read_address.eq(0)
            m.next = "IDLE"
