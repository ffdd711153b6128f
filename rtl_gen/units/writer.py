"""Writer: STORE, from the packed row or the output buffer to memory."""

from typing import Any

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from mla_hw.cycles.output_buffer import OUTPUT_READ_LATENCY
from mla_hw.hardware import BURST_BEATS, CoreConfig
from mla_hw.program.instructions import FIELDS
from rtl_gen.axi import (
    BurstSplitter,
    axi4_write_signature,
    drive_address_constants,
    is_error,
)
from rtl_gen.layouts import ADDRESS_BITS, read_port_signature, writer_command_layout
from rtl_gen.pipeline import delay
from rtl_gen.units.queue import Queue

__all__ = ["Writer"]

_OUTPUT = FIELDS["target"].choices.index("output")
#: Port words between buffer and W channel. A read starts only if there is room for it and for the
#: words that may be on their way; four would do for one beat per cycle, and cost as much.
_READ_AHEAD = 8


class Writer(wiring.Component):
    """Write a buffer to memory in bursts of AXI4; one STORE at a time.

    Word 0 of the buffer goes to ``address``, whole port words in order. No burst crosses a multiple
    of BURST_BEATS beats. Addresses and data are offered independently of each other, as AXI asks
    for; data flow at one beat per cycle while WREADY is high. :mod:`mla_hw.cycles.writer` is the
    timing.

    Parameters
    ----------
    config : :class:`CoreConfig`

    Members
    -------
    command : :py:`In(stream.Signature(writer_command_layout()))`
        STORE: ``target`` row or output, ``address`` in bytes, a multiple of ``port_bytes``, and
        ``beats``, at least 1 and not more than the buffer has.
    done : :py:`Out(1)`
        Pulse at the end of an instruction: all its bursts have been acknowledged.
    busy : :py:`Out(1)`
        An instruction is under way.
    row : :py:`Out(read_port_signature(unsigned(8 * port_bytes), row_beats))`
        Read port of the packed row.
    output : :py:`Out(read_port_signature(unsigned(8 * port_bytes), output_words))`
        Read port of the output buffer.
    axi : :py:`Out(axi4_write_signature(...))`
        Write channels of the memory port.
    error : :py:`Out(1)`
        A burst was answered with an error since the reset.
    error_address : :py:`Out(ADDRESS_BITS)`
        Byte address of the first such burst.
    """

    command: stream.Interface
    done: Signal
    busy: Signal
    row: Any
    output: Any
    axi: Any
    error: Signal
    error_address: Signal

    def __init__(self, config: CoreConfig) -> None:
        self.config = config
        word = unsigned(8 * config.port_bytes)
        super().__init__({
            "command": In(stream.Signature(writer_command_layout())),
            "done": Out(1),
            "busy": Out(1),
            "row": Out(read_port_signature(word, config.row_beats)),
            "output": Out(read_port_signature(word, config.output_words)),
            "axi": Out(
                axi4_write_signature(address_bits=ADDRESS_BITS, data_bits=8 * config.port_bytes)
            ),
            "error": Out(1),
            "error_address": Out(ADDRESS_BITS),
        })

    def elaborate(self, platform):
        m = Module()

        byte_bits = exact_log2(self.config.port_bytes)
        address_bits = ADDRESS_BITS - byte_bits
        m.submodules.addresses = addresses = BurstSplitter(address_bits)
        m.submodules.answers = answers = BurstSplitter(address_bits)
        m.submodules.words = words = Queue(_word_layout(self.config), _READ_AHEAD)

        accepted = self.command.valid & self.command.ready
        m.d.comb += self.command.ready.eq(~self.busy)
        for splitter in (addresses, answers):
            m.d.comb += [
                splitter.i.valid.eq(accepted),
                splitter.i.p.address.eq(self.command.p.address[byte_bits:]),
                splitter.i.p.beats.eq(self.command.p.beats),
            ]

        aw = self.axi.aw
        beat_address = Signal(address_bits, reset_less=True)
        length = Signal(8, reset_less=True)
        m.d.comb += [
            addresses.o.ready.eq(~aw.valid | aw.ready),
            aw.addr.eq(beat_address << byte_bits),
            aw.len.eq(length),
        ]
        with m.If(addresses.o.ready):
            m.d.sync += [
                aw.valid.eq(addresses.o.valid),
                beat_address.eq(addresses.o.p.address),
                length.eq(addresses.o.p.length),
            ]
        drive_address_constants(m, aw, self.config.port_bytes)

        self._read(m, accepted, byte_bits, words)
        m.d.comb += [
            self.axi.w.valid.eq(words.o.valid),
            self.axi.w.data.eq(words.o.p.data),
            self.axi.w.last.eq(words.o.p.last),
            self.axi.w.strb.eq(~0),
            words.o.ready.eq(self.axi.w.ready),
        ]

        # No more answers come than bursts have been sent.
        b = self.axi.b
        answered = delay(m, b.valid, 1, "answered", reset_less=False)
        refused = delay(m, is_error(b.resp), 1, "refused")
        finished = answered & answers.o.p.last
        m.d.comb += [b.ready.eq(1), answers.o.ready.eq(answered)]
        m.d.sync += self.done.eq(finished)
        with m.If(accepted):
            m.d.sync += self.busy.eq(1)
        with m.Elif(finished):
            m.d.sync += self.busy.eq(0)

        failed_at = Signal(address_bits, reset_less=True)
        with m.If(answered & refused & ~self.error):
            m.d.sync += [self.error.eq(1), failed_at.eq(answers.o.p.address)]
        m.d.comb += self.error_address.eq(failed_at << byte_bits)

        return m

    def _read(self, m: Module, accepted, byte_bits: int, words) -> None:
        """Read the buffer as long as the queue has room for what is on its way."""
        target_output = Signal(reset_less=True)
        remaining, more = Signal.like(self.command.p.beats), Signal()
        index = Signal(range(max(self.config.row_beats, self.config.output_words)))
        place = Signal(range(BURST_BEATS), reset_less=True)  # beat address within a burst
        reading = Signal()
        arriving = Signal()
        arriving_last, reading_last = Signal(), Signal(reset_less=True)
        m.d.comb += [
            reading.eq(more & (words.level < _READ_AHEAD - OUTPUT_READ_LATENCY)),
            self.row.address.eq(index),
            self.output.address.eq(index),
            words.i.valid.eq(arriving),
            words.i.p.data.eq(Mux(target_output, self.output.data, self.row.data)),
            words.i.p.last.eq(arriving_last),
        ]
        m.d.sync += [
            reading_last.eq((place == BURST_BEATS - 1) | (remaining == 1)),
        ]
        m.d.comb += [
            arriving.eq(delay(m, reading, OUTPUT_READ_LATENCY, "arriving", reset_less=False)),
            arriving_last.eq(delay(m, reading_last, OUTPUT_READ_LATENCY - 1, "last")),
        ]
        with m.If(~self.busy):
            m.d.sync += [
                target_output.eq(self.command.p.target == _OUTPUT),
                remaining.eq(self.command.p.beats),
                more.eq(accepted & (self.command.p.beats != 0)),
                index.eq(0),
                place.eq(self.command.p.address[byte_bits:]),
            ]
        with m.Elif(reading):
            m.d.sync += [
                remaining.eq(remaining - 1),
                more.eq(remaining != 1),
                index.eq(index + 1),
                place.eq(place + 1),
            ]


def _word_layout(config: CoreConfig) -> data.StructLayout:
    """One beat of the W channel."""
    return data.StructLayout({"data": 8 * config.port_bytes, "last": 1})
