"""Softmax: probabilities of one head group and tile, and the running state of its heads."""

from itertools import pairwise
from typing import Any

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from mla_hw.cycles.multiplier import MULTIPLIER_TIMING
from mla_hw.cycles.sequencing import OPERAND_LATENCY
from mla_hw.cycles.softmax import (
    HEAD_INTERVAL,
    PROBABILITY_LATENCY,
    SHIFT_BITS,
    TABLE_LATENCY,
    TOTAL_DELAY,
    TOTAL_LATENCY,
    VALUE_LATENCY,
)
from mla_hw.golden.score_unit import SCORE_BITS, SCORE_FRACTION
from mla_hw.golden.softmax import EXP2_SEGMENTS, EXP2_TABLE, GUARD_BITS, SUM_BITS
from mla_hw.hardware import CoreConfig
from rtl_gen.layouts import (
    multiplier_signature,
    read_port_signature,
    vector_command_layout,
    vector_write_layout,
)
from rtl_gen.pipeline import delay
from rtl_gen.sequencing import take_command, walk
from rtl_gen.units.context_accumulator import head_control_layout
from rtl_gen.units.rounding_shifter import Shifter
from rtl_gen.units.simple_memory import SimpleMemory
from rtl_gen.units.softmax_state import EXPONENT, SoftmaxState, head_state_layout

__all__ = ["Softmax"]

_VALUE_BITS = 15
_LOW_BITS = SCORE_FRACTION - (EXP2_SEGMENTS - 1).bit_length()
_SLOPE_BITS = (EXP2_TABLE[0] - EXP2_TABLE[1]).bit_length()
_LARGEST_SHIFT = (1 << SHIFT_BITS) - 1


