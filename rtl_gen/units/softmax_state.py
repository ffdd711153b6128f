"""Softmax state: join the sum of a tile to the running exponent and sum of its head."""

from typing import Any

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from mla_hw.cycles.simple_memory import MEMORY_READ_LATENCY
from mla_hw.cycles.softmax_state import LEAST_TOTAL_DELAY, SHIFT_BITS, softmax_state_timing
from mla_hw.errors import ConfigError
from mla_hw.golden.softmax import SUM_BITS
from mla_hw.hardware import CoreConfig
from rtl_gen.layouts import read_port_signature
from rtl_gen.pipeline import delay
from rtl_gen.units.context_accumulator import head_control_layout
from rtl_gen.units.rounding_shifter import Shifter

__all__ = ["EXPONENT", "SoftmaxState", "head_state_layout", "tile_exponent_layout"]

#: Shape of the exponents of tiles and heads, log2 units.
EXPONENT = signed(16)


def tile_exponent_layout(config: CoreConfig) -> data.StructLayout:
    """Exponent of one head's tile; ``first`` where nothing is held yet."""
    return data.StructLayout({
        "en": 1,
        "first": 1,
        "head": range(config.groups << config.lane_bits),
        "exponent": EXPONENT,
    })


def head_state_layout() -> data.StructLayout:
    """State of one head: its sum is relative to ``2 ** exponent``."""
    return data.StructLayout({"exponent": EXPONENT, "total": unsigned(SUM_BITS)})


def _state_write_layout(depth: int) -> data.StructLayout:
    return data.StructLayout({"en": 1, "address": range(depth), "data": head_state_layout()})


class SoftmaxState(wiring.Component):
    """Join the sums of tiles, each relative to its own exponent.

    Of the held and the new sum, the one with the smaller exponent is shifted; the result stays
    below :py:`2**SUM_BITS`, or the exponent is raised. Bit-exact with the state and the shift
    control of :func:`mla_hw.golden.softmax.softmax_tile`. While the tile is still being summed, its
    exponent is compared already. Latency and least distance of two heads are :attr:`timing`; the
    same head may come again one cycle later than another one.

    Parameters
    ----------
    config : CoreConfig
    total_delay : int
        Cycles by which the tile's sum comes after its exponent.

    Members
    -------
    i : :py:`In(tile_exponent_layout(config))`
    total : :py:`In(unsigned(SUM_BITS))`
        Sum of the tile, ``total_delay`` cycles after the exponent.
    held : :py:`Out(read_port_signature(head_state_layout(), groups << lane_bits))`
        State by head; the address comes with ``i.en``.
    write : :py:`Out(StructLayout({"en": 1, "address": …, "data": head_state_layout()}))`
        New state.
    control : :py:`Out(head_control_layout())`
        In the cycle in which the new state is written.
    """

    i: data.View
    total: Signal
    held: Any
    write: data.View
    control: data.View

    def __init__(self, config: CoreConfig, *, total_delay: int) -> None:
        if total_delay < LEAST_TOTAL_DELAY:
            raise ConfigError(
                f"total_delay must be at least {LEAST_TOTAL_DELAY}, not {total_delay}"
            )
        depth = config.groups << config.lane_bits
        self.total_delay = total_delay
        self.timing = softmax_state_timing(total_delay)
        super().__init__({
            "i": In(tile_exponent_layout(config)),
            "total": In(SUM_BITS),
            "held": Out(read_port_signature(head_state_layout(), depth)),
            "write": Out(_state_write_layout(depth)),
            "control": Out(head_control_layout()),
        })

    def elaborate(self, platform):
        m = Module()

        # One flag per cycle of the update.
        cycle = [self.i.en]
        for number in range(1, self.timing.latency):
            cycle.append(delay(m, cycle[-1], 1, f"cycle_{number}", reset_less=False))

        # Which exponent is larger, and by how much.
        tile: Any = Signal.like(self.i, reset_less=True)
        held: Any = Signal(head_state_layout(), reset_less=True)
        delta = Signal(signed(EXPONENT.width + 1), reset_less=True)
        gap = Signal(EXPONENT.width, reset_less=True)
        exponent = Signal(EXPONENT, reset_less=True)
        control: Any = Signal.like(self.control.control, reset_less=True)
        far = gap[SHIFT_BITS:].any()
        swap = (delta > 0) & ~tile.first
        m.d.comb += self.held.address.eq(self.i.head)
        with m.If(cycle[0]):
            m.d.sync += tile.eq(self.i)
        read = MEMORY_READ_LATENCY
        with m.If(cycle[read]):
            m.d.sync += held.eq(self.held.data)
        with m.If(cycle[read + 1]):
            m.d.sync += delta.eq(tile.exponent - held.exponent)
        with m.If(cycle[read + 2]):
            m.d.sync += [
                control.first.eq(tile.first),
                control.swap.eq(swap),
                gap.eq(Mux(tile.first, 0, abs(delta))),
                exponent.eq(Mux(swap | tile.first, tile.exponent, held.exponent)),
            ]
        with m.If(cycle[read + 3]):
            m.d.sync += control.shift.eq(Mux(far, (1 << SHIFT_BITS) - 1, gap[:SHIFT_BITS]))

        # With the tile's sum: shift the smaller one, round, add, keep below 2 ** SUM_BITS.
        m.submodules.shifter = shifter = Shifter(width=SUM_BITS + 1, shift_bits=SHIFT_BITS)
        small = Signal(SUM_BITS, reset_less=True)
        large = Signal(SUM_BITS, reset_less=True)
        shifted = Signal(SUM_BITS, reset_less=True)
        joined = Signal(SUM_BITS + 1, reset_less=True)
        with m.If(cycle[self.total_delay]):
            m.d.sync += [
                large.eq(Mux(control.swap | control.first, self.total, held.total)),
                small.eq(Mux(control.first, 0, Mux(control.swap, held.total, self.total))),
            ]
        halve = joined[-1]
        written = Signal()
        state: Any = Signal.like(self.write, reset_less=True)
        m.d.comb += [shifter.i.eq(small), shifter.shift.eq(control.shift)]
        m.d.sync += [
            shifted.eq((shifter.o >> 1) + shifter.o[0]),
            joined.eq(large + shifted),
            control.halve.eq(halve),
            written.eq(cycle[-1]),
            state.address.eq(tile.head),
            state.data.exponent.eq(exponent + halve),
            state.data.total.eq(Mux(halve, (joined >> 1) + joined[0], joined)),
        ]
        m.d.comb += [
            self.write.eq(state),
            self.write.en.eq(written),
            self.control.en.eq(written),
            self.control.head.eq(state.address),
            self.control.control.eq(control),
        ]

        return m
