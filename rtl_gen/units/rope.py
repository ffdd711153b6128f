"""Rope: rotary position embedding."""

from typing import Any

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from mla_hw.cycles.multiplier import MULTIPLIER_TIMING
from mla_hw.cycles.rope import PRODUCT_LATENCY, RESULT_LATENCY
from mla_hw.cycles.simple_memory import MEMORY_READ_LATENCY
from mla_hw.golden.rope import ROPE_FRACTION
from mla_hw.hardware import CoreConfig
from rtl_gen.arithmetic import round_shift, saturate
from rtl_gen.layouts import (
    multiplier_signature,
    read_port_signature,
    vector_command_layout,
    vector_write_layout,
)
from rtl_gen.pipeline import delay
from rtl_gen.sequencing import take_command
from rtl_gen.units.pack import ROW_TARGET, row_write_layout

__all__ = ["Rope"]


class Rope(wiring.Component):
    """Rotate the adjacent pairs of heads by the loaded RoPE row.

    Computes :py:`(even*cos - odd*sin, even*sin + odd*cos)` for each pair, bit-exact with
    :func:`mla_hw.golden.rope.rotate_pairs`, for ``ROPE``. One element per cycle, head after head
    without a gap; the whole takes :func:`mla_hw.cycles.rope.rope_cycles`.

    Parameters
    ----------
    config : CoreConfig

    Members
    -------
    command : :py:`In(stream.Signature(vector_command_layout()))`
        Ready while nothing is under way; ``k`` is even, ``n`` at least 1.
    done : :py:`Out(1)`
        Pulse in the cycle of the last output.
    scratch : :py:`Out(read_port_signature(signed(16), config.scratch_depth))`
    table : :py:`Out(read_port_signature(unsigned(32), config.table_entries))`
        Cosine in the low half, sine in the high half, Q14.
    multiplier_0, multiplier_1 : :py:`Out(multiplier_signature())`
    o : :py:`Out(vector_write_layout())`
        Target lanes: head h in lane ``h % rows``; the heads of one lane follow each other. ``c`` is
        the element address of the first in lane 0.
    row : :py:`Out(row_write_layout(config))`
        Target row: elements from index ``c`` on.
    saturated : :py:`Out(1)`
        Pulse for each element that met the 16-bit limit.
    """

    command: stream.Interface
    done: Signal
    scratch: Any
    table: Any
    multiplier_0: Any
    multiplier_1: Any
    o: data.View
    row: data.View
    saturated: Signal

    def __init__(self, config: CoreConfig) -> None:
        self.config = config
        super().__init__({
            "command": In(stream.Signature(vector_command_layout())),
            "done": Out(1),
            "scratch": Out(read_port_signature(signed(16), config.scratch_depth)),
            "table": Out(read_port_signature(unsigned(32), config.table_entries)),
            "multiplier_0": Out(multiplier_signature()),
            "multiplier_1": Out(multiplier_signature()),
            "o": Out(vector_write_layout()),
            "row": Out(row_write_layout(config)),
            "saturated": Out(1),
        })

    def elaborate(self, platform):
        m = Module()

        command, begin = take_command(m, self.command, self.done)
        reading, odd, head_last, last = self._read(m, command, begin)

        # Each pair stays for two cycles; between them cosine and sine change places.
        before = Signal(signed(16), reset_less=True)
        values = [Signal(signed(16), name=f"value_{i}", reset_less=True) for i in range(2)]
        factors = [Signal(signed(16), name=f"factor_{i}", reset_less=True) for i in range(2)]
        load = delay(m, reading & odd, MEMORY_READ_LATENCY, "load", reset_less=False)
        swap = delay(m, load, 1, "swap", reset_less=False)
        m.d.sync += before.eq(self.scratch.data)
        with m.If(load):
            m.d.sync += [
                Cat(values).eq(Cat(before, self.scratch.data)),
                Cat(factors).eq(self.table.data),
            ]
        with m.Elif(swap):
            m.d.sync += Cat(factors).eq(Cat(reversed(factors)))
        with m.Else():
            m.d.sync += [Cat(values).eq(0), Cat(factors).eq(0)]
        products = []
        for port, value, factor in zip(
            (self.multiplier_0, self.multiplier_1), values, factors, strict=True
        ):
            m.d.comb += [port.a.eq(value), port.b.eq(factor)]
            products.append(port.p)

        # The second product with its sign, and what is missing to its complement in the sum.
        first = Signal(signed(32), reset_less=True)
        second = Signal(signed(32), reset_less=True)
        turned = Signal(signed(33), reset_less=True)
        rounded = Signal(signed(33 - ROPE_FRACTION + 1), reset_less=True)
        result = Signal(signed(16), reset_less=True)
        subtract = delay(m, load, 1 + MULTIPLIER_TIMING.latency, "subtract")
        one = delay(m, subtract, 1, "one")
        m.d.sync += [
            first.eq(products[0]),
            second.eq(products[1] ^ subtract.replicate(32)),
            turned.eq((Cat(C(1, 1), first).as_signed() + Cat(one, second).as_signed()) >> 1),
        ]
        clamped, limited = saturate(rounded, 16)
        m.d.sync += [rounded.eq(round_shift(turned, ROPE_FRACTION)), result.eq(clamped)]

        latency = PRODUCT_LATENCY + RESULT_LATENCY
        valid = delay(m, reading, latency - 1, "valid", reset_less=False)
        m.d.sync += self.saturated.eq(valid & limited)
        valid = delay(m, valid, 1, "result_valid", reset_less=False)
        head_last = delay(m, head_last, latency, "head_last")
        m.d.comb += self.done.eq(delay(m, last, latency, "last", reset_less=False))
        self._write(m, command, begin, valid, head_last, result)

        return m

    def _read(self, m, command, begin):
        """Step through the heads; the table begins anew with each, at the query row's entry."""
        first_pair = command.b if self.config.query_rows > 1 else 0
        address = Signal.like(self.scratch.address, reset_less=True)
        pair = Signal.like(self.table.address, reset_less=True)
        pairs_left = Signal(range(self.config.qk_rope_head_dim // 2 + 1), reset_less=True)
        heads_left = Signal.like(command.n, reset_less=True)
        reading = Signal()
        odd = Signal()

        pairs = command.k[1:]
        head_last = odd & (pairs_left == 1)
        last = reading & head_last & (heads_left == 1)
        m.d.comb += [self.scratch.address.eq(address), self.table.address.eq(pair)]
        m.d.sync += [address.eq(address + 1), odd.eq(~odd)]
        with m.If(head_last):
            m.d.sync += [pair.eq(first_pair), pairs_left.eq(pairs), heads_left.eq(heads_left - 1)]
        with m.Elif(odd):
            m.d.sync += [pair.eq(pair + 1), pairs_left.eq(pairs_left - 1)]
        with m.If(last):
            m.d.sync += reading.eq(0)
        with m.If(begin):
            m.d.sync += [
                address.eq(command.a),
                pair.eq(first_pair),
                pairs_left.eq(pairs),
                heads_left.eq(command.n),
                reading.eq(1),
                odd.eq(0),
            ]
        return reading, odd, head_last, last

    def _write(self, m, command, begin, valid, head_last, result):
        """Write heads into their lanes, or the only head into the row."""
        lane_bits = self.config.lane_bits
        address = Signal.like(command.c, reset_less=True)
        group_base = Signal.like(command.c, reset_less=True)
        lane, lane_last = Signal(lane_bits, reset_less=True), Signal(reset_less=True)
        one_row = self.config.rows == 1
        to_row = command.target == ROW_TARGET

        # Long before the first result.
        first = Signal.like(command.c, name="first_address", reset_less=True)
        m.d.sync += first.eq(Mux(to_row, command.c, command.c >> lane_bits))
        with m.If(delay(m, begin, 1, "first_valid", reset_less=False)):
            m.d.sync += [address.eq(first), group_base.eq(first), lane.eq(0), lane_last.eq(one_row)]
        with m.Elif(valid):
            m.d.sync += address.eq(address + 1)
            with m.If(head_last & lane_last):
                m.d.sync += [group_base.eq(address + 1), lane.eq(0), lane_last.eq(one_row)]
            with m.Elif(head_last):
                m.d.sync += [
                    address.eq(group_base),
                    lane.eq(lane + 1),
                    lane_last.eq(lane == self.config.rows - 2),
                ]
        m.d.comb += [
            self.o.en.eq(valid & ~to_row),
            self.o.lanes.eq(1),
            self.o.element.eq(Cat(lane, address)),
            self.o.data.eq(result),
            self.row.en.eq(valid & to_row),
            self.row.index.eq(address),
            self.row.data.eq(result),
        ]
