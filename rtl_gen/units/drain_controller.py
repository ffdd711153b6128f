"""Drain controller: lets finished tiles out of the array and says what each result is."""

from typing import Any

from amaranth import *
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from mla_hw.cycles.drain_controller import (
    PAYLOAD_TIMING,
    POST_LATENCY,
    SELECT_TIMING,
    drain_cycles,
    slot_cycles,
)
from mla_hw.cycles.matmul_sequencer import STEP_LATENCY, TILE_LATENCY
from mla_hw.cycles.systolic_array import DRAIN_TIMING, result_latency
from mla_hw.hardware import CONSTANT_BANKS, CoreConfig
from mla_hw.program.instructions import FIELDS
from rtl_gen.layouts import context_sum_layout, requantize_layout, result_layout, score_layout
from rtl_gen.payload import register_payload
from rtl_gen.pipeline import delay

__all__ = ["DrainController", "drain_tile_layout"]

_PROJECT, _SCORE, _CONTEXT, _EXPAND = range(len(FIELDS["mode"].choices))
_LANES = FIELDS["target"].choices.index("lanes")
_ROW = FIELDS["target"].choices.index("row")
# From the counters to the registered drain pulse and the lane's first stage.
_DRAIN_STAGE = SELECT_TIMING.latency - DRAIN_TIMING.latency
assert _DRAIN_STAGE == 1


def drain_tile_layout(config: CoreConfig) -> data.StructLayout:
    """One tile that the array is about to finish.

    ``columns`` counts the true ones; ``index`` is the tile's place in its command, ``final`` its
    last tile; ``block`` is the block of the latent ring; ``element`` the first destination
    address, which lies ``distance`` further for each of several query rows. ``mode``, ``target``,
    ``rows`` and ``group`` are the instruction's, ``pre`` and ``post`` its shifts, ``bank`` holds
    the constants; ``factor`` is the constant of product rows.
    """
    return data.StructLayout({
        "en": 1,
        "final": 1,
        "mode": 2,
        "target": 3,
        "bank": range(CONSTANT_BANKS),
        "pre": 5,
        "post": 5,
        "rows": 8,
        "group": 8,
        "columns": range(config.columns + 1),
        "index": range(config.tile_blocks),
        "block": range(config.ring_blocks),
        "element": 24,
        **({"distance": 24} if config.query_rows > 1 else {}),
        **({"factor": 15} if config.product_blocks else {}),
    })


def _flags_layout() -> data.StructLayout:
    """Return a lane's flags; ``first``, ``last``: of a row's and of a command's results."""
    return data.StructLayout({"en": 1, "first": 1, "last": 1, "context": 1})


def _lane_layout(config: CoreConfig) -> data.StructLayout:
    """Return which result a lane sends; ``rows_left`` counts from this slot on."""
    return data.StructLayout({
        "slot": range(config.rows),
        "rows_left": 8,
        "head": 16,
        "element": 24,
    })


class _Stage:
    """What lane 0 does in a cycle; lane l does the same l cycles later."""

    def __init__(self, config: CoreConfig, name: str) -> None:
        self._config = config
        self.flags: Any = Signal(_flags_layout(), name=f"{name}_flags")
        self.lane: Any = Signal(_lane_layout(config), name=name, reset_less=True)

    def delayed(self, m: Module, name: str) -> "_Stage":
        """Return the same one cycle later."""
        stage = _Stage(self._config, name)
        m.d.sync += [stage.flags.eq(self.flags), stage.lane.eq(self.lane)]
        return stage


