"""MATMUL sequencer: walks through tiles and steps and brings both operands together."""

from typing import Any

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, exact_log2

from mla_hw.cycles.matmul_sequencer import (
    CONSTANT_WORDS,
    OPERAND_LATENCY,
    tile_spacing,
)
from mla_hw.hardware import CONSTANT_BANKS, CoreConfig
from mla_hw.program.instructions import FIELDS
from rtl_gen.layouts import array_command_layout, read_port_signature, step_layout
from rtl_gen.matmul_operands import mode_layout, read_operands, read_ring, walk_layout
from rtl_gen.payload import register_payload
from rtl_gen.pipeline import delay
from rtl_gen.units.activation_buffer import activation_read_layout
from rtl_gen.units.drain_controller import drain_tile_layout
from rtl_gen.units.latent_ring import ring_read_layout
from rtl_gen.units.requantizer import constant_layout
from rtl_gen.units.width_adapter import column_word_layout

__all__ = ["MatmulSequencer", "stall_layout"]

_MODES = FIELDS["mode"].choices
_PROJECT, _SCORE, _CONTEXT, _EXPAND = range(len(_MODES))
_LANES = FIELDS["target"].choices.index("lanes")
_ROW = FIELDS["target"].choices.index("row")


def stall_layout() -> data.StructLayout:
    """Return what a command can wait for: a weight word, a latent block, or the drain."""
    return data.StructLayout({"weights": 1, "latents": 1, "drain": 1})


