"""Output buffer: elements that become words of the memory port."""

from typing import Any

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In
from amaranth.utils import exact_log2

from mla_hw.errors import ConfigError
from rtl_gen.layouts import read_port_signature
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
        parts = bits // self.element_bits if self.shared_words else 1
        m.submodules.words = storage = SimpleMemory(unsigned(bits), self.words, parts=parts)
        wiring.connect(m, wiring.flipped(self.read), storage.read)

        slot_bits = exact_log2(bits // self.element_bits)
        slot, index = self.i.index[:slot_bits], self.i.index[slot_bits:]
        if self.shared_words:
            one: Any = Signal.like(storage.w)
            m.d.sync += [
                one.en.eq(Mux(self.i.en, 1 << slot, 0)),
                one.address.eq(index),
                one.data.eq(self.i.data.replicate(1 << slot_bits)),
            ]
            m.d.comb += storage.w.eq(one)
            return m

        started = Signal()
        current = Signal.like(storage.w.address, reset_less=True)
        word = Signal(bits, reset_less=True)

        # Cycle 0: join. Cycle 1: write.
        w_en = Signal()
        m.d.sync += w_en.eq(self.i.en)
        with m.If(self.i.en):
            m.d.sync += [started.eq(1), current.eq(index)]
            with m.If(~started | (current != index)):
                m.d.sync += word.eq(0)
            m.d.sync += word.word_select(slot, self.element_bits).eq(self.i.data)
        m.d.comb += [
            storage.w.en.eq(w_en),
            storage.w.address.eq(current),
            storage.w.data.eq(word),
        ]

        return m
