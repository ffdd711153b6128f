"""Output buffer: elements that become words of the memory port."""

from typing import Any

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In
from amaranth.utils import exact_log2

from mla_hw.errors import ConfigError
from rtl_gen.layouts import read_port_signature
from rtl_gen.pipeline import delay
from rtl_gen.units.simple_memory import SimpleMemory

__all__ = ["OutputBuffer", "output_element_layout"]


def output_element_layout(*, words: int, port_bytes: int, element_bits: int) -> data.StructLayout:
    """One element and its place in the buffer."""
    return data.StructLayout({
        "en": 1,
        "index": range(words * 8 * port_bytes // element_bits),
        "data": element_bits,
    })


class OutputBuffer(wiring.Component):
    """Gather elements into port words, little endian, for the writer.

    Bit-exact with :func:`mla_hw.golden.output_buffer.gather_elements`: a word is cleared when
    elements begin to meet it after those of another word, so that padding is 0, whatever was there
    before; with ``shared_words`` never. One element per cycle; latencies are in
    :mod:`mla_hw.cycles.output_buffer`.

    Parameters
    ----------
    words : int
        Port words that it holds, at least 1.
    port_bytes : int
        Bytes per port word, a power of two.
    element_bits : int
        Bits per element: 8 times a power of two, at most a port word.
    shared_words : bool
        Elements of a word may come with others between them: each is written alone, and what nobody
        writes stays as it is, 0 at first.

    Members
    -------
    i : :py:`In(output_element_layout(words=…, port_bytes=…, element_bits=…))`
    read : :py:`In(read_port_signature(8 * port_bytes, words))`

    Raises
    ------
    ConfigError
        If the elements do not divide the port word, or the buffer holds nothing.
    """

    i: data.View
    read: Any

    def __init__(
        self, *, words: int, port_bytes: int, element_bits: int, shared_words: bool = False
    ) -> None:
        if words < 1:
            raise ConfigError(f"Output buffer must hold at least 1 word, not {words}")
        bits = 8 * port_bytes
        if element_bits < 8 or bits % element_bits or (bits // element_bits).bit_count() != 1:
            raise ConfigError(
                f"element_bits must be {bits} divided by a power of two and at least 8, "
                f"not {element_bits}"
            )
        self.words = words
        self.port_bytes = port_bytes
        self.element_bits = element_bits
        self.shared_words = shared_words
        layout = output_element_layout(
            words=words, port_bytes=port_bytes, element_bits=element_bits
        )
        super().__init__({"i": In(layout), "read": In(read_port_signature(bits, words))})

    def elaborate(self, platform):
        m = Module()

        bits = 8 * self.port_bytes
        # The writer reads only what is complete.
        n_parts = bits // self.element_bits if self.shared_words else 1
        m.submodules.words = storage = SimpleMemory(unsigned(bits), self.words, parts=n_parts)
        wiring.connect(m, wiring.flipped(self.read), storage.read)

        slot_bits = exact_log2(bits // self.element_bits)
        # Cycle 0: is it another word? Cycle 1: join. Cycle 2: write.
        en = delay(m, self.i.en, 1, "en", reset_less=False)
        data_in = delay(m, self.i.data, 1, "element")
        place = delay(m, self.i.index, 1, "place")
        slot, index = place[:slot_bits], place[slot_bits:]
        w_en = Signal.like(storage.w.en)
        w_address = Signal.like(storage.w.address, reset_less=True)
        word = Signal(bits, reset_less=True)
        m.d.sync += [
            w_en.eq(Mux(en, 1 << slot if self.shared_words else 1, 0)),
            w_address.eq(index),
        ]
        if self.shared_words:
            m.d.sync += word.eq(data_in.replicate(1 << slot_bits))
        else:
            started, other = Signal(), Signal(reset_less=True)
            current = Signal.like(index, name="current", reset_less=True)
            with m.If(self.i.en):
                m.d.sync += [started.eq(1), current.eq(self.i.index[slot_bits:])]
            m.d.sync += other.eq(~started | (current != self.i.index[slot_bits:]))
            with m.If(en):
                with m.If(other):
                    m.d.sync += word.eq(0)
                m.d.sync += word.word_select(slot, self.element_bits).eq(data_in)
        m.d.comb += [
            storage.w.en.eq(w_en),
            storage.w.address.eq(w_address),
            storage.w.data.eq(word),
        ]

        return m
