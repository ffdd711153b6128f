"""AXI4 memory on the FPGA."""

from typing import Any

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from amaranth.utils import exact_log2

from mla_hw.errors import ConfigError
from mla_hw.hardware import BURST_BEATS
from rtl_gen.axi import Response, axi4_signature
from rtl_gen.memory.storage import Storage

__all__ = ["OnChipMemory"]


class OnChipMemory(wiring.Component):
    """Memory behind AXI4 where the board has none: bursts in order, one access per cycle.

    The first beat of a read burst that is taken in cycle t comes in cycle t + 2, then one per
    cycle, also from burst to burst. A write burst takes its first beat in the cycle after its
    address, then one per cycle; its response comes in the cycle after its last beat, and the next
    address at the earliest with the response. Reads and writes at the same time take turns, beat by
    beat. Beats and responses that are not taken stay.

    Bursts outside of the memory are answered with DECERR; they read anything and write nothing.

    Parameters
    ----------
    data_bits : int
        Width of the data channels.
    size : int
        Bytes, a power of two, at least one burst.
    address_bits : int
        Width of byte addresses.
    form : str
        Form of the :class:`rtl_gen.memory.storage.Storage`.

    Members
    -------
    bus : :py:`In(axi4_signature(...))`
        Whole, aligned, incrementing beats; bursts do not cross a multiple of BURST_BEATS beats.

    Raises
    ------
    ConfigError
        If the size is no power of two, less than a burst or more than the addresses reach.
    """

    bus: Any

    def __init__(
        self, *, data_bits: int, size: int, address_bits: int = 32, form: str = "portable"
    ) -> None:
        beat_bytes = data_bits // 8
        least, most = beat_bytes * BURST_BEATS, 1 << address_bits
        if size & (size - 1) or not least <= size <= most:
            raise ConfigError(f"size must be a power of two from {least} to {most}, not {size!r}")
        self.data_bits, self.size = data_bits, size
        self.storage = Storage(width=data_bits, depth=size // beat_bytes, form=form)
        super().__init__({
            "bus": In(axi4_signature(address_bits=address_bits, data_bits=data_bits))
        })

    def elaborate(self, platform):
        m = Module()

        m.submodules.storage = storage = self.storage
        r, w, b = self.bus.r, self.bus.w, self.bus.b

        # A word that is not taken when it comes moves into `spare`: the next access may be a write.
        coming, kept = Signal(), Signal()
        spare = Signal(self.data_bits, reset_less=True)
        taken = Signal()
        read = _Burst(m, self.bus.ar, "read")
        write = _Burst(m, self.bus.aw, "write", hold=b.valid & ~b.ready)
        wants_read = read.busy & (~r.valid | r.ready)
        wants_write = write.busy & w.valid
        turn = Signal()
        writes = wants_write & (~wants_read | turn)
        reads = wants_read & ~writes
        with m.If(wants_read & wants_write):
            m.d.sync += turn.eq(~turn)

        shift = exact_log2(self.data_bits // 8)
        beat_bits = len(storage.address)

        def inside(burst: "_Burst") -> Any:
            return ~burst.address[shift + beat_bits :].any()

        m.d.comb += [
            read.step.eq(reads),
            write.step.eq(writes),
            storage.en.eq(reads | (writes & inside(write))),
            storage.address.eq(Mux(writes, write.address, read.address)[shift:]),
            storage.write.eq(Mux(writes, w.strb, 0)),
            storage.i.eq(w.data),
            w.ready.eq(write.busy & (~wants_read | turn)),
        ]
        read.advance(m, shift)
        write.advance(m, shift)

        m.d.comb += [
            r.valid.eq(coming | kept),
            r.data.eq(Mux(kept, spare, storage.o)),
            taken.eq(r.valid & r.ready),
        ]
        m.d.sync += [coming.eq(reads), kept.eq(r.valid & ~taken)]
        with m.If(coming & ~taken):
            m.d.sync += spare.eq(storage.o)
        with m.If(reads):
            m.d.sync += [
                r.last.eq(read.last),
                r.resp.eq(Mux(inside(read), Response.OKAY, Response.DECERR)),
            ]

        with m.If(b.ready):
            m.d.sync += b.valid.eq(0)
        with m.If(writes & write.last):
            m.d.sync += [
                b.valid.eq(1),
                b.resp.eq(Mux(inside(write), Response.OKAY, Response.DECERR)),
            ]

        return m


class _Burst:
    """The burst that is under way in one direction, and the handshake of its address."""

    def __init__(self, m: Module, channel: Any, name: str, hold: Any = None) -> None:
        self.channel = channel
        self.busy = Signal(name=f"{name}_busy")
        self.address = Signal.like(channel.addr, name=f"{name}_address", reset_less=True)
        self.remaining = Signal.like(channel.len, name=f"{name}_remaining", reset_less=True)
        self.step = Signal(name=f"{name}_step")
        self.last = Signal(name=f"{name}_last")
        m.d.comb += self.last.eq(self.remaining == 0)
        if hold is None:
            m.d.comb += channel.ready.eq(~self.busy | (self.step & self.last))
        else:
            m.d.comb += channel.ready.eq(~self.busy & ~hold)

    def advance(self, m: Module, shift: int) -> None:
        """Go to the next beat, and take the next burst."""
        with m.If(self.step):
            m.d.sync += [
                self.address.eq(self.address + (1 << shift)),
                self.remaining.eq(self.remaining - 1),
            ]
            with m.If(self.last):
                m.d.sync += self.busy.eq(0)
        with m.If(self.channel.valid & self.channel.ready):
            m.d.sync += [
                self.busy.eq(1),
                self.address.eq(self.channel.addr),
                self.remaining.eq(self.channel.len),
            ]