class DrainController(wiring.Component):
    """Turn tiles into drain pulses and results with their destination.

    Tiles are announced ``TILE_LATENCY`` cycles after the issue of their last step and leave the
    array in the order and at the distances that :mod:`mla_hw.cycles.drain_controller` states.
    Nothing stalls. Column c of a tile is element ``element + c`` of its destination: an element
    address (project; for the target *lanes* each column is ``1 << lane_bits`` further; row t lies
    ``t * distance`` further), the score
    memory (row r lies ``r * tile_limit`` further), or each lane of the context memory (slot s
    lies ``s * value_channels`` further). Of the product rows (expand) columns are rows and array
    rows are channels for the target *lanes*, and the other way round for the target *row*.

    Parameters
    ----------
    config : :class:`CoreConfig`

    Members
    -------
    tile : :py:`In(drain_tile_layout(config))`
        A tile, with ``en``.
    drain : :py:`Out(rows)`
        To the array: a row's results follow.
    results : :py:`In(result_layout(config))`
        From the array.
    requantize : :py:`Out(requantize_layout(config))`
    score : :py:`Out(score_layout(config))`
    context : :py:`Out(data.ArrayLayout(context_sum_layout(config), accumulator_lanes))`
    done : :py:`Out(1)`
        A command's results can be read from the next cycle on.
    """

    tile: data.View
    drain: Signal
    results: data.View
    requantize: data.View
    score: data.View
    context: data.View
    done: Signal

    def __init__(self, config: CoreConfig) -> None:
        self.config = config
        super().__init__({
            "tile": In(drain_tile_layout(config)),
            "drain": Out(config.rows),
            "results": In(result_layout(config)),
            "requantize": Out(requantize_layout(config)),
            "score": Out(score_layout(config)),
            "context": Out(data.ArrayLayout(context_sum_layout(config), config.accumulator_lanes)),
            "done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        ahead, pop = self._queue(m)
        tile, column, counted = self._count(m, ahead, pop)

        # Stages: counters, drain pulse, result. Each lane follows the one before.
        stage, selected = counted, []
        for lane in range(self.config.accumulator_lanes):
            self._pulse(m, lane, stage.flags, stage.lane.slot, counted)
            stage = stage.delayed(m, f"pulsed_{lane}")
            selected.append(stage.delayed(m, f"selected_{lane}"))
        late = Signal.like(tile)
        late_column = delay(m, column, SELECT_TIMING.latency, "column")
        m.d.comb += late.as_value().eq(delay(m, tile.as_value(), SELECT_TIMING.latency, "tile"))

        self._send_projection_and_score(m, late, late_column, selected[0])
        self._send_context(m, selected)
        first, last = selected[0].flags, selected[-1].flags
        ended = (first.last & ~first.context) | (last.last & last.context)
        latency = PAYLOAD_TIMING.latency + POST_LATENCY
        m.d.comb += self.done.eq(delay(m, ended, latency, "done", reset_less=False))
        return m

    def _queue(self, m):
        """Hold tiles until the array has finished them; return the next one and when it is due."""
        config = self.config
        result = STEP_LATENCY + result_latency(config.columns, 0)
        wait = result - SELECT_TIMING.latency - 1 - TILE_LATENCY
        shortest = min(drain_cycles(config, mode, 1) for mode in FIELDS["mode"].choices)
        depth = 1 << (wait // shortest + 1).bit_length()

        tiles: memory.Memory = memory.Memory(shape=self.tile.shape(), depth=depth, init=[])
        m.submodules.tiles = tiles
        write, read = tiles.write_port(), tiles.read_port()
        pop = delay(m, self.tile.en, wait, "due", reset_less=False)
        m.d.sync += [write.addr.eq(write.addr + self.tile.en), read.addr.eq(read.addr + pop)]
        m.d.comb += [write.en.eq(self.tile.en), write.data.eq(self.tile)]
        return read.data, pop

    def _count(self, m, ahead, pop):
        """Walk through the slots and columns of a tile; return it, the column and lane 0."""
        config = self.config
        tile: Any = Signal(self.tile.shape(), reset_less=True)
        active = Signal()
        cycles = {mode: slot_cycles(config, mode) for mode in FIELDS["mode"].choices}
        column = Signal(range(max(cycles.values())), reset_less=True)
        slot = Signal(range(config.rows), reset_less=True)
        rows_left = Signal(8, reset_less=True)
        head = Signal(16, reset_less=True)
        element, row_element = Signal(24, reset_less=True), Signal(24, reset_less=True)

        is_context = tile.mode == _CONTEXT
        scattered = (tile.mode == _PROJECT) & (tile.target == _LANES)
        lanes = Mux(is_context, config.accumulator_lanes, 1)
        slot_end = column == Mux(is_context, cycles["context"], config.columns) - 1
        last_slot = rows_left <= lanes
        row_step = Mux(is_context, config.value_channels, config.tile_limit)
        column_step = Mux(scattered, 1 << config.lane_bits, 1)
        if config.query_rows > 1:
            row_step = Mux(tile.mode == _PROJECT, tile.distance, row_step)
        if config.product_blocks:
            row_bit = 1 << config.product_bits
            expands, by_token = tile.mode == _EXPAND, tile.target == _LANES
            row_step = Mux(expands, Mux(by_token, 1, row_bit), row_step)
            column_step = Mux(expands, Mux(by_token, row_bit, 1), column_step)
        # A slot takes two cycles at least, and its row stays.
        next_row = Signal.like(row_element, name="next_row", reset_less=True)
        m.d.sync += next_row.eq(row_element + row_step)
        with m.If(pop):
            m.d.sync += [
                active.eq(1),
                tile.eq(ahead),
                column.eq(0),
                slot.eq(0),
                rows_left.eq(ahead.rows),
                head.eq(ahead.group << config.lane_bits),
                element.eq(ahead.element),
                row_element.eq(ahead.element),
            ]
        with m.Elif(active & slot_end):
            m.d.sync += [
                active.eq(~last_slot),
                column.eq(0),
                slot.eq(slot + 1),
                rows_left.eq(rows_left - lanes),
                head.eq(head + lanes),
                element.eq(next_row),
                row_element.eq(next_row),
            ]
        with m.Else():
            m.d.sync += [
                column.eq(column + 1),
                element.eq(element + column_step),
            ]

        counted = _Stage(config, "counted")
        last_column = column == config.columns - 1
        m.d.comb += [
            counted.flags.en.eq(active & (column < tile.columns)),
            counted.flags.first.eq(active & (column == 0)),
            counted.flags.last.eq(active & last_column & last_slot & tile.final),
            counted.flags.context.eq(is_context),
            counted.lane.slot.eq(slot),
            counted.lane.rows_left.eq(rows_left),
            counted.lane.head.eq(head),
            counted.lane.element.eq(element),
        ]
        return tile, column, counted

    def _pulse(self, m, lane: int, flags, slot, counted: _Stage) -> None:
        """Register the drain pulses of a lane's rows, which leave in slots or one by one."""
        lanes = self.config.accumulator_lanes
        alone = counted.flags.first & ~counted.flags.context
        for row in range(lane, self.config.rows, lanes):
            in_slot = flags.first & flags.context & (slot == row // lanes)
            m.d.sync += self.drain[row].eq(in_slot | (alone & (counted.lane.slot == row)))

    def _send_projection_and_score(self, m, tile, column, stage: _Stage) -> None:
        config, flags, lane = self.config, stage.flags, stage.lane
        within = column[: exact_log2(config.columns)]
        selected = Array(self.results[row] for row in range(config.rows))[lane.slot]
        requantize = register_payload(m, self.requantize, "requantize")
        m.d.comb += [
            requantize.en.eq(flags.en & (tile.mode == _PROJECT)),
            requantize.acc.eq(self._of_query_row(lane.slot)),
            requantize.column.eq(within),
            requantize.bank.eq(tile.bank),
            requantize.pre.eq(tile.pre),
            requantize.post.eq(tile.post),
            requantize.target.eq(tile.target),
            requantize.element.eq(lane.element),
        ]
        if config.product_blocks:
            expands = tile.mode == _EXPAND
            m.d.comb += requantize.factor.eq(tile.factor)
            with m.If(expands):
                m.d.comb += [
                    requantize.en.eq(flags.en),
                    requantize.acc.eq(selected),
                    # The requantiser's other destinations know it not.
                    requantize.target.eq(_ROW),
                ]
        score = register_payload(m, self.score, "score")
        m.d.comb += [
            score.en.eq(flags.en & (tile.mode == _SCORE)),
            score.acc.eq(selected),
            score.pre.eq(tile.pre),
            score.post.eq(tile.post),
            score.block_token.eq(Cat(within, tile.block)),
            score.token.eq(Cat(within, tile.index)),
            score.group.eq(tile.group),
            score.head.eq(lane.head),
            score.address.eq(lane.element),
            score.first.eq((within == 0) & (tile.index == 0)),
        ]

    def _of_query_row(self, slot: Value) -> Value:
        """Return the result of the query row that leaves in a slot."""
        rows = [self.results[row] for row in range(self.config.query_rows)]
        return rows[0] if len(rows) == 1 else Array(rows)[slot]

    def _send_context(self, m, selected: list[_Stage]) -> None:
        config, lanes = self.config, len(selected)
        for number, stage in enumerate(selected):
            flags, lane = stage.flags, stage.lane
            results = [self.results[row] for row in range(number, config.rows, lanes)]
            context = register_payload(m, self.context[number], f"context_{number}")
            m.d.comb += [
                context.en.eq(flags.en & flags.context & (lane.rows_left > number)),
                context.acc.eq(Array(results)[lane.slot]),
                context.head.eq(lane.head + number),
                context.address.eq(lane.element),
            ]
