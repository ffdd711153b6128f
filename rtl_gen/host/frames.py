"""Frames on a line of bytes: :mod:`mla_hw.host.frames` in gateware."""

from typing import Any

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from mla_hw.host.protocol import (
    CRC_BYTES,
    CRC_INIT,
    CRC_POLYNOMIAL,
    CRC_RESIDUE,
    ESCAPE,
    ESCAPE_FLIP,
    FLAG,
    MAX_PAYLOAD,
    REQUEST,
    WORD_BYTES,
    FrameField,
    header_bytes,
)
from rtl_gen.host.uart import received_layout

__all__ = ["BANK_BYTES", "Crc", "Deframer", "Enframer", "content_layout", "header_layout"]

#: Bytes of a request with its CRC that there is room for.
BANK_BYTES = 512
_OVERHEAD = header_bytes(REQUEST) + CRC_BYTES
assert MAX_PAYLOAD + _OVERHEAD < BANK_BYTES
#: Place of the field in the header that says how long a request is.
_LENGTH_AT = [field.name for field in REQUEST].index("payload")
assert all(field.size == 1 for field in REQUEST[: _LENGTH_AT + 1])


def content_layout() -> data.StructLayout:
    """Return a byte of a content; ``last`` marks its last one."""
    return data.StructLayout({"data": 8, "last": 1})


def header_layout(fields: tuple[FrameField, ...]) -> data.StructLayout:
    """Return the layout of a header of the protocol."""
    return data.StructLayout({field.name: 8 * field.size for field in fields})


class Crc(wiring.Component):
    """CRC of the protocol, a bit per cycle, seen in the cycle after it.

    Members
    -------
    clear : :py:`In(1)`
        Start anew.
    en : :py:`In(1)`
        Take ``bit``.
    bit : :py:`In(1)`
    drain : :py:`In(1)`
        With ``en``: shift the register out instead.
    value : :py:`Out(32)`
        Register, before the final inversion.
    """

    clear: Signal
    en: Signal
    bit: Signal
    drain: Signal
    value: Signal

    def __init__(self) -> None:
        super().__init__({
            "clear": In(1),
            "en": In(1),
            "bit": In(1),
            "drain": In(1),
            "value": Out(8 * CRC_BYTES),
        })

    def elaborate(self, platform):
        m = Module()

        register = Signal(8 * CRC_BYTES, init=CRC_INIT)
        feedback = (register[0] ^ self.bit) & ~self.drain
        m.d.comb += self.value.eq(register)
        with m.If(self.clear):
            m.d.sync += register.eq(CRC_INIT)
        with m.Elif(self.en):
            m.d.sync += register.eq((register >> 1) ^ Mux(feedback, CRC_POLYNOMIAL, 0))

        return m


