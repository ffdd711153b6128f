"""Normalize: one head's context sums divided by its softmax sum."""

from typing import Any

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from mla_hw.cycles.context_accumulator import CONTEXT_READ_LATENCY
from mla_hw.cycles.multiplier import MULTIPLIER_TIMING
from mla_hw.cycles.normalize import QUOTIENT_BITS, RESULT_LATENCY, SHIFT_BITS, TOTAL_LATENCY
from mla_hw.golden.context_accumulator import CONTEXT_BITS
from mla_hw.golden.normalize import RECIPROCAL_BITS
from mla_hw.golden.softmax import SUM_BITS
from mla_hw.hardware import CoreConfig
from rtl_gen.arithmetic import round_shift, saturate
from rtl_gen.layouts import (
    multiplier_signature,
    read_port_signature,
    vector_command_layout,
    vector_write_layout,
)
from rtl_gen.pipeline import delay
from rtl_gen.sequencing import take_command, walk
from rtl_gen.units.rounding_shifter import RoundingShifter
from rtl_gen.units.serial_divider import SerialDivider
from rtl_gen.units.serial_normalizer import SerialNormalizer

__all__ = ["Normalize"]


class Normalize(wiring.Component):
    """Divide the context sums of one head by its softmax sum.

    Computes :py:`context / total * 2**(28 - shift)`, bit-exact with
    :func:`mla_hw.golden.normalize.normalize_context`, for ``NORMALIZE``: the sum is normalised and
    inverted bit by bit, then each element is shifted and multiplied, one per cycle. The whole takes
    :func:`mla_hw.cycles.normalize.normalize_cycles`.

    Parameters
    ----------
    config : CoreConfig

    Members
    -------
    command : :py:`In(stream.Signature(vector_command_layout()))`
        Ready while nothing is under way; ``k`` is at least 1. The layer constant's bits 5…0 are
        the shift.
    done : :py:`Out(1)`
        Pulse in the cycle of the last output.
    totals : :py:`Out(read_port_signature(unsigned(SUM_BITS), groups << lane_bits))`
        Softmax sums, by head.
    context : :py:`Out(read_port_signature(signed(CONTEXT_BITS), …))`
        Context sums, by element address: below ``context_depth << context_lane_bits``. Data
        follows after ``CONTEXT_READ_LATENCY`` cycles.
    constants : :py:`Out(read_port_signature(unsigned(32), config.constants))`
    multiplier_0 : :py:`Out(multiplier_signature())`
    o : :py:`Out(vector_write_layout())`
        Layout *lanes*: elements from ``c`` on, all in its lane. With several query rows *spread*.
    saturated : :py:`Out(1)`
        Pulse for each element that met a limit.
    """

    command: stream.Interface
    done: Signal
    totals: Any
    context: Any
    constants: Any
    multiplier_0: Any
    o: data.View
    saturated: Signal

    def __init__(self, config: CoreConfig) -> None:
        self.config = config
        super().__init__({
            "command": In(stream.Signature(vector_command_layout())),
            "done": Out(1),
            "totals": Out(
                read_port_signature(unsigned(SUM_BITS), config.groups << config.lane_bits)
            ),
            "context": Out(
                read_port_signature(
                    signed(CONTEXT_BITS), config.context_depth << config.context_lane_bits
                )
            ),
            "constants": Out(read_port_signature(unsigned(32), config.constants)),
            "multiplier_0": Out(multiplier_signature()),
            "o": Out(vector_write_layout()),
            "saturated": Out(1),
        })

    def elaborate(self, platform):
        m = Module()

        m.submodules.normalizer = normalizer = SerialNormalizer(bits=SUM_BITS)
        m.submodules.divider = divider = SerialDivider(
            numerator_bits=SUM_BITS + RECIPROCAL_BITS,
            denominator_bits=SUM_BITS,
            quotient_bits=QUOTIENT_BITS,
        )
        m.submodules.shifter = shifter = RoundingShifter(
            width=CONTEXT_BITS, shift_bits=SHIFT_BITS, out_width=16
        )

        command, begin = take_command(m, self.command, self.done)

        # The reciprocal.
        constant = Signal(SHIFT_BITS, reset_less=True)
        shift = Signal(SHIFT_BITS, reset_less=True)
        m.d.comb += [
            self.totals.address.eq(command.b),
            self.constants.address.eq(command.constant),
            normalizer.start.eq(delay(m, begin, TOTAL_LATENCY, "total_valid", reset_less=False)),
            normalizer.value.eq(self.totals.data),
            divider.start.eq(normalizer.done),
            divider.numerator.eq((1 << divider.numerator_bits) - 1),
            divider.denominator.eq(normalizer.normalized),
        ]
        with m.If(normalizer.start):
            m.d.sync += constant.eq(self.constants.data)
        m.d.sync += shift.eq(constant - normalizer.count)

        # Read and shift; the operands at the multiplier are registers.
        address, reading, last = walk(
            m,
            divider.done,
            first=command.a,
            count=command.k,
            bound=self.config.context_depth << self.config.context_lane_bits,
            step=1 << self.config.context_lane_bits,
        )
        shifted = CONTEXT_READ_LATENCY + shifter.timing.latency
        valid = delay(m, reading, shifted, "shifted_valid", reset_less=False)
        operand = Signal(signed(16), reset_less=True)
        factor = Signal(signed(16), reset_less=True)
        m.d.comb += [
            self.context.address.eq(address),
            shifter.i.eq(self.context.data),
            shifter.shift.eq(shift),
            self.multiplier_0.a.eq(operand),
            self.multiplier_0.b.eq(factor),
        ]
        m.d.sync += [
            operand.eq(Mux(valid, shifter.o, 0)),
            factor.eq(Mux(valid, divider.quotient, 0)),
        ]

        # Round, saturate.
        rounded = Signal(signed(32 - RECIPROCAL_BITS + 1), reset_less=True)
        result = Signal(signed(16), reset_less=True)
        clamped, limited = saturate(rounded, 16)
        latency = 1 + MULTIPLIER_TIMING.latency + RESULT_LATENCY
        before = delay(m, valid & shifter.saturated, latency - 1, "before", reset_less=False)
        valid = delay(m, valid, latency - 1, "rounded_valid", reset_less=False)
        m.d.sync += [
            rounded.eq(round_shift(self.multiplier_0.p, RECIPROCAL_BITS)),
            result.eq(clamped),
            self.saturated.eq(valid & (before | limited)),
        ]
        m.d.comb += self.done.eq(delay(m, last, shifted + latency, "last", reset_less=False))

        element = Signal.like(command.c, reset_less=True)
        lanes = self.config.query_rows == 1
        valid = delay(m, valid, 1, "result_valid", reset_less=False)
        with m.If(begin):
            m.d.sync += element.eq(command.c)
        with m.Elif(valid):
            m.d.sync += element.eq(element + (1 << self.config.lane_bits if lanes else 1))
        m.d.comb += [
            self.o.en.eq(valid),
            self.o.lanes.eq(lanes),
            self.o.element.eq(element),
            self.o.data.eq(result),
        ]

        return m
