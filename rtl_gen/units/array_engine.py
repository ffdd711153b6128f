"""Array engine: sequencer, systolic array and drain controller."""

from typing import Any

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from mla_hw.hardware import CoreConfig
from rtl_gen.layouts import (
    array_command_layout,
    context_sum_layout,
    read_port_signature,
    requantize_layout,
    score_layout,
)
from rtl_gen.units.activation_buffer import activation_read_layout
from rtl_gen.units.drain_controller import DrainController
from rtl_gen.units.latent_ring import ring_read_layout
from rtl_gen.units.matmul_sequencer import MatmulSequencer, stall_layout
from rtl_gen.units.requantizer import constant_layout
from rtl_gen.units.systolic_array import SystolicArray
from rtl_gen.units.width_adapter import column_word_layout

__all__ = ["ArrayEngine"]


class ArrayEngine(wiring.Component):
    """Execute MATMUL: one array step per cycle, results with their destination.

    Computes :func:`mla_hw.golden.systolic_array.multiply_accumulate` tile by tile. Starts a command
    as soon as the last step of the one before has been issued, so that several are under way; they
    end in order. :mod:`mla_hw.cycles.array_engine` says when.

    Parameters
    ----------
    config : :class:`CoreConfig`

    Members
    -------
    command : :py:`In(stream.Signature(array_command_layout()))`
    done : :py:`Out(1)`
        The oldest command ends: its results can be read from the next cycle on.
    weights : :py:`In(stream.Signature(column_word_layout(config)))`
        Requantise constants and weights, as they lie in memory.
    filled : :py:`In(range(ring_blocks + 1))`
    release : :py:`Out(range(ring_blocks + 1))`
    ring_read : :py:`Out(ring_read_layout(config))`
    latents : :py:`In(data.ArrayLayout(signed(8), columns))`
        Latent ring: complete blocks, blocks given back, read request and its data.
    operand_read : :py:`Out(activation_read_layout(config))`
    operands : :py:`In(data.ArrayLayout(signed(16), rows))`
        Activation buffer: read request and its data.
    constants : :py:`Out(read_port_signature(32, constants))`
        Layer constants.
    requantize_constants : :py:`Out(constant_layout(config))`
    requantize : :py:`Out(requantize_layout(config))`
    score : :py:`Out(score_layout(config))`
    context : :py:`Out(data.ArrayLayout(context_sum_layout(config), accumulator_lanes))`
        Results of the three modes.
    busy, issued : :py:`Out(1)`
        A command is being walked through; a step enters the array in this cycle.
    stall : :py:`Out(stall_layout())`
    """

    command: stream.Interface
    done: Signal
    weights: stream.Interface
    filled: Signal
    release: Signal
    ring_read: data.View
    latents: data.View
    operand_read: data.View
    operands: data.View
    constants: Any
    requantize_constants: data.View
    requantize: data.View
    score: data.View
    context: data.View
    busy: Signal
    issued: Signal
    stall: data.View

    def __init__(self, config: CoreConfig) -> None:
        self.config = config
        super().__init__({
            "command": In(stream.Signature(array_command_layout())),
            "done": Out(1),
            "weights": In(stream.Signature(column_word_layout(config))),
            "filled": In(range(config.ring_blocks + 1)),
            "release": Out(range(config.ring_blocks + 1)),
            "ring_read": Out(ring_read_layout(config)),
            "latents": In(data.ArrayLayout(signed(8), config.columns)),
            "operand_read": Out(activation_read_layout(config)),
            "operands": In(data.ArrayLayout(signed(16), config.rows)),
            "constants": Out(read_port_signature(32, config.constants)),
            "requantize_constants": Out(constant_layout(config)),
            "requantize": Out(requantize_layout(config)),
            "score": Out(score_layout(config)),
            "context": Out(data.ArrayLayout(context_sum_layout(config), config.accumulator_lanes)),
            "busy": Out(1),
            "issued": Out(1),
            "stall": Out(stall_layout()),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.sequencer = sequencer = MatmulSequencer(self.config)
        m.submodules.array = array = SystolicArray(self.config)
        m.submodules.drain = drain = DrainController(self.config)

        wiring.connect(m, wiring.flipped(self.command), sequencer.command)
        wiring.connect(m, wiring.flipped(self.weights), sequencer.weights)
        wiring.connect(m, sequencer.constants, wiring.flipped(self.constants))
        m.d.comb += [
            sequencer.filled.eq(self.filled),
            self.release.eq(sequencer.release),
            self.ring_read.eq(sequencer.ring_read),
            sequencer.latents.eq(self.latents),
            self.operand_read.eq(sequencer.operand_read),
            sequencer.operands.eq(self.operands),
            self.requantize_constants.eq(sequencer.requantize_constants),
            self.busy.eq(~sequencer.command.ready),
            self.issued.eq(sequencer.step.en),
            self.stall.eq(sequencer.stall),
        ]
        m.d.comb += [
            array.i.eq(sequencer.step),
            array.drain.eq(drain.drain),
            drain.tile.eq(sequencer.tile),
            drain.results.eq(array.o),
            self.requantize.eq(drain.requantize),
            self.score.eq(drain.score),
            self.context.eq(drain.context),
            self.done.eq(drain.done),
        ]
        return m
