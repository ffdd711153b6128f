"""Data side of the reader: from the R channel to the destinations."""

from typing import Any

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import exact_log2

from mla_hw.cycles.reader import BEAT_LATENCY, Path, fifo_depth
from mla_hw.cycles.width_adapter import words_per_beat
from mla_hw.hardware import CoreConfig
from rtl_gen.axi import Response, axi4_read_signature, is_error
from rtl_gen.layouts import ADDRESS_BITS
from rtl_gen.pipeline import delay
from rtl_gen.units.block_queue import BlockQueue
from rtl_gen.units.loader import load_beat_layout
from rtl_gen.units.width_adapter import port_word_layout

__all__ = ["ReadReceiver", "read_beat_address_bits", "read_burst_layout"]


def read_beat_address_bits(config: CoreConfig) -> int:
    """Return the width of an address in beats."""
    return ADDRESS_BITS - exact_log2(config.port_bytes)


def read_burst_layout(config: CoreConfig) -> data.StructLayout:
    """Return what is kept of a burst until its data have come.

    ``last``: of its instruction; ``padding``: words of C bytes in the last beat of that one.
    """
    return data.StructLayout({
        "address": read_beat_address_bits(config),
        "path": Path,
        "last": 1,
        "padding": range(words_per_beat(config) + 1),
    })


class ReadReceiver(wiring.Component):
    """Register each beat of the R channel and pass it on to where its burst goes.

    There is always room for a beat that comes, so ``r`` is always ready. :py:`RECEIVE_LATENCY`
    cycles after RVALID a beat is at ``weights``, or written to the FIFO in front of ``latents`` or
    ``load``.

    Parameters
    ----------
    config : :class:`CoreConfig`

    Members
    -------
    burst : :py:`In(stream.Signature(read_burst_layout(config)))`
        Bursts under way, oldest first; taken with the last beat.
    r : :py:`In(...)`
        R channel.
    weights, latents : :py:`Out(stream.Signature(port_word_layout(config)))`
        ``weights.ready`` is not looked at.
    load : :py:`Out(stream.Signature(load_beat_layout(config)))`
    finished : :py:`Out(1)`
        Pulse with the last beat of a STREAM or TILE at its destination.
    error : :py:`Out(1)`
        A burst was answered with an error since the reset.
    error_address : :py:`Out(ADDRESS_BITS)`
        Byte address of the first such burst.
    """

    burst: stream.Interface
    weights: stream.Interface
    latents: stream.Interface
    load: stream.Interface
    finished: Signal
    error: Signal
    error_address: Signal

    r: Any

    def __init__(self, config: CoreConfig) -> None:
        self.config = config
        axi = axi4_read_signature(address_bits=ADDRESS_BITS, data_bits=8 * config.port_bytes)
        super().__init__({
            "burst": In(stream.Signature(read_burst_layout(config))),
            "r": axi.members["r"],
            "weights": Out(stream.Signature(port_word_layout(config))),
            "latents": Out(stream.Signature(port_word_layout(config))),
            "load": Out(stream.Signature(load_beat_layout(config))),
            "finished": Out(1),
            "error": Out(1),
            "error_address": Out(ADDRESS_BITS),
        })

    def elaborate(self, platform):
        m = Module()

        config, burst = self.config, self.burst.p
        m.submodules.latent_fifo = latent_fifo = BlockQueue(
            8 * config.port_bytes, fifo_depth(config, Path.LATENTS)
        )
        m.submodules.load_fifo = load_fifo = BlockQueue(
            load_beat_layout(config), fifo_depth(config, Path.LOAD)
        )
        connect(m, load_fifo.o, flipped(self.load))

        # The memory may be anywhere on the device, so that each beat is registered as it comes.
        beat = data.StructLayout({"data": 8 * config.port_bytes, "resp": Response, "last": 1})
        r: Any = Signal(beat, name="beat", reset_less=True)
        valid = delay(m, self.r.valid, BEAT_LATENCY, "beat_valid", reset_less=False)
        m.d.sync += [r[name].eq(getattr(self.r, name)) for name, _ in beat]
        full = words_per_beat(config)
        ends = r.last & burst.last
        word = Signal(8 * config.port_bytes, reset_less=True)
        words = Signal(range(full + 1), reset_less=True)
        last = Signal(reset_less=True)
        arrived = Signal(len(Path))
        m.d.comb += [self.r.ready.eq(1), self.burst.ready.eq(valid & r.last)]
        m.d.sync += [
            word.eq(r.data),
            words.eq(Mux(ends, full - burst.padding, full)),
            last.eq(ends),
            self.finished.eq(valid & ends & (burst.path != Path.LOAD)),
        ]
        for path in Path:
            m.d.sync += arrived[path].eq(valid & (burst.path == path))

        m.d.comb += [
            self.weights.valid.eq(arrived[Path.WEIGHTS]),
            self.weights.p.data.eq(word),
            self.weights.p.words.eq(words),
            load_fifo.i.valid.eq(arrived[Path.LOAD]),
            load_fifo.i.p.data.eq(word),
            load_fifo.i.p.last.eq(last),
            latent_fifo.i.valid.eq(arrived[Path.LATENTS]),
            latent_fifo.i.payload.eq(word),
            # Padding within the latents is whole words, which the ring drops.
            self.latents.valid.eq(latent_fifo.o.valid),
            self.latents.p.data.eq(latent_fifo.o.payload),
            self.latents.p.words.eq(full),
            latent_fifo.o.ready.eq(self.latents.ready),
        ]

        failed_at = Signal(read_beat_address_bits(config), reset_less=True)
        with m.If(valid & is_error(r.resp) & ~self.error):
            m.d.sync += [self.error.eq(1), failed_at.eq(burst.address)]
        m.d.comb += self.error_address.eq(failed_at << exact_log2(config.port_bytes))

        return m
