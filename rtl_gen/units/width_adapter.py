"""Width adapter: from words of the memory port to words of C bytes."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from mla_hw.cycles.width_adapter import beats_per_word, width_adapter_timing, words_per_beat
from mla_hw.hardware import CoreConfig

__all__ = ["WidthAdapter", "column_word_layout", "port_word_layout"]


def port_word_layout(config: CoreConfig) -> data.StructLayout:
    """One word of the memory port; ``words``: words of C bytes in it that are no padding."""
    return data.StructLayout({
        "data": 8 * config.port_bytes,
        "words": range(words_per_beat(config) + 1),
    })


def column_word_layout(config: CoreConfig) -> data.ArrayLayout:
    """One byte for each column of the array, lowest address first."""
    return data.ArrayLayout(8, config.columns)


class WidthAdapter(wiring.Component):
    """Cut port words into words of C bytes, or join them, little endian.

    Computes :func:`mla_hw.golden.width_adapter.regroup_bytes`. The latency is one cycle. The
    throughput is one word per cycle where the port is as wide as a word or wider, else one beat per
    cycle (:mod:`mla_hw.cycles.width_adapter`). ``i.ready`` follows ``o.ready`` combinationally.

    Parameters
    ----------
    config : :class:`CoreConfig`
        ``port_bytes`` and ``columns``.

    Members
    -------
    i : :py:`In(stream.Signature(port_word_layout(config)))`
        Beats; the words behind the first ``words`` ones are dropped. ``words`` is ignored where
        a beat is narrower than a word.
    o : :py:`Out(stream.Signature(column_word_layout(config)))`
    next_valid : :py:`Out(1)`
        ``o`` will be valid in the next cycle.
    """

    i: stream.Interface
    o: stream.Interface
    next_valid: Signal

    def __init__(self, config: CoreConfig) -> None:
        self.config = config
        self.timing = width_adapter_timing(config)
        super().__init__({
            "i": In(stream.Signature(port_word_layout(config))),
            "o": Out(stream.Signature(column_word_layout(config))),
            "next_valid": Out(1),
        })

    def elaborate(self, platform):
        m = Module()

        if beats_per_word(self.config) > 1:
            self._join(m)
        else:
            self._cut(m)

        return m

    def _cut(self, m: Module) -> None:
        """Shift a beat out word by word."""
        word_bits = 8 * self.config.columns
        beat = Signal(8 * self.config.port_bytes, reset_less=True)
        left = Signal(range(words_per_beat(self.config) + 1), reset_less=True)
        last = Signal(reset_less=True)  # the word at the output

        m.d.comb += [
            self.o.payload.eq(beat[:word_bits]),
            self.i.ready.eq(~self.o.valid | (last & self.o.ready)),
        ]
        m.d.comb += self.next_valid.eq(~self.i.ready | (self.i.valid & (self.i.p.words != 0)))
        m.d.sync += self.o.valid.eq(self.next_valid)
        with m.If(self.i.ready):
            m.d.sync += [left.eq(self.i.p.words), last.eq(self.i.p.words == 1)]
        with m.Elif(self.o.ready):
            m.d.sync += [left.eq(left - 1), last.eq(left == 2)]

        # Loading does not wait for `valid`: as long as nothing is left, the data has no meaning.
        with m.If(self.i.ready):
            m.d.sync += beat.eq(self.i.p.data)
        with m.Elif(self.o.ready):
            # The top word stays: zeros would be a reset of all that is above it.
            m.d.sync += beat.eq(Cat(beat[word_bits:], beat[-word_bits:]))

    def _join(self, m: Module) -> None:
        """Shift beats in from the top until the word is full."""
        port_bits, n_beats = 8 * self.config.port_bytes, beats_per_word(self.config)
        word = Signal(8 * self.config.columns, reset_less=True)
        held = Signal(range(n_beats))

        m.d.comb += [
            self.o.payload.eq(word),
            self.i.ready.eq(~self.o.valid | self.o.ready),
        ]
        m.d.comb += self.next_valid.eq(~self.i.ready | (self.i.valid & (held == n_beats - 1)))
        m.d.sync += self.o.valid.eq(self.next_valid)
        with m.If(self.i.ready & self.i.valid):
            m.d.sync += [
                word.eq(Cat(word[port_bits:], self.i.p.data)),
                held.eq(held + 1),  # the number of beats is a power of two
            ]