class Deframer(wiring.Component):
    """Requests out of received bytes, checked and stored.

    Between two flags there must be an unescaped content with the length that its header says, and
    its CRC; anything else, and what has a byte with a framing error, is dropped without a word. A
    request is offered in the cycle after its closing flag and can be read until it is taken.
    Meanwhile the next one is received, and waits; what comes while two are there is dropped. Bytes
    must be 10 cycles apart, at least, for the CRC takes a bit per cycle.

    Members
    -------
    i : :py:`In(stream.Signature(received_layout(), always_ready=True))`
    frame : :py:`Out(stream.Signature(0))`
        A request is there; taken by who has read it.
    read_en : :py:`In(1)`
    read_address : :py:`In(range(BANK_BYTES))`
    read_data : :py:`Out(8)`
        Byte of the offered request at the address of the last cycle with ``read_en``.
    """

    i: Any
    frame: stream.Interface
    read_en: Signal
    read_address: Signal
    read_data: Signal

    def __init__(self) -> None:
        super().__init__({
            "i": In(stream.Signature(received_layout(), always_ready=True)),
            "frame": Out(stream.Signature(0)),
            "read_en": In(1),
            "read_address": In(range(BANK_BYTES)),
            "read_data": Out(8),
        })

    def elaborate(self, platform):
        m = Module()

        m.submodules.crc = crc = Crc()
        # Who reads does not read what is being written.
        attrs: dict = {"no_rw_check": 1}
        storage: memory.Memory = memory.Memory(shape=8, depth=2 * BANK_BYTES, init=[], attrs=attrs)
        m.submodules.storage = storage
        w_port, r_port = storage.write_port(), storage.read_port()

        held = Signal(range(3))
        w_bank, r_bank = Signal(), Signal()
        full = held[1]
        # One bit more than an address of a bank: set when there was no room.
        count = Signal(range(2 * BANK_BYTES))
        length = Signal(8, reset_less=True)
        spoilt, escaped = Signal(init=1), Signal()
        byte = Signal(8, reset_less=True)
        bits = Signal(range(9))
        plain = self.i.p.data ^ Mux(escaped, ESCAPE_FLIP, 0)
        # Byte by byte: flag, escape, or content that is stored and goes on to the CRC.
        is_flag = self.i.valid & (self.i.p.data == FLAG)
        is_escape = self.i.p.data == ESCAPE
        m.d.comb += [w_port.addr.eq(Cat(count[:-1], w_bank)), w_port.data.eq(plain)]
        with m.If(is_flag):
            m.d.sync += [count.eq(0), spoilt.eq(0), escaped.eq(0)]
            m.d.comb += crc.clear.eq(1)
        with m.Elif(self.i.valid & is_escape):
            m.d.sync += escaped.eq(1)
        with m.Elif(self.i.valid & ~count[-1]):
            m.d.comb += w_port.en.eq(~full)
            m.d.sync += [byte.eq(plain), bits.eq(8), count.eq(count + 1), escaped.eq(0)]
            with m.If(count == _LENGTH_AT):
                m.d.sync += length.eq(plain)
        with m.If(self.i.valid & (self.i.p.error | full)):
            m.d.sync += spoilt.eq(1)
        m.d.comb += [crc.en.eq(bits != 0), crc.bit.eq(byte[0])]
        with m.If(bits != 0):
            m.d.sync += [byte.eq(byte >> 1), bits.eq(bits - 1)]

        # Known long before the flag comes.
        whole, intact = Signal(), Signal()
        words = length + _OVERHEAD // WORD_BYTES
        m.d.sync += [
            whole.eq((count == words * WORD_BYTES) & ~spoilt & ~escaped),
            intact.eq(crc.value == CRC_RESIDUE),
        ]
        good, taken = Signal(), Signal()
        m.d.comb += [
            good.eq(is_flag & ~self.i.p.error & whole & intact & ~full),
            self.frame.valid.eq(held != 0),
            taken.eq(self.frame.valid & self.frame.ready),
            r_port.en.eq(self.read_en),
            r_port.addr.eq(Cat(self.read_address, r_bank)),
            self.read_data.eq(r_port.data),
        ]
        m.d.sync += [
            w_bank.eq(w_bank ^ good),
            r_bank.eq(r_bank ^ taken),
            held.eq(held + good - taken),
        ]

        return m


class Enframer(wiring.Component):
    """Frames out of contents.

    The flag is offered in the cycle in which the first byte is; a byte of content is taken eight
    cycles after it, or its second half if it is escaped, has gone out, because the CRC takes a bit
    per cycle. On a line on which a byte takes ten cycles or more there is no gap. A content that
    pauses makes the line pause within the frame.

    Members
    -------
    i : :py:`In(stream.Signature(content_layout()))`
    o : :py:`Out(stream.Signature(8))`
    """

    i: Any
    o: stream.Interface

    def __init__(self) -> None:
        super().__init__({
            "i": In(stream.Signature(content_layout())),
            "o": Out(stream.Signature(8)),
        })

    def elaborate(self, platform):
        m = Module()

        m.submodules.crc = crc = Crc()
        # The content, and behind it what the register of the CRC holds.
        checking, escaped = Signal(), Signal()
        crc_byte = Signal(range(CRC_BYTES))
        bits = Signal(range(8))
        plain = Mux(checking, ~crc.value[:8], self.i.p.data)
        special = (plain == FLAG) | (plain == ESCAPE)
        m.d.comb += [
            crc.drain.eq(checking),
            crc.bit.eq(self.i.p.data.bit_select(bits, 1)),
            self.o.payload.eq(FLAG),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.o.valid.eq(self.i.valid), crc.clear.eq(1)]
                with m.If(self.i.valid & self.o.ready):
                    m.next = "BYTE"
            with m.State("BYTE"):
                m.d.comb += [
                    self.o.valid.eq(checking | self.i.valid),
                    self.o.payload.eq(
                        Mux(special & ~escaped, ESCAPE, plain ^ Mux(escaped, ESCAPE_FLIP, 0))
                    ),
                ]
                with m.If(self.o.valid & self.o.ready):
                    m.d.sync += escaped.eq(special & ~escaped)
                    with m.If(~special | escaped):
                        m.next = "CRC"
            with m.State("CRC"):
                m.d.comb += crc.en.eq(1)
                m.d.sync += bits.eq(bits + 1)
                with m.If(bits == 7):
                    m.next = "BYTE"
                    m.d.comb += self.i.ready.eq(~checking)
                    with m.If(checking):
                        m.d.sync += crc_byte.eq(crc_byte + 1)
                        with m.If(crc_byte == CRC_BYTES - 1):
                            m.next = "END"
                    with m.Elif(self.i.p.last):
                        m.d.sync += checking.eq(1)
            with m.State("END"):
                m.d.comb += self.o.valid.eq(1)
                m.d.sync += checking.eq(0)
                with m.If(self.o.ready):
                    m.next = "IDLE"

        return m
