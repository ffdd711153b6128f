"""Pack: quantise one cache row."""

from typing import Any

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from mla_hw.cycles.multiplier import MULTIPLIER_TIMING
from mla_hw.cycles.pack import (
    INVERSE_BITS,
    LARGEST_LATENCY,
    SCALE_BITS,
    SHIFT_BITS,
    VALUE_LATENCY,
)
from mla_hw.cycles.sequencing import OPERAND_LATENCY
from mla_hw.cycles.simple_memory import MEMORY_READ_LATENCY
from mla_hw.hardware import CoreConfig
from mla_hw.program.instructions import FIELDS
from rtl_gen.layouts import multiplier_signature, read_port_signature, vector_command_layout
from rtl_gen.pipeline import delay
from rtl_gen.sequencing import take_command, walk
from rtl_gen.units.rounding_shifter import RoundingShifter
from rtl_gen.units.serial_divider import SerialDivider
from rtl_gen.units.serial_normalizer import SerialNormalizer
from rtl_gen.units.simple_memory import SimpleMemory

__all__ = ["ROW_TARGET", "Pack", "packed_layout", "row_write_layout"]

#: Target of instructions that write into the row being packed.
ROW_TARGET = FIELDS["target"].choices.index("row")


def row_write_layout(config: CoreConfig) -> data.StructLayout:
    """Write of one element of the row being packed: latents from 0 on, then the RoPE key."""
    return data.StructLayout({
        "en": 1,
        "index": range(config.kv_lora_rank + config.qk_rope_head_dim),
        "data": signed(16),
    })


def packed_layout(config: CoreConfig) -> data.StructLayout:
    """Write of one byte of the cache row."""
    return data.StructLayout({"en": 1, "index": range(config.row_bytes), "data": 8})


