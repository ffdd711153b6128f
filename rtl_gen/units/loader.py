"""Loader: from port words to the activation buffer and the small tables."""

from typing import Any

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from mla_hw.cycles.loader import elements_per_write, writes_per_beat
from mla_hw.golden.loader import LOAD_TARGETS
from mla_hw.hardware import CoreConfig
from mla_hw.program.instructions import INSTRUCTION_WORDS
from rtl_gen.layouts import activation_write_layout, reader_command_layout
from rtl_gen.units.simple_memory import memory_write_layout

__all__ = ["Loader", "load_beat_layout", "load_command_layout"]


def load_command_layout() -> data.StructLayout:
    """Where the beats of a LOAD go."""
    fields = reader_command_layout()
    return data.StructLayout({
        name: fields[name].shape for name in ("target", "elements", "destination")
    })


def load_beat_layout(config: CoreConfig) -> data.StructLayout:
    """One port word of a LOAD; ``last`` marks the last one."""
    return data.StructLayout({"data": 8 * config.port_bytes, "last": 1})


class Loader(wiring.Component):
    """Cut the port words of a LOAD into elements and write them to their destination.

    Writes what :func:`mla_hw.golden.loader.load_elements` gives; for target ``spread`` at
    :func:`mla_hw.golden.loader.spread_places`, which are the lanes of all query rows side by side:
    ``elements`` counts those of each row; for target ``lanes``, which is there in cores with
    product rows, at :func:`mla_hw.golden.activation_buffer.place_elements`. Each cycle writes one
    entry, or, for these two, as many elements as the port and the lanes allow.
    :mod:`mla_hw.cycles.loader` states the cycles
    per beat; they do not depend on what is dropped of the last one. ``done`` comes when everything
    has been written.

    Parameters
    ----------
    config : :class:`CoreConfig`

    Members
    -------
    command : :py:`In(stream.Signature(load_command_layout()))`
        For targets ``spread`` and ``lanes``, ``destination`` is a multiple of the elements per
        write; for ``spread`` also of all rows' lanes where there are several query rows.
    i : :py:`In(stream.Signature(load_beat_layout(config)))`
        Beats of the commands, one command after the other.
    done : :py:`Out(1)`
        Pulse at the end of a command.
    activation : :py:`Out(activation_write_layout(config))`
        Targets ``spread``, ``lanes``: int16 elements for the projection half.
    table : :py:`Out(memory_write_layout(32, ...))`
        Target ``table``: one entry per RoPE pair, cos in the low half, sin in the high half.
    constants : :py:`Out(memory_write_layout(32, config.constants))`
        Target ``constants``.
    program : :py:`Out(memory_write_layout(32, ...))`
        Target ``program``: words of the program memory.
    """

    command: stream.Interface
    i: stream.Interface
    done: Signal
    activation: Any
    table: Any
    constants: Any
    program: Any

    def __init__(self, config: CoreConfig) -> None:
        self.config = config
        super().__init__({
            "command": In(stream.Signature(load_command_layout())),
            "i": In(stream.Signature(load_beat_layout(config))),
            "done": Out(1),
            "activation": Out(activation_write_layout(config)),
            "table": Out(memory_write_layout(32, config.table_entries)),
            "constants": Out(memory_write_layout(32, config.constants)),
            "program": Out(memory_write_layout(32, config.program_depth * INSTRUCTION_WORDS)),
        })

    def elaborate(self, platform):
        m = Module()

        width = elements_per_write(self.config, "spread")
        byte_width = elements_per_write(self.config, "lanes")
        widens = self.config.product_blocks > 0
        n_writes = {
            name: writes_per_beat(self.config, name)
            for name in LOAD_TARGETS
            if widens or name != "lanes"
        }

        target = Signal.like(self.command.p.target, reset_less=True)
        position = Signal.like(self.command.p.destination, reset_less=True)
        elements = Signal.like(self.command.p.elements, reset_less=True)
        beat = Signal(8 * self.config.port_bytes, reset_less=True)
        last = Signal(reset_less=True)
        writes = Signal(range(max(n_writes.values()) + 1))
        spread = Signal()
        count = Signal(range((max(width, byte_width) if widens else width) + 1))
        n_beat_writes, rest = Value.cast(n_writes["program"]), beat >> 32
        m.d.comb += [
            spread.eq(target == LOAD_TARGETS["spread"]),
            count.eq(Mux(spread, width, 1)),
        ]
        if widens:
            lanes = Signal()
            m.d.comb += lanes.eq(target == LOAD_TARGETS["lanes"])
            with m.If(lanes):
                m.d.comb += count.eq(byte_width)
            n_beat_writes = Mux(lanes, n_writes["lanes"], n_beat_writes)
            rest = Mux(lanes, beat >> 8 * byte_width, rest)
        taken: Value = count
        if self.config.query_rows > 1:
            # Counted when the last lane of the last row has had its turn.
            ends = position[: self.config.load_bits] == (1 << self.config.load_bits) - width
            taken = Mux(spread, Mux(ends, 1 << self.config.spread_bits, 0), 1)

        # One write per cycle from the low end of the beat.
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                beat.eq(self.i.p.data),
                last.eq(self.i.p.last),
                writes.eq(Mux(spread, n_writes["spread"], n_beat_writes)),
            ]
        with m.Elif(writes != 0):
            m.d.sync += [
                beat.eq(Mux(spread, beat >> 16 * width, rest)),
                writes.eq(writes - 1),
            ]
        with m.If(self.command.valid & self.command.ready):
            m.d.sync += [
                target.eq(self.command.p.target),
                position.eq(self.command.p.destination),
                elements.eq(self.command.p.elements),
            ]
        with m.Elif(writes != 0):
            m.d.sync += [
                position.eq(position + count),
                elements.eq(Mux(elements > taken, elements - taken, 0)),
            ]
        self._write(m, target, position, elements, beat, writes != 0)

        # The next beat comes in the cycle of the last write of this one.
        busy, ready = Signal(), Signal()
        finished = Signal()
        written = Signal()
        m.d.comb += [
            finished.eq((writes == 1) & last),
            self.command.ready.eq(~busy),
            self.i.ready.eq(ready),
        ]
        with m.If(self.command.ready):
            m.d.sync += busy.eq(self.command.valid)
        with m.Elif(finished):
            m.d.sync += busy.eq(0)
        m.d.sync += [written.eq(finished), self.done.eq(written)]

        # Ready in the next cycle: for the first beat of a command, and with the last write of any
        # other beat but the last one.
        few = Mux(spread, n_writes["spread"], n_beat_writes) == 1
        accepted = self.i.valid & self.i.ready
        m.d.sync += ready.eq(
            Mux(
                accepted,
                few & ~self.i.p.last,
                Mux(self.command.ready, self.command.valid, ready | ((writes == 2) & ~last)),
            )
        )

        return m

    def _write(self, m: Module, target, position, elements, beat, writing) -> None:
        """Register the write of the beat's low end; the lanes' groups take turns."""
        spread_bits, load_bits = self.config.spread_bits, self.config.load_bits
        query_rows = self.config.query_rows
        width = elements_per_write(self.config, "spread")

        entry = Signal(32, reset_less=True)
        entry_position = Signal.like(position, reset_less=True)
        m.d.sync += [entry.eq(beat), entry_position.eq(position)]
        for name in ("table", "constants", "program"):
            port = getattr(self, name)
            en = Signal(name=f"{name}_en")
            m.d.sync += en.eq(writing & (target == LOAD_TARGETS[name]) & (elements != 0))
            m.d.comb += [port.en.eq(en), port.address.eq(entry_position), port.data.eq(entry)]

        values = [
            Signal(signed(16), name=f"value_{offset}", reset_less=True) for offset in range(width)
        ]
        lane_en = Signal(self.config.rows)
        for offset, value in enumerate(values):
            m.d.sync += value.eq(beat.word_select(offset, 16))
        for lane in range(query_rows << spread_bits):
            offset = lane % width
            # Of several rows whole addresses are counted, of one row elements.
            before = offset if query_rows == 1 else lane % (1 << spread_bits)
            m.d.sync += lane_en[lane].eq(
                writing
                & (target == LOAD_TARGETS["spread"])
                & (position[:load_bits] == lane - offset)
                & (elements > before)
            )
            m.d.comb += self.activation.data[lane].eq(values[offset])
        m.d.comb += [
            self.activation.en.eq(lane_en),
            self.activation.address.eq(entry_position >> load_bits),
        ]
        if self.config.product_blocks:
            self._widen(m, target, position, elements, beat, writing)

    def _widen(self, m: Module, target, position, elements, beat, writing) -> None:
        """Register the write of bytes to all lanes that there are."""
        lane_bits = self.config.lane_bits
        width = elements_per_write(self.config, "lanes")
        address = Signal.like(self.activation.address, name="byte_address", reset_less=True)
        m.d.sync += address.eq(position >> lane_bits)
        values = [
            Signal(signed(8), name=f"byte_{offset}", reset_less=True) for offset in range(width)
        ]
        byte_en = Signal(self.config.rows)
        for offset, value in enumerate(values):
            m.d.sync += value.eq(beat.word_select(offset, 8))
        for lane in range(self.config.rows):
            offset = lane % width
            m.d.sync += byte_en[lane].eq(
                writing
                & (target == LOAD_TARGETS["lanes"])
                & (position[:lane_bits] == lane - offset)
                & (elements > offset)
            )
        with m.If(byte_en.any()):
            m.d.comb += [self.activation.en.eq(byte_en), self.activation.address.eq(address)]
            for lane in range(self.config.rows):
                m.d.comb += self.activation.data[lane].eq(values[lane % width])
