"""Weight FIFO: port words on their way to the array."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from mla_hw.cycles.weight_fifo import weight_fifo_timing
from mla_hw.hardware import CoreConfig
from rtl_gen.units.block_queue import BlockQueue
from rtl_gen.units.width_adapter import WidthAdapter, column_word_layout, port_word_layout

__all__ = ["WeightFifo"]


class WeightFifo(wiring.Component):
    """Hold streamed weights until the array takes them, C bytes at a time.

    Latency (:mod:`mla_hw.cycles.weight_fifo`) and throughput are those of a
    :class:`~rtl_gen.units.block_queue.BlockQueue` and a
    :class:`~rtl_gen.units.width_adapter.WidthAdapter` behind it. No path leads from ``o.ready`` to
    the memory or to ``i.ready``.

    Parameters
    ----------
    config : :class:`CoreConfig`
        ``port_bytes``, ``columns`` and ``weight_fifo_depth``.

    Members
    -------
    i : :py:`In(stream.Signature(port_word_layout(config)))`
    o : :py:`Out(stream.Signature(column_word_layout(config)))`
    freed : :py:`Out(1)`
        A port word leaves the memory in this cycle: one more may be under way.
    """

    i: stream.Interface
    o: stream.Interface
    freed: Signal

    def __init__(self, config: CoreConfig) -> None:
        self.config = config
        self.timing = weight_fifo_timing(config)
        super().__init__({
            "i": In(stream.Signature(port_word_layout(config))),
            "o": Out(stream.Signature(column_word_layout(config))),
            "freed": Out(1),
        })

    def elaborate(self, platform):
        m = Module()

        m.submodules.queue = queue = BlockQueue(
            port_word_layout(self.config), self.config.weight_fifo_depth
        )
        m.submodules.adapter = adapter = WidthAdapter(self.config)
        connect(m, flipped(self.i), queue.i)
        connect(m, queue.o, adapter.i)
        m.d.comb += self.freed.eq(queue.o.valid & queue.o.ready)

        # A skid register ends the way back from `o.ready` without a cycle of latency: a word that
        # the array does not take is held here, and only then the adapter stops.
        held = Signal(8 * self.config.columns, reset_less=True)
        # Valid is a register of its own, because all that the array does hangs on it.
        holds, valid = Signal(), Signal()
        with m.If(~holds):
            m.d.sync += held.eq(adapter.o.payload)
        m.d.sync += [
            holds.eq(valid & ~self.o.ready),
            valid.eq((valid & ~self.o.ready) | adapter.next_valid),
        ]
        m.d.comb += [
            self.o.payload.eq(Mux(holds, held, adapter.o.payload.as_value())),
            self.o.valid.eq(valid),
            adapter.o.ready.eq(~holds),
        ]

        return m
