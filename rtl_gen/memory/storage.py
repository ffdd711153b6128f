"""A memory of bytes with one port, in the form that a family has."""

from typing import Any

from amaranth import *
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2, exact_log2

from mla_hw.errors import ConfigError

__all__ = ["FORMS", "Storage"]

_SPRAM_WIDTH = 16
_SPRAM_DEPTH = 16384
#: What synthesis is asked for, by family. Where there is nothing, it chooses.
_STYLES = {"portable": None, "nexus": "huge"}
#: Forms of a storage.
FORMS = (*_STYLES, "ice40")


class Storage(wiring.Component):
    """One access per cycle: read a word, or write some of its bytes.

    A word that is read is at ``o`` in the next cycle, and undefined after that.

    The form ``portable`` is inferred. ``nexus`` is inferred as well, as large RAM (LRAM, 64 KB
    each). ``ice40`` instantiates SB_SPRAM256KA (32 KB each), which is never inferred with two
    ports and has no initial contents.

    Parameters
    ----------
    width : int
        Bits of a word, whole bytes.
    depth : int
        Words, a power of two.
    form : str
        One of :data:`FORMS`.

    Members
    -------
    address : :py:`In(range(depth))`
    en : :py:`In(1)`
        There is an access.
    write : :py:`In(width // 8)`
        Bytes that are written; none for a read.
    i : :py:`In(width)`
    o : :py:`Out(width)`

    Raises
    ------
    ConfigError
        For a depth or form that there is not, or an ``ice40`` word that is not whole cells.
    """

    address: Signal
    en: Signal
    write: Signal
    i: Signal
    o: Signal

    def __init__(self, *, width: int, depth: int, form: str = "portable") -> None:
        if form not in FORMS:
            raise ConfigError(f"form must be one of {', '.join(FORMS)}, not {form!r}")
        if depth < 2 or depth & (depth - 1):
            raise ConfigError(f"depth must be a power of two from 2 on, not {depth!r}")
        unit = _SPRAM_WIDTH if form == "ice40" else 8
        if width % unit:
            raise ConfigError(f"width must be a multiple of {unit} for {form}, not {width!r}")
        self.width, self.depth, self.form = width, depth, form
        super().__init__({
            "address": In(range(depth)),
            "en": In(1),
            "write": In(width // 8),
            "i": In(width),
            "o": Out(width),
        })

    @property
    def cells(self) -> int:
        """SB_SPRAM256KA of the form ``ice40``."""
        return self.width // _SPRAM_WIDTH * -(-self.depth // _SPRAM_DEPTH)

    def elaborate(self, platform):
        m = Module()
        if self.form == "ice40":
            self._spram(m)
        else:
            self._inferred(m)
        return m

    def _inferred(self, m: Module) -> None:
        style = _STYLES[self.form]
        attrs: Any = {"ram_style": style} if style else None
        storage: memory.Memory = memory.Memory(
            shape=self.width, depth=self.depth, init=[], attrs=attrs
        )
        m.submodules.memory = storage
        w_port = storage.write_port(granularity=8)
        r_port = storage.read_port()
        m.d.comb += [
            w_port.addr.eq(self.address),
            w_port.data.eq(self.i),
            w_port.en.eq(Mux(self.en, self.write, 0)),
            r_port.addr.eq(self.address),
            r_port.en.eq(self.en & ~self.write.any()),
            self.o.eq(r_port.data),
        ]

    def _spram(self, m: Module) -> None:
        banks = -(-self.depth // _SPRAM_DEPTH)
        low_bits = min(ceil_log2(self.depth), exact_log2(_SPRAM_DEPTH))
        bank = self.address[low_bits:]
        read_bank = Signal(len(bank))
        with m.If(self.en):
            m.d.sync += read_bank.eq(bank)
        for index in range(banks):
            selected = self.en & (bank == index) if banks > 1 else self.en
            words = []
            for lane in range(self.width // _SPRAM_WIDTH):
                low, high = (self.write[2 * lane + byte] for byte in range(2))
                word = Signal(_SPRAM_WIDTH, name=f"word_{index}_{lane}")
                words.append(word)
                m.submodules[f"spram_{index}_{lane}"] = Instance(
                    "SB_SPRAM256KA",
                    i_CLOCK=ClockSignal(),
                    i_CHIPSELECT=selected,
                    i_WREN=self.write.any(),
                    # One per four bits.
                    i_MASKWREN=Cat(low, low, high, high),
                    i_ADDRESS=Cat(
                        self.address[:low_bits], C(0, exact_log2(_SPRAM_DEPTH) - low_bits)
                    ),
                    i_DATAIN=self.i.word_select(lane, _SPRAM_WIDTH),
                    o_DATAOUT=word,
                    i_STANDBY=C(0),
                    i_SLEEP=C(0),
                    i_POWEROFF=C(1),  # low is off
                )
            with m.If(read_bank == index):
                m.d.comb += self.o.eq(Cat(words))