class Pack(wiring.Component):
    """Quantise latents and RoPE key to int8 with one scale for both.

    Computes :func:`mla_hw.golden.pack.pack_row`, bit-exact, for ``PACK``. The first pass over the
    row brings the key to the unit of the latents and finds the largest magnitude, which is then
    normalised and inverted bit by bit; the second pass does the first step again and multiplies by
    the inverse. Each pass takes one element per cycle, and the whole
    :func:`mla_hw.cycles.pack.pack_cycles`. Bytes leave in ascending order, the scale last; padding
    is not written.

    Parameters
    ----------
    config : CoreConfig

    Members
    -------
    command : :py:`In(stream.Signature(vector_command_layout()))`
        Ready while nothing is under way; ``k`` and ``n`` are at least 1.
    done : :py:`Out(1)`
        Pulse in the cycle of the last byte.
    row_i : :py:`In(row_write_layout(config))`
        Fills the staging memory; not while a command is under way.
    constants : :py:`Out(read_port_signature(unsigned(32), config.constants))`
    multiplier_0, multiplier_1 : :py:`Out(multiplier_signature())`
    packed : :py:`Out(packed_layout(config))`
        Bytes of the cache row.
    saturated : :py:`Out(1)`
        Pulse for each key element that met the 16-bit limit; once per element.
    """

    command: stream.Interface
    done: Signal
    row_i: data.View
    constants: Any
    multiplier_0: Any
    multiplier_1: Any
    packed: data.View
    saturated: Signal

    def __init__(self, config: CoreConfig) -> None:
        self.config = config
        super().__init__({
            "command": In(stream.Signature(vector_command_layout())),
            "done": Out(1),
            "row_i": In(row_write_layout(config)),
            "constants": Out(read_port_signature(unsigned(32), config.constants)),
            "multiplier_0": Out(multiplier_signature()),
            "multiplier_1": Out(multiplier_signature()),
            "packed": Out(packed_layout(config)),
            "saturated": Out(1),
        })

    def elaborate(self, platform):
        m = Module()

        m.submodules.normalizer = normalizer = SerialNormalizer(bits=SCALE_BITS)
        m.submodules.divider = divider = SerialDivider(
            numerator_bits=SCALE_BITS + INVERSE_BITS - 1,
            denominator_bits=SCALE_BITS,
            quotient_bits=INVERSE_BITS,
        )

        command, begin = take_command(m, self.command, self.done)
        measuring = Signal()
        with m.If(begin):
            m.d.sync += measuring.eq(1)
        with m.If(normalizer.start):
            m.d.sync += measuring.eq(0)

        value, valid, latent_last, last = self._read(
            m, command, begin, begin | divider.done, measuring
        )
        m.d.comb += self.multiplier_1.a.eq(value)

        # First pass: the largest magnitude, at least 1.
        magnitude = Signal(SCALE_BITS, reset_less=True)
        largest = Signal(SCALE_BITS, reset_less=True)
        m.d.sync += magnitude.eq(abs(value))
        with m.If(begin):
            m.d.sync += largest.eq(1)
        with m.Elif(measuring & (magnitude > largest)):
            m.d.sync += largest.eq(magnitude)
        inverse_shift = Signal(SHIFT_BITS, reset_less=True)
        m.d.comb += [
            normalizer.start.eq(
                delay(m, last & measuring, LARGEST_LATENCY, "largest_valid", reset_less=False)
            ),
            normalizer.value.eq(largest),
            divider.start.eq(normalizer.done),
            divider.numerator.eq(127 << (SCALE_BITS + 7)),
            divider.denominator.eq(normalizer.normalized),
        ]
        m.d.sync += inverse_shift.eq(SCALE_BITS + 7 - normalizer.count)

        # Second pass: times the inverse.
        m.submodules.shifter = shifter = RoundingShifter(
            width=32, shift_bits=SHIFT_BITS, out_width=8
        )
        with m.If(valid & ~measuring):
            m.d.comb += self.multiplier_1.b.eq(divider.quotient)
        m.d.comb += [shifter.i.eq(self.multiplier_1.p), shifter.shift.eq(inverse_shift)]
        latency = MULTIPLIER_TIMING.latency + shifter.timing.latency
        flags = Cat(valid, latent_last, last) & (~measuring).replicate(3)
        self._write(m, shifter.o, delay(m, flags, latency, "byte", reset_less=False), largest)

        return m

    def _read(self, m, command, begin, start, measuring):
        """Read the row once and bring the key to the unit of the latents."""
        depth = self.config.kv_lora_rank + self.config.qk_rope_head_dim
        m.submodules.staging = staging = SimpleMemory(signed(16), depth)
        m.submodules.ratio_shifter = shifter = RoundingShifter(
            width=32, shift_bits=SHIFT_BITS, out_width=16
        )
        m.d.comb += [
            staging.w.en.eq(self.row_i.en),
            staging.w.address.eq(self.row_i.index),
            staging.w.data.eq(self.row_i.data),
        ]

        layout = data.StructLayout({"factor": 16, "shift": SHIFT_BITS})
        ratio: Any = Signal(layout, reset_less=True)
        m.d.comb += self.constants.address.eq(command.constant)
        with m.If(delay(m, begin, MEMORY_READ_LATENCY, "ratio_valid", reset_less=False)):
            m.d.sync += ratio.eq(self.constants.data)

        latent, latent_reading, latent_last = walk(
            m, start, first=C(0), count=command.k, bound=depth
        )
        key, key_reading, key_last = walk(
            m,
            latent_last,
            first=C(self.config.kv_lora_rank),
            count=command.n,
            bound=depth,
        )
        m.d.comb += staging.read.address.eq(Mux(key_reading, key, latent))

        # Latents pass through the multiplier like the key, times 1.
        reading = Cat(latent_reading | key_reading, key_reading)
        valid, is_key = delay(m, reading, OPERAND_LATENCY - 1, "operand", reset_less=False)
        operand = Signal(signed(16), reset_less=True)
        factor = Signal(signed(16), reset_less=True)
        m.d.sync += [
            operand.eq(Mux(valid, staging.read.data, 0)),
            factor.eq(Mux(is_key, ratio.factor, valid)),
        ]
        flags = delay(
            m, Cat(valid, is_key), 1 + MULTIPLIER_TIMING.latency, "product", reset_less=False
        )
        m.d.comb += [
            self.multiplier_0.a.eq(operand),
            self.multiplier_0.b.eq(factor),
            shifter.i.eq(self.multiplier_0.p),
            shifter.shift.eq(Mux(flags[1], ratio.shift, 0)),
        ]

        valid, is_key = delay(m, flags, shifter.timing.latency, "shifted", reset_less=False)
        value = Signal(signed(16), reset_less=True)
        m.d.sync += [
            value.eq(Mux(valid, shifter.o, 0)),
            self.saturated.eq(shifter.saturated & is_key & measuring),
        ]
        ends = delay(m, Cat(latent_last, key_last), VALUE_LATENCY, "end", reset_less=False)
        return value, delay(m, valid, 1, "value_valid", reset_less=False), ends[0], ends[1]

    def _write(self, m, quantized, flags, scale):
        """Write the bytes; ``flags`` belong to the quantised element: valid and last of a part."""
        config = self.config
        valid, latent_last, last = flags
        low = delay(m, last, 1, "low", reset_less=False)
        high = delay(m, low, 1, "high", reset_less=False)
        en = Signal()
        index = Signal.like(self.packed.index, reset_less=True)
        byte = Signal(8, reset_less=True)
        m.d.sync += [
            en.eq(valid | low | high),
            byte.eq(Mux(low, scale[:8], Mux(high, scale[8:], quantized))),
            # The row buffer takes a cycle longer than the activation buffer.
            self.done.eq(delay(m, high, 1, "written", reset_less=False)),
        ]
        m.d.comb += [
            self.packed.en.eq(en),
            self.packed.index.eq(index),
            self.packed.data.eq(byte),
        ]

        # The index of the byte in the register: each part begins at a word of its own.
        with m.If(delay(m, latent_last, 1, "latent_done", reset_less=False)):
            m.d.sync += index.eq(config.latent_words * config.columns)
        with m.Elif(low):
            m.d.sync += index.eq(config.token_words * config.columns)
        with m.Elif(en):
            m.d.sync += index.eq(index + 1)
        with m.Else():
            m.d.sync += index.eq(0)
