"""Norm: root mean square normalisation without weights."""

from typing import Any

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from mla_hw.cycles.multiplier import MULTIPLIER_TIMING
from mla_hw.cycles.norm import INVERSE_BITS, SHIFT_BITS, SQUARE_BITS, SUM_LATENCY
from mla_hw.cycles.sequencing import OPERAND_LATENCY
from mla_hw.cycles.simple_memory import MEMORY_READ_LATENCY
from mla_hw.hardware import CoreConfig
from rtl_gen.layouts import (
    multiplier_signature,
    read_port_signature,
    vector_command_layout,
    vector_write_layout,
)
from rtl_gen.pipeline import delay
from rtl_gen.sequencing import take_command, walk
from rtl_gen.units.pack import ROW_TARGET, row_write_layout
from rtl_gen.units.rounding_shifter import RoundingShifter
from rtl_gen.units.serial_divider import SerialDivider
from rtl_gen.units.serial_normalizer import SerialNormalizer
from rtl_gen.units.serial_root import SerialRoot

__all__ = ["Norm"]

_ROOT_BITS = SQUARE_BITS // 2


class Norm(wiring.Component):
    """Multiply a vector by the inverse of its root mean square.

    Computes :py:`32767 * v / sqrt(sum(v**2) + epsilon)`, bit-exact with
    :func:`mla_hw.golden.norm.rms_norm`, for ``NORM``. The first pass over the vector sums the
    squares; then the sum is normalised by an even shift, its root extracted and inverted, bit by
    bit; the second pass multiplies. Each pass takes one element per cycle, and the whole
    :func:`mla_hw.cycles.norm.norm_cycles`.

    Parameters
    ----------
    config : CoreConfig

    Members
    -------
    command : :py:`In(stream.Signature(vector_command_layout()))`
        Ready while nothing is under way; ``k`` is at least 1.
    done : :py:`Out(1)`
        Pulse in the cycle of the last output.
    scratch : :py:`Out(read_port_signature(signed(16), config.scratch_depth))`
    constants : :py:`Out(read_port_signature(unsigned(32), config.constants))`
        ``constant`` and the next one are the low and high bits of epsilon.
    multiplier_0 : :py:`Out(multiplier_signature())`
    o : :py:`Out(vector_write_layout())`
        Target spread: elements from ``c`` on.
    row : :py:`Out(row_write_layout(config))`
        Target row: elements from index ``c`` on.
    """

    command: stream.Interface
    done: Signal
    scratch: Any
    constants: Any
    multiplier_0: Any
    o: data.View
    row: data.View

    def __init__(self, config: CoreConfig) -> None:
        self.config = config
        super().__init__({
            "command": In(stream.Signature(vector_command_layout())),
            "done": Out(1),
            "scratch": Out(read_port_signature(signed(16), config.scratch_depth)),
            "constants": Out(read_port_signature(unsigned(32), config.constants)),
            "multiplier_0": Out(multiplier_signature()),
            "o": Out(vector_write_layout()),
            "row": Out(row_write_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()

        m.submodules.normalizer = normalizer = SerialNormalizer(bits=SQUARE_BITS, stride=2)
        m.submodules.root = root = SerialRoot(bits=SQUARE_BITS)
        m.submodules.divider = divider = SerialDivider(
            numerator_bits=INVERSE_BITS + _ROOT_BITS - 1,
            denominator_bits=_ROOT_BITS,
            quotient_bits=INVERSE_BITS,
        )
        m.submodules.shifter = shifter = RoundingShifter(
            width=32, shift_bits=SHIFT_BITS, out_width=16
        )

        command, begin = take_command(m, self.command, self.done)
        squaring = Signal()
        with m.If(begin):
            m.d.sync += squaring.eq(1)
        with m.If(normalizer.start):
            m.d.sync += squaring.eq(0)

        valid, last = self._multiply(m, command, begin | divider.done, squaring, divider.quotient)
        total = self._sum(m, command, begin, valid & squaring)
        m.d.sync += normalizer.start.eq(
            delay(m, last & squaring, SUM_LATENCY - 1, "squared", reset_less=False)
        )

        inverse_shift = Signal(SHIFT_BITS, reset_less=True)
        m.d.comb += [
            normalizer.value.eq(total),
            root.start.eq(normalizer.done),
            root.radicand.eq(normalizer.normalized),
            divider.start.eq(root.done),
            divider.numerator.eq(32767 << (_ROOT_BITS - 1)),
            divider.denominator.eq(root.root),
            shifter.i.eq(self.multiplier_0.p),
            shifter.shift.eq(inverse_shift),
        ]
        m.d.sync += inverse_shift.eq(_ROOT_BITS - 1 - normalizer.count)

        self._write(m, command, begin, valid & ~squaring, last & ~squaring, shifter)

        return m

    def _multiply(self, m, command, start, squaring, inverse):
        """Read the vector; the first pass squares it, the second multiplies by the inverse."""
        address, reading, last = walk(
            m, start, first=command.a, count=command.k, bound=self.config.scratch_depth
        )
        operand = Signal(signed(16), reset_less=True)
        factor = Signal(signed(16), reset_less=True)
        with m.If(delay(m, reading, OPERAND_LATENCY - 1, "operand_valid", reset_less=False)):
            m.d.sync += [
                operand.eq(self.scratch.data),
                factor.eq(Mux(squaring, self.scratch.data, inverse)),
            ]
        with m.Else():
            m.d.sync += [operand.eq(0), factor.eq(0)]
        m.d.comb += [
            self.scratch.address.eq(address),
            self.multiplier_0.a.eq(operand),
            self.multiplier_0.b.eq(factor),
        ]
        latency = OPERAND_LATENCY + MULTIPLIER_TIMING.latency
        product_valid = delay(m, reading, latency, "product_valid", reset_less=False)
        return product_valid, delay(m, last, latency, "product_last", reset_less=False)

    def _sum(self, m, command, begin, valid):
        """Sum of squares. It begins with epsilon, which arrives before the first of them.

        The upper half follows the lower one by a cycle, with its carry; that of epsilon is 0.
        """
        low, high = Signal(32, reset_less=True), Signal(SQUARE_BITS - 32, reset_less=True)
        carry = Signal(reset_less=True)
        low_read = delay(m, begin, 1, "low_read", reset_less=False)
        low_valid = delay(m, begin, MEMORY_READ_LATENCY, "low_valid", reset_less=False)
        high_valid = delay(m, low_valid, 1, "high_valid", reset_less=False)
        m.d.comb += self.constants.address.eq(command.constant + low_read)
        addend = Signal(32, reset_less=True)
        addend_valid = delay(m, low_valid | valid, 1, "addend_valid", reset_less=False)
        m.d.sync += [
            addend.eq(Mux(low_valid, self.constants.data, self.multiplier_0.p.as_unsigned())),
            carry.eq(0),
        ]
        with m.If(begin):
            m.d.sync += low.eq(0)
        with m.Elif(addend_valid):
            m.d.sync += Cat(low, carry).eq(low + addend)
        with m.If(high_valid):
            m.d.sync += high.eq(self.constants.data)
        with m.Else():
            m.d.sync += high.eq(high + carry)
        return Cat(low, high)

    def _write(self, m, command, begin, valid, last, shifter):
        """Write the shifted products; one output register behind the shifter."""
        latency = shifter.timing.latency + 1
        result = Signal(signed(16), reset_less=True)
        valid = delay(m, valid, latency, "result_valid", reset_less=False)
        m.d.sync += result.eq(shifter.o)
        m.d.comb += self.done.eq(delay(m, last, latency, "result_last", reset_less=False))
        element = Signal.like(command.c, reset_less=True)
        with m.If(begin):
            m.d.sync += element.eq(command.c)
        with m.Elif(valid):
            m.d.sync += element.eq(element + 1)
        to_row = command.target == ROW_TARGET
        m.d.comb += [
            self.o.en.eq(valid & ~to_row),
            self.o.element.eq(element),
            self.o.data.eq(result),
            self.row.en.eq(valid & to_row),
            self.row.index.eq(element),
            self.row.data.eq(result),
        ]