class MatmulSequencer(wiring.Component):
    """Execute MATMUL commands, one step per cycle while there is data.

    - project: per tile of C channels two words of requantise constants, then k words of weights;
      query row t reads its element ``a`` + step.
    - score: per block of C tokens the true latent channels, then the true RoPE channels, both by
      column; all rows read ``a`` + step (projection half), then ``b`` + step (vector half).
    - context: per word of C latent channels the tile's k tokens by row; all rows read ``a`` + token
      (vector half).
    - expand, in cores with product rows: as score without its RoPE channels, k of the latent ones,
      or (target row) as context from latent channel ``b`` on; all rows read ``a`` + step of the
      projection half.

    Where ``product`` says so, a projection takes its steps from product rows, and only the words of
    constants from the weights. Where the core has product rows with keys and values, score and
    context take these in the place of latents.

    One command at a time; latencies and the distance between tiles are in
    :mod:`mla_hw.cycles.matmul_sequencer`. The tile in the ring begins at the oldest block that has
    not been released.

    Parameters
    ----------
    config : :class:`CoreConfig`

    Members
    -------
    command : :py:`In(stream.Signature(array_command_layout()))`
    weights : :py:`In(stream.Signature(column_word_layout(config)))`
    filled : :py:`In(range(ring_blocks + 1))`
        Complete blocks in the ring that have not been released.
    release : :py:`Out(range(ring_blocks + 1))`
        That many blocks are free from the next cycle on.
    ring_read : :py:`Out(ring_read_layout(config))`
    latents : :py:`In(data.ArrayLayout(signed(8), columns))`
        ``LATENT_READ_LATENCY`` cycles after ``ring_read``.
    operand_read : :py:`Out(activation_read_layout(config))`
    operands : :py:`In(data.ArrayLayout(signed(16), rows))`
        ``ACTIVATION_READ_LATENCY`` cycles after ``operand_read``.
    constants : :py:`Out(read_port_signature(32, constants))`
        Read port: pre-shift in bits 4…0, post-shift in bits 12…8.
    requantize_constants : :py:`Out(constant_layout(config))`
    step : :py:`Out(step_layout(config))`
    tile : :py:`Out(drain_tile_layout(config))`
        Follows the issue of a tile's last step by ``TILE_LATENCY``.
    stall : :py:`Out(stall_layout())`
    """

    command: stream.Interface
    weights: stream.Interface
    filled: Signal
    release: Signal
    ring_read: data.View
    latents: data.View
    operand_read: data.View
    operands: data.View
    constants: Any
    requantize_constants: data.View
    step: data.View
    tile: data.View
    stall: data.View

    def __init__(self, config: CoreConfig) -> None:
        self.config = config
        super().__init__({
            "command": In(stream.Signature(array_command_layout())),
            "weights": In(stream.Signature(column_word_layout(config))),
            "filled": In(range(config.ring_blocks + 1)),
            "release": Out(range(config.ring_blocks + 1)),
            "ring_read": Out(ring_read_layout(config)),
            "latents": In(data.ArrayLayout(signed(8), config.columns)),
            "operand_read": Out(activation_read_layout(config)),
            "operands": In(data.ArrayLayout(signed(16), config.rows)),
            "constants": Out(read_port_signature(32, config.constants)),
            "requantize_constants": Out(constant_layout(config)),
            "step": Out(step_layout(config)),
            "tile": Out(drain_tile_layout(config)),
            "stall": Out(stall_layout()),
        })

    def elaborate(self, platform):
        m = Module()

        command: Any = Signal(array_command_layout(), reset_less=True)
        # The mode, decoded before the command begins.
        mode: Any = Signal(mode_layout(self.config), reset_less=True)
        setup, running, tile_last, command_last = (
            Signal(name=name) for name in ("setup", "running", "tile_last", "command_last")
        )
        with m.FSM(name="state"):
            with m.State("IDLE"):
                m.d.comb += self.command.ready.eq(1)
                m.d.sync += [
                    command.eq(self.command.payload),
                    mode.project.eq(self.command.p.mode == _PROJECT),
                    mode.score.eq(self.command.p.mode == _SCORE),
                    mode.context.eq(self.command.p.mode == _CONTEXT),
                ]
                if self.config.product_blocks:
                    m.d.sync += mode.expand.eq(self.command.p.mode == _EXPAND)
                with m.If(self.command.valid):
                    m.next = "SETUP"
            with m.State("SETUP"):
                m.d.comb += setup.eq(1)
                m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += running.eq(1)
                with m.If(tile_last & command_last):
                    m.next = "IDLE"

        is_project = mode.project
        first_clear, clear = self._keep_distance(m, setup, tile_last)
        walk: Any = Signal(walk_layout())
        read_operands(m, self.config, command, mode, walk, self.operand_read)
        available, block = read_ring(
            m, self.config, command, mode, walk, self.ring_read, self.filled, self.release
        )

        # A tile starts when its last step will find the drain free; from then on only data counts.
        fresh = Signal(reset_less=True)
        constants_left = Signal(range(CONSTANT_WORDS + 1), reset_less=True)
        constants_done = Signal(reset_less=True)
        # One bit per source of operand b, so that little lies between them and a step.
        go: Any = Signal(data.StructLayout({"weights": 1, "latents": 1}))
        go_next, advance = Signal(), Signal()
        # The constants are there, so that a weight that comes is a step.
        stepping, constants_next = Signal(), Signal()
        streamed: Value = is_project
        takes_word: Value = Const(1)
        if self.config.product_blocks:
            # Of a product only the constants are streamed; its rows are there.
            streamed = is_project & ~command.product
            takes_word = ~command.product | ~constants_done
        with m.If(tile_last):
            m.d.comb += go_next.eq(first_clear & ~command_last)
        with m.Else():
            m.d.comb += go_next.eq(Mux(setup, clear, running & (clear | ~fresh | advance)))
        m.d.sync += [
            go.weights.eq(go_next & is_project),
            go.latents.eq(go_next & ~is_project),
            stepping.eq(go_next & is_project & constants_next),
        ]
        m.d.comb += [
            self.weights.ready.eq(go.weights & takes_word),
            advance.eq(
                (go.weights & (self.weights.valid | ~takes_word)) | (go.latents & available)
            ),
            self.stall.drain.eq(running & ~go.weights & ~go.latents),
            self.stall.weights.eq(go.weights & takes_word & ~self.weights.valid),
            self.stall.latents.eq(go.latents & ~available),
        ]
        m.d.comb += walk.step.eq(
            (stepping & (self.weights.valid | ~streamed)) | (go.latents & available)
        )
        with m.If(setup | tile_last):
            m.d.sync += [
                fresh.eq(1),
                constants_left.eq(Mux(is_project, CONSTANT_WORDS, 0)),
            ]
            m.d.comb += constants_next.eq(~is_project)
        with m.Else():
            m.d.comb += constants_next.eq(constants_done | (advance & (constants_left == 1)))
            with m.If(advance):
                m.d.sync += fresh.eq(0)
                with m.If(~constants_done):
                    m.d.sync += constants_left.eq(constants_left - 1)
        m.d.sync += constants_done.eq(constants_next)

        releases = mode.context
        if self.config.product_blocks:
            releases = releases | mode.expand
        first = self._count_steps(m, command, mode, setup, walk, tile_last)
        bank = self._count_tiles(m, command, mode, setup, running, tile_last, command_last, block)
        frees = Signal(reset_less=True)
        m.d.sync += frees.eq(releases & command.release)
        m.d.comb += [
            walk.setup.eq(setup),
            walk.tile.eq(tile_last),
            walk.free.eq(tile_last & command_last & frees),
        ]
        requantize_constants = register_payload(m, self.requantize_constants, "constants")
        m.d.comb += [
            requantize_constants.en.eq(advance & ~constants_done),
            requantize_constants.bank.eq(bank),
            requantize_constants.half.eq(constants_left == 1),
            requantize_constants.data.eq(self.weights.payload),
        ]
        self._make_step(m, streamed, walk.step, first, tile_last)
        return m

    def _keep_distance(self, m, setup, tile_last):
        """Return whether a tile may start in the next cycle, lest its last step come too early.

        That is before the drain is free. The first value is for the cycle of a tile's last step,
        the second for all others.
        """
        config, command = self.config, self.command.p
        spacing_by_rows = {
            mode: [tile_spacing(config, mode, max(rows, 1)) for rows in range(config.rows + 1)]
            for mode in _MODES[: None if config.product_blocks else _EXPAND]
        }
        bits = bits_for(max(max(spacings) for spacings in spacing_by_rows.values()))
        limit = (1 << bits) - 1

        steps, spacing, left = (
            Signal(bits, name=name, reset_less=True) for name in ("few_steps", "spacing", "left")
        )
        own_clear, clear = Signal(reset_less=True), Signal()
        # As long as no command is under way, with or without one that is offered.
        with m.If(self.command.ready):
            with m.Switch(command.mode):
                for mode, spacings in enumerate(spacing_by_rows.values()):
                    with m.Case(mode):
                        m.d.sync += spacing.eq(Array(spacings)[command.rows])
            length = config.key_channels + config.qk_rope_head_dim
            with m.If(command.mode == _SCORE):
                m.d.sync += steps.eq(min(length, limit))
            with m.Else():
                m.d.sync += steps.eq(Mux(command.k[bits:].any(), limit, command.k[:bits]))

        # left: cycles until a last step may be issued. A tile may start while left < steps.
        with m.If(tile_last):
            m.d.sync += left.eq(spacing - 1)
        with m.Else():
            m.d.sync += left.eq(Mux(left == 0, 0, left - 1))
        m.d.comb += clear.eq(left <= steps)
        with m.If(setup):
            m.d.sync += own_clear.eq(spacing <= steps)
        return own_clear, clear

    def _count_steps(self, m, command, mode, setup, walk, tile_last):
        """Find the last step of a part and of a tile; return whether the next step is the first."""
        config = self.config
        latents, keys = config.key_channels, config.qk_rope_head_dim
        # The next step is the first of a tile, the last of a tile, the last of a score's latents.
        first, in_key, last, latent_last = (
            Signal(name=name, reset_less=True)
            for name in ("first", "in_key", "last", "latent_last")
        )
        left = Signal(range(max(1 << 16, latents, keys)), name="steps_left", reset_less=True)
        m.d.comb += [
            walk.key.eq(walk.step & latent_last),
            tile_last.eq(walk.step & last),
        ]
        with m.If(setup | tile_last):
            m.d.sync += [
                left.eq(Mux(mode.score, latents - 1, command.k - 1)),
                last.eq(~mode.score & (command.k == 1)),
                latent_last.eq(mode.score & (latents == 1)),
                first.eq(1),
                in_key.eq(0),
            ]
        with m.Elif(walk.key):
            m.d.sync += [
                left.eq(keys - 1),
                last.eq(keys == 1),
                latent_last.eq(0),
                first.eq(0),
                in_key.eq(1),
            ]
        with m.Elif(walk.step):
            in_latents = mode.score & ~in_key
            m.d.sync += [
                left.eq(left - 1),
                last.eq((left == 1) & ~in_latents),
                latent_last.eq((left == 1) & in_latents),
                first.eq(0),
            ]
        return first

    def _count_tiles(self, m, command, mode, setup, running, tile_last, command_last, block):
        """Describe each tile to the drain controller; return the bank of its constants."""
        config = self.config
        column_bits = exact_log2(config.columns)
        is_project = mode.project
        left = Signal(len(command.n) - column_bits, name="tiles_left", reset_less=True)
        remainder = Signal(column_bits, reset_less=True)
        index = Signal.like(self.tile.index, name="index", reset_less=True)
        element = Signal.like(command.c, name="element", reset_less=True)
        bank = Signal(range(CONSTANT_BANKS))
        after_tile = Signal()

        distance = Mux(
            is_project & (command.target == _LANES),
            config.columns << config.lane_bits,
            config.columns,
        )
        if config.product_blocks:
            tokens = (command.mode == _EXPAND) & (command.target == _LANES)
            distance = Mux(tokens, config.columns << config.product_bits, distance)
        with m.If(setup):
            n_last = (command.n - 1)[: len(command.n)]
            m.d.sync += [
                Cat(remainder, left).eq(n_last),
                command_last.eq(n_last[column_bits:] == 0),
                index.eq(0),
                element.eq(command.c),
            ]
        with m.Elif(after_tile):
            m.d.sync += [
                left.eq(left - 1),
                command_last.eq(left == 1),
                index.eq(index + 1),
                element.eq(element + distance),
            ]
        # The constants of the next tile may come at once, its end comes cycles later.
        m.d.sync += after_tile.eq(tile_last)
        with m.If(tile_last):
            m.d.sync += bank.eq(bank + is_project)

        # The shifts are there in the first cycle after setup, in which a tile of one step ends.
        address = Mux(setup | running, command.constant, self.command.p.constant)
        m.d.comb += self.constants.address.eq(address)
        tile = register_payload(m, self.tile, "tile")
        m.d.comb += [
            tile.en.eq(tile_last),
            tile.final.eq(command_last),
            tile.mode.eq(command.mode),
            tile.target.eq(command.target),
            tile.bank.eq(bank),
            tile.pre.eq(self.constants.data[0:5]),
            tile.post.eq(self.constants.data[8:13]),
            tile.rows.eq(Mux(is_project, config.query_rows, command.rows)),
            tile.group.eq(command.group),
            tile.columns.eq(Mux(command_last, remainder + 1, config.columns)),
            tile.index.eq(index),
            tile.block.eq(block),
            tile.element.eq(element),
        ]
        if config.query_rows > 1:
            m.d.comb += tile.distance.eq(command.b)
        if config.product_blocks:
            m.d.comb += tile.factor.eq(self.constants.data[16:31])
        return bank

    def _make_step(self, m, streamed, step, first, last) -> None:
        """Bring flags and weights to the operands, which come later, and register all of it."""
        en = delay(m, step, OPERAND_LATENCY, "issued", reset_less=False)
        flags = delay(m, Cat(first, last, streamed), OPERAND_LATENCY, "flags")
        weights = delay(m, self.weights.payload.as_value(), OPERAND_LATENCY, "weights")
        ahead = register_payload(m, self.step, "step")
        m.d.comb += [
            ahead.en.eq(en),
            ahead.first.eq(flags[0]),
            ahead.last.eq(flags[1]),
            ahead.a.eq(self.operands),
            ahead.b.eq(Mux(flags[2], weights, self.latents.as_value())),
        ]
