"""AXI4 with wide beats onto AXI4 with narrow beats."""

from typing import Any

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from mla_hw.errors import ConfigError
from mla_hw.hardware import BURST_BEATS
from rtl_gen.axi import axi4_signature

__all__ = ["WidthConverter"]

#: Beats that the length of an AXI4 burst can say.
_MOST_BEATS = 256


class WidthConverter(wiring.Component):
    """Turn each beat of a burst into several narrower ones, and back.

    Bursts stay whole: one of n beats becomes one of ``ratio`` · n beats. Addresses and responses
    pass within the cycle. The narrow side moves a beat per cycle without gaps, also between bursts.
    A wide beat that is read is offered in the cycle after its last part, and the first part of one
    that is written in the cycle after it has been taken; each waits while it is not taken. The
    response to a wide beat is the worst of those to its parts.

    Parameters
    ----------
    data_bits : int
        Width of the manager's data channels.
    memory_bits : int
        Width of the memory's data channels; divides `data_bits` 2, 4, 8 or 16 times.
    address_bits : int
        Width of byte addresses.

    Members
    -------
    manager : :py:`In(axi4_signature(...))`
        Whole, aligned, incrementing beats, at most BURST_BEATS in a burst.
    memory : :py:`Out(axi4_signature(...))`

    Raises
    ------
    ConfigError
        If the widths do not divide, or a burst would become too long.
    """

    manager: Any
    memory: Any

    def __init__(self, *, data_bits: int, memory_bits: int, address_bits: int = 32) -> None:
        ratio, rest = divmod(data_bits, memory_bits)
        if rest or ratio < 2 or ratio * BURST_BEATS > _MOST_BEATS:
            raise ConfigError(
                f"memory_bits must divide data_bits {data_bits} from 2 to "
                f"{_MOST_BEATS // BURST_BEATS} times, not be {memory_bits!r}"
            )
        self.ratio = ratio
        super().__init__({
            "manager": In(axi4_signature(address_bits=address_bits, data_bits=data_bits)),
            "memory": Out(axi4_signature(address_bits=address_bits, data_bits=memory_bits)),
        })

    def elaborate(self, platform):
        m = Module()
        self._addresses(m)
        self._read(m)
        self._write(m)
        return m

    def _addresses(self, m: Module) -> None:
        shift = exact_log2(self.ratio)
        size = exact_log2(len(self.memory.w.strb))
        for name in ("ar", "aw"):
            source, target = getattr(self.manager, name), getattr(self.memory, name)
            m.d.comb += [
                target.valid.eq(source.valid),
                source.ready.eq(target.ready),
                target.len.eq(Cat(C(self.ratio - 1, shift), source.len)),
                target.size.eq(size),
            ]
            for member in ("addr", "burst", "cache", "prot"):
                m.d.comb += getattr(target, member).eq(getattr(source, member))
        m.d.comb += [
            self.manager.b.valid.eq(self.memory.b.valid),
            self.manager.b.resp.eq(self.memory.b.resp),
            self.memory.b.ready.eq(self.manager.b.ready),
        ]

    def _read(self, m: Module) -> None:
        source, target = self.memory.r, self.manager.r
        part = Signal(range(self.ratio))
        is_last = part == self.ratio - 1
        free = ~target.valid | target.ready
        m.d.comb += source.ready.eq(~is_last | free)
        # Only the last part needs the register at the output; the others wait in front of it.
        parts = Signal(len(target.data) - len(source.data), reset_less=True)
        worst = Signal(2, reset_less=True)
        response = Signal(2)
        m.d.comb += response.eq(
            Mux((part != 0) & (worst > Value.cast(source.resp)), worst, source.resp)
        )
        with m.If(target.ready):
            m.d.sync += target.valid.eq(0)
        with m.If(source.valid & source.ready):
            m.d.sync += [
                part.eq(part + 1),
                worst.eq(response),
                parts.eq(Cat(parts, source.data)[len(source.data) :]),
            ]
            with m.If(is_last):
                m.d.sync += [
                    target.valid.eq(1),
                    target.data.eq(Cat(parts, source.data)),
                    Value.cast(target.resp).eq(response),
                    target.last.eq(source.last),
                ]

    def _write(self, m: Module) -> None:
        source, target = self.manager.w, self.memory.w
        part = Signal(range(self.ratio))
        is_last = part == self.ratio - 1
        data = Signal.like(source.data, reset_less=True)
        strobes = Signal.like(source.strb, reset_less=True)
        last = Signal(reset_less=True)
        m.d.comb += [
            source.ready.eq(~target.valid | (target.ready & is_last)),
            target.data.eq(data),
            target.strb.eq(strobes),
            target.last.eq(last & is_last),
        ]
        with m.If(target.valid & target.ready):
            m.d.sync += [
                part.eq(part + 1),
                data.eq(data >> len(target.data)),
                strobes.eq(strobes >> len(target.strb)),
                target.valid.eq(~is_last),
            ]
        with m.If(source.valid & source.ready):
            m.d.sync += [
                data.eq(source.data),
                strobes.eq(source.strb),
                last.eq(source.last),
                target.valid.eq(1),
            ]
