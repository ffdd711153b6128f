"""Context accumulator: joins the context sums of the tiles, head by head."""

from typing import Any

from amaranth import *
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from mla_hw.cycles.context_accumulator import (
    ADDRESS_LATENCY,
    CONTEXT_READ_LATENCY,
    HELD_LATENCY,
    SHIFT_BITS,
    context_accumulator_timing,
)
from mla_hw.cycles.rounding_shifter import shifter_timing
from mla_hw.golden.context_accumulator import CONTEXT_BITS
from mla_hw.golden.softmax import GUARD_BITS
from mla_hw.hardware import CoreConfig
from rtl_gen.layouts import context_sum_layout, read_port_signature, shift_control_layout
from rtl_gen.pipeline import delay
from rtl_gen.units.rounding_shifter import Shifter
from rtl_gen.units.simple_memory import SimpleMemory

__all__ = ["ContextAccumulator", "head_control_layout"]


def head_control_layout() -> data.StructLayout:
    """How the next sums of one head (``group << lane_bits | row``) are joined."""
    return data.StructLayout({"en": 1, "head": 16, "control": shift_control_layout()})


class ContextLane(wiring.Component):
    """One lane of the accumulator: its rows' sums and shift controls.

    Lane l serves the rows r with r mod ``accumulator_lanes`` = l, each in its own slot.

    Parameters
    ----------
    config : :class:`CoreConfig`
    lane : int

    Members
    -------
    i : :py:`In(context_sum_layout(config))`
        Sums.
    control : :py:`In(head_control_layout())`
        Shift controls of all heads.
    read_address : :py:`In(range(context_depth))`
        Address in the context memory, ignored while ``i.en``.
    held : :py:`Out(signed(CONTEXT_BITS))`
        What is in memory at the address of :py:`HELD_LATENCY` cycles ago.
    """

    i: data.View
    control: data.View
    read_address: Signal
    held: Signal

    def __init__(self, config: CoreConfig, *, lane: int) -> None:
        self.config = config
        self.lane = lane
        super().__init__({
            "i": In(context_sum_layout(config)),
            "control": In(head_control_layout()),
            "read_address": In(range(config.context_depth)),
            "held": Out(signed(CONTEXT_BITS)),
        })

    def _entry(self, m, head, name):
        """Return the head's index in the lane's shift table, and whether it is of this lane."""
        config, lanes = self.config, self.config.accumulator_lanes
        slots = config.rows // lanes
        slot = Signal(range(slots), name=f"{name}_slot")
        mine = Signal(name=f"{name}_mine")
        with m.Switch(head[: config.lane_bits]):
            for number in range(slots):
                with m.Case(number * lanes + self.lane):
                    m.d.comb += [slot.eq(number), mine.eq(1)]
        group = head[config.lane_bits :][: (config.groups - 1).bit_length()]
        return Cat(slot, group), mine

    def elaborate(self, platform):
        m = Module()

        config = self.config
        # Nobody reads what is being written: that is what the minimum distance is for.
        m.submodules.sums = sums = SimpleMemory(signed(CONTEXT_BITS), config.context_depth)
        slots = config.rows // config.accumulator_lanes
        table: memory.Memory = memory.Memory(
            shape=shift_control_layout(),
            depth=max(2, config.groups << (slots - 1).bit_length()),
            init=[],
            attrs={"ram_style": "distributed"},
        )
        m.submodules.table = table
        w_table, r_table = table.write_port(), table.read_port()
        shift_latency = shifter_timing(SHIFT_BITS).latency

        entry, mine = self._entry(m, self.control.head, "w")
        m.d.comb += [
            w_table.en.eq(self.control.en & mine),
            w_table.addr.eq(entry),
            w_table.data.eq(self.control.control),
        ]

        # Cycle 0: address of the sum that is held; later that of the shift control.
        entry, _ = self._entry(m, self.i.head, "r")
        address = Signal.like(self.read_address, reset_less=True)
        m.d.sync += address.eq(Mux(self.i.en, self.i.address, self.read_address))
        m.d.comb += [
            sums.read.address.eq(address),
            r_table.addr.eq(delay(m, entry, HELD_LATENCY - 1, "entry")),
        ]
        held = sums.read.data
        m.d.comb += self.held.eq(held)

        # Cycle 3: which one is shifted. Cycles 4 and 5: the shift.
        control = data.View(shift_control_layout(), r_table.data)
        acc = delay(m, self.i.acc[: CONTEXT_BITS - GUARD_BITS].as_signed(), HELD_LATENCY, "acc")
        tile = Signal(signed(CONTEXT_BITS))
        large = Signal(signed(CONTEXT_BITS))
        small = Signal(signed(CONTEXT_BITS), reset_less=True)
        m.d.comb += [
            tile.eq(acc << GUARD_BITS),
            large.eq(Mux(control.first | control.swap, tile, held)),
        ]
        m.d.sync += small.eq(Mux(control.first, 0, Mux(control.swap, held, tile)))
        m.submodules.shifter = shifter = Shifter(width=CONTEXT_BITS, shift_bits=SHIFT_BITS)
        m.d.comb += [shifter.i.eq(small), shifter.shift.eq(delay(m, control.shift, 1, "shift"))]

        # Meanwhile, the half of the last place that halving rounds with is added to the other one.
        large_before = delay(m, large, shift_latency, "large")
        halve_before = delay(m, control.halve, shift_latency, "halve")
        large_half = Signal(signed(CONTEXT_BITS + 1), reset_less=True)
        m.d.sync += large_half.eq(large_before + halve_before)

        # Cycle 6: the sum; one bit more on the right carries the shift's rounding bit in, so that
        # it costs one adder.
        joined = Signal(signed(CONTEXT_BITS + 1), reset_less=True)
        m.d.sync += joined.eq((Cat(C(1, 1), large_half).as_signed() + shifter.o) >> 1)

        # Cycle 7: the write.
        w_cycle = ADDRESS_LATENCY + context_accumulator_timing().latency - 1
        halve = delay(m, halve_before, 2, "halve_late")
        m.d.comb += [
            sums.w.en.eq(delay(m, self.i.en, w_cycle, "en", reset_less=False)),
            sums.w.address.eq(delay(m, self.i.address, w_cycle, "address")),
            sums.w.data.eq(Mux(halve, joined >> 1, joined)),
        ]

        return m