class Softmax(wiring.Component):
    """Turn the scores of one head group and tile into probabilities.

    Computes :func:`mla_hw.golden.softmax.softmax_tile` for each head, bit-exact, for ``SOFTMAX``.
    Exponents are relative to the tile, whose maximum is known already, so that one pass does; the
    running exponent and sum are joined with the tile's afterwards, while the next head is under
    way. One token per cycle and :py:`max(n, HEAD_INTERVAL)` cycles per head; the whole takes
    :func:`mla_hw.cycles.softmax.softmax_cycles`.

    Parameters
    ----------
    config : CoreConfig

    Members
    -------
    command : :py:`In(stream.Signature(vector_command_layout()))`
        Ready while nothing is under way; ``n`` and ``rows`` are at least 1.
    done : :py:`Out(1)`
        Pulse in the cycle of the last ``control``, which comes after the last probability.
    scores : :py:`Out(read_port_signature(signed(SCORE_BITS), config.score_depth))`
        Row r, token j at ``a + r * tile_limit + j``.
    scales : :py:`Out(read_port_signature(unsigned(16), groups * tile_limit))`
        Token scales, up to 32767.
    maxima : :py:`Out(read_port_signature(signed(SCORE_BITS), groups << lane_bits))`
        Maximum of the tile by head, ``group << lane_bits | row``.
    multiplier_0, multiplier_1 : :py:`Out(multiplier_signature())`
    o : :py:`Out(vector_write_layout())`
        Layout *lanes*: row r, token j to ``c + (j << lane_bits) + r``.
    control : :py:`Out(head_control_layout())`
        Shift control of each head, once per command.
    totals : :py:`In(read_port_signature(unsigned(SUM_BITS), groups << lane_bits))`
        Softmax sums by head, while no command is under way.
    """

    command: stream.Interface
    done: Signal
    scores: Any
    scales: Any
    maxima: Any
    multiplier_0: Any
    multiplier_1: Any
    o: data.View
    control: data.View
    totals: Any

    def __init__(self, config: CoreConfig) -> None:
        self.config = config
        self.depth = heads = config.groups << config.lane_bits
        super().__init__({
            "command": In(stream.Signature(vector_command_layout())),
            "done": Out(1),
            "scores": Out(read_port_signature(signed(SCORE_BITS), config.score_depth)),
            "scales": Out(read_port_signature(unsigned(16), config.groups * config.tile_limit)),
            "maxima": Out(read_port_signature(signed(SCORE_BITS), heads)),
            "multiplier_0": Out(multiplier_signature()),
            "multiplier_1": Out(multiplier_signature()),
            "o": Out(vector_write_layout()),
            "control": Out(head_control_layout()),
            "totals": In(read_port_signature(unsigned(SUM_BITS), heads)),
        })

    def elaborate(self, platform):
        m = Module()

        command, begin = take_command(m, self.command, self.done)
        head, start, reading, last, final = self._step_through(m, command, begin)
        exponent, value, whole = self._exponentials(m, reading)
        self._probabilities(m, command, begin, start, reading, value, whole)
        total = self._total(m, start, reading, value, whole)

        # The exponent of the last token's head is known with that token's score.
        m.submodules.update = update = SoftmaxState(self.config, total_delay=TOTAL_DELAY)
        self._hold_state(m, update)
        m.d.comb += [
            update.i.en.eq(delay(m, last, OPERAND_LATENCY, "exponent_valid", reset_less=False)),
            update.i.first.eq(command.first),
            update.i.head.eq(delay(m, head, OPERAND_LATENCY, "exponent_head")),
            update.i.exponent.eq(exponent),
            update.total.eq(total),
            self.control.eq(update.control),
        ]
        latency = OPERAND_LATENCY + update.timing.latency
        m.d.comb += self.done.eq(delay(m, final, latency, "final", reset_less=False))

        return m

    def _hold_state(self, m, update):
        """Keep exponent and sum of every head; the sums may be read between commands."""
        m.submodules.state = state = SimpleMemory(head_state_layout(), self.depth)
        m.d.comb += [
            state.read.address.eq(Mux(update.i.en, update.held.address, self.totals.address)),
            update.held.data.eq(state.read.data),
            self.totals.data.eq(state.read.data.total),
            state.w.en.eq(update.write.en),
            state.w.address.eq(update.write.address),
            state.w.data.eq(update.write.data),
        ]

    def _step_through(self, m, command, begin):
        """Start head after head and read its scores."""
        head = Signal.like(self.maxima.address, reset_less=True)
        score = Signal.like(self.scores.address, reset_less=True)
        # Heads after this one, and if there are any; cycles until the next one may start, and if
        # they are over.
        heads_left, more = Signal.like(command.rows), Signal()
        wait, waited = Signal(range(HEAD_INTERVAL)), Signal(init=1)

        following = Signal()
        address, reading, last = walk(
            m,
            begin | following,
            first=score,
            count=command.n,
            bound=self.config.score_depth,
        )
        m.d.comb += [
            following.eq(more & waited & (last | ~reading)),
            self.scores.address.eq(address),
            self.maxima.address.eq(head),
        ]
        with m.If(self.command.ready):
            m.d.sync += score.eq(self.command.p.a)
        with m.If(begin):
            m.d.sync += [
                head.eq(command.group << self.config.lane_bits),
                score.eq(score + self.config.tile_limit),
                heads_left.eq(command.rows - 1),
                more.eq(command.rows != 1),
            ]
        with m.Elif(following):
            m.d.sync += [
                head.eq(head + 1),
                score.eq(score + self.config.tile_limit),
                heads_left.eq(heads_left - 1),
                more.eq(heads_left != 1),
            ]
        with m.If(begin | following):
            m.d.sync += [wait.eq(HEAD_INTERVAL - 1), waited.eq(0)]
        with m.Elif(~waited):
            m.d.sync += [wait.eq(wait - 1), waited.eq(wait == 1)]
        return head, begin | following, reading, last, last & ~more

    def _exponentials(self, m, reading):
        """Exponent of the tile; of a score's distance to it, ``2 ** -fraction`` and whole part."""
        score = Signal(signed(SCORE_BITS), reset_less=True)
        exponent = Signal(EXPONENT, reset_less=True)
        distance = Signal(SCORE_BITS + 1, reset_less=True)
        base = Signal(_VALUE_BITS, reset_less=True)
        slope = Signal(signed(16), reset_less=True)
        low = Signal(signed(16), reset_less=True)
        whole = Signal(SHIFT_BITS, reset_less=True)
        value = Signal(signed(16), reset_less=True)

        segments = list(pairwise(EXP2_TABLE))
        bases = Array(C(left, _VALUE_BITS) for left, _ in segments)
        slopes = Array(C(left - right, 16) for left, right in segments)
        fraction, full = distance[:SCORE_FRACTION], distance[SCORE_FRACTION:]
        segment = fraction[_LOW_BITS:]
        valid = delay(m, reading, TABLE_LATENCY - 1, "distance_valid", reset_less=False)
        m.d.sync += [
            # The score, and the exponent of the maximum.
            score.eq(self.scores.data),
            exponent.eq((self.maxima.data >> SCORE_FRACTION) + 1),
            # One cycle later: always positive, as no score exceeds the maximum.
            distance.eq((exponent << SCORE_FRACTION) - score),
            # Two cycles later: the segment.
            base.eq(bases[segment]),
            slope.eq(Mux(valid, slopes[segment], 0)),
            low.eq(Mux(valid, fraction[:_LOW_BITS], 0)),
            whole.eq(Mux(full[SHIFT_BITS:].any(), _LARGEST_SHIFT, full[:SHIFT_BITS])),
        ]
        m.d.comb += [self.multiplier_0.a.eq(slope), self.multiplier_0.b.eq(low)]

        # The product is rounded and subtracted at once: ceil(x - 1/2) = floor(x + 1/2 - ulp).
        latency = MULTIPLIER_TIMING.latency
        delayed_base = delay(m, base, latency, "base")
        half = (1 << (_LOW_BITS - 1)) - 1
        product = self.multiplier_0.p[: _SLOPE_BITS + _LOW_BITS]
        valid = delay(m, valid, 1 + latency, "slope_valid", reset_less=False)
        with m.If(valid):
            m.d.sync += value.eq((Cat(C(half, _LOW_BITS), delayed_base) - product) >> _LOW_BITS)
        with m.Else():
            m.d.sync += value.eq(0)
        return exponent, value, delay(m, whole, latency + 1, "whole")

    def _probabilities(self, m, command, begin, start, reading, value, whole):
        """Multiply by the token's scale and write."""
        config = self.config
        starts = Array(
            C(group * config.tile_limit, len(self.scales.address)) for group in range(config.groups)
        )
        # Scales are read late: an address has fewer bits to delay than a scale.
        address = Signal.like(self.scales.address, reset_less=True)
        before = VALUE_LATENCY - OPERAND_LATENCY
        with m.If(delay(m, start, before, "scales_start", reset_less=False)):
            m.d.sync += address.eq(starts[command.group])
        with m.Else():
            m.d.sync += address.eq(address + 1)
        scale = Signal(signed(16), reset_less=True)
        valid = delay(m, reading, VALUE_LATENCY - 1, "scale_valid", reset_less=False)
        m.d.sync += scale.eq(Mux(valid, self.scales.data, 0))
        m.d.comb += [
            self.scales.address.eq(address),
            self.multiplier_1.a.eq(value),
            self.multiplier_1.b.eq(scale),
        ]

        # The shifter keeps one bit below the result; the one below that is not needed.
        m.submodules.probability_shifter = shifter = Shifter(width=17, shift_bits=SHIFT_BITS)
        latency = MULTIPLIER_TIMING.latency
        m.d.comb += [
            shifter.i.eq(self.multiplier_1.p >> (_VALUE_BITS - 1)),
            shifter.shift.eq(delay(m, whole, latency, "probability_whole")),
        ]
        probability = Signal(signed(16), reset_less=True)
        m.d.sync += probability.eq((shifter.o >> 2) + shifter.o[1])

        element = Signal.like(command.c, reset_less=True)
        row = Signal.like(command.c, reset_less=True)
        valid = delay(m, reading, PROBABILITY_LATENCY, "probability_valid", reset_less=False)
        with m.If(begin):
            m.d.sync += row.eq(command.c)
        with m.If(delay(m, start, PROBABILITY_LATENCY, "row_start", reset_less=False)):
            m.d.sync += [element.eq(row), row.eq(row + 1)]
        with m.Else():
            m.d.sync += element.eq(element + (1 << config.lane_bits))
        m.d.comb += [
            self.o.en.eq(valid),
            self.o.lanes.eq(1),
            self.o.element.eq(element),
            self.o.data.eq(probability),
        ]

    def _total(self, m, start, reading, value, whole):
        """Sum of the tile's exponentials, complete ``TOTAL_LATENCY`` after its last token."""
        m.submodules.value_shifter = shifter = Shifter(
            width=_VALUE_BITS + GUARD_BITS + 1, shift_bits=SHIFT_BITS
        )
        m.d.comb += [shifter.i.eq(value << GUARD_BITS), shifter.shift.eq(whole)]
        rounded = Signal(_VALUE_BITS + GUARD_BITS, reset_less=True)
        m.d.sync += rounded.eq((shifter.o >> 1) + shifter.o[0])

        total = Signal(SUM_BITS, reset_less=True)
        # From the start to the first token's rounded value, one cycle more than from the token.
        first = delay(m, start, TOTAL_LATENCY, "total_first", reset_less=False)
        valid = delay(m, reading, TOTAL_LATENCY - 1, "total_valid", reset_less=False)
        with m.If(first):
            m.d.sync += total.eq(rounded)
        with m.Elif(valid):
            m.d.sync += total.eq(total + rounded)
        return total