class ContextAccumulator(wiring.Component):
    """Join the context sums of a tile to what is held for the tiles before.

    Computes, with the head's shift control, :py:`held = large + round_shift(small, shift)` where
    ``swap`` says which of ``held`` and the tile's sum is the large one, and halves it with
    rounding where ``halve`` says so; ``first`` overwrites. Bit-exact with
    :func:`mla_hw.golden.context_accumulator.accumulate_context`; shifting instead of multiplying
    is AMLA's idea (arXiv 2509.25224).

    Each lane takes one sum per cycle, nothing stalls. A sum is in memory for addresses that are
    presented :py:`timing.latency` cycles later; two sums for the same address of a lane must be
    at least that far apart. A shift control holds for the sums that are presented in the cycle in
    which it is written, and later; it must not change before the head's last sum of the tile has
    been presented. Reading takes :py:`read_latency` cycles and must not coincide with sums that
    come in.

    Parameters
    ----------
    config : :class:`CoreConfig`
        ``rows``, ``accumulator_lanes``, ``heads``, ``kv_lora_rank`` and ``acc_width`` matter.

    Members
    -------
    i : :py:`In(ArrayLayout(context_sum_layout(config), accumulator_lanes))`
        Sums, those of row r in lane r mod ``accumulator_lanes``. Their magnitude is below
        2 ** (CONTEXT_BITS - GUARD_BITS - 1).
    control : :py:`In(head_control_layout())`
        Shift controls from the softmax.
    read : :py:`In(read_port_signature(signed(CONTEXT_BITS), context_depth << context_lane_bits))`
        Sums, by element address :py:`address << context_lane_bits | lane`; later than the
        signature says.
    """

    i: data.View
    control: data.View
    read: Any

    def __init__(self, config: CoreConfig) -> None:
        self.config = config
        self.timing = context_accumulator_timing()
        self.read_latency = CONTEXT_READ_LATENCY
        super().__init__({
            "i": In(data.ArrayLayout(context_sum_layout(config), config.accumulator_lanes)),
            "control": In(head_control_layout()),
            "read": In(
                read_port_signature(
                    signed(CONTEXT_BITS), config.context_depth << config.context_lane_bits
                )
            ),
        })

    def elaborate(self, platform):
        m = Module()

        config = self.config
        lane_bits = config.context_lane_bits
        # One bit per lane instead of a multiplexer: half the look-up tables.
        selected = Signal(config.accumulator_lanes)
        m.d.comb += selected.eq(1 << self.read.address[:lane_bits])
        selected_held = delay(m, selected, HELD_LATENCY, "selected")
        joined: Value = C(0, CONTEXT_BITS)
        for number in range(config.accumulator_lanes):
            m.submodules[f"lane_{number}"] = lane = ContextLane(config, lane=number)
            m.d.comb += [
                lane.i.eq(self.i[number]),
                lane.control.eq(self.control),
                lane.read_address.eq(self.read.address[lane_bits:]),
            ]
            joined = joined | (lane.held & selected_held[number].replicate(CONTEXT_BITS))
        m.d.sync += self.read.data.eq(joined)

        return m
