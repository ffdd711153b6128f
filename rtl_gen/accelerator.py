"""The accelerator: all units joined, with AXI4 and AXI4-Lite ports."""

from typing import Any

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from mla_hw.cycles.dispatcher import RESTART_SKEW
from mla_hw.hardware import CoreConfig
from mla_hw.program.instructions import FIELDS
from mla_hw.registers import REGISTER_ADDRESS_BITS
from rtl_gen.axi import axi4_signature, axi_lite_signature
from rtl_gen.connect import connect_streams
from rtl_gen.layouts import (
    ADDRESS_BITS,
    array_command_layout,
    reader_command_layout,
    vector_command_layout,
    writer_command_layout,
)
from rtl_gen.units.activation_buffer import ActivationBuffer
from rtl_gen.units.array_engine import ArrayEngine
from rtl_gen.units.context_accumulator import ContextAccumulator
from rtl_gen.units.dispatcher import Dispatcher
from rtl_gen.units.engine_queue import EngineQueue
from rtl_gen.units.latent_ring import LatentRing
from rtl_gen.units.loader import Loader
from rtl_gen.units.output_buffer import OutputBuffer
from rtl_gen.units.reader import Reader
from rtl_gen.units.registers import Registers
from rtl_gen.units.requantizer import Requantizer
from rtl_gen.units.score_unit import ScoreUnit
from rtl_gen.units.semaphores import Semaphores
from rtl_gen.units.simple_memory import SimpleMemory
from rtl_gen.units.vector_engine import VectorEngine
from rtl_gen.units.weight_fifo import WeightFifo
from rtl_gen.units.width_adapter import WidthAdapter
from rtl_gen.units.writer import Writer

__all__ = ["Accelerator"]

_COMMANDS = {
    "reader": reader_command_layout,
    "array": array_command_layout,
    "vector": vector_command_layout,
    "writer": writer_command_layout,
}
_SCRATCH = FIELDS["target"].choices.index("scratch")
_OUTPUT = FIELDS["target"].choices.index("output")
_ROW = FIELDS["target"].choices.index("row")


class Accelerator(wiring.Component):
    """Decode tokens through one MLA attention layer that lies in memory.

    Executes what :class:`mla_hw.golden.interpreter.Machine` does, in every bit, in the cycles that
    :func:`mla_hw.cycles.predict.predict` says. The data take this way: ``reader`` → ``loader``,
    ``weight_fifo``, ``latent_ring`` → ``array_engine`` → ``requantizer``, ``score_unit``,
    ``context_accumulator`` → ``vector_engine`` → ``activation_buffer`` and back, or →
    ``row_buffer``, ``output_buffer`` → ``writer``. ``dispatcher``, ``semaphores`` and one
    ``<engine>_queue`` per engine say when; ``registers`` is what the host sees.

    Parameters
    ----------
    config : CoreConfig
    configuration_hash : int
        64 bits for the host to compare with its manifest.

    Members
    -------
    memory : :py:`Out(axi4_signature(...))`
        Program, weights, constants, RoPE table, x, y and cache.
    control : :py:`In(axi_lite_signature(REGISTER_ADDRESS_BITS))`
        Registers.
    interrupt : :py:`Out(1)`
    rst : :py:`In(1)`
        Synchronous reset, of the memory as well. One cycle is enough. The clock domain needs none
        of its own: within the core the reset goes from unit to unit, one per cycle, so that no net
        of it is long. The memory port offers nothing from its first cycle on.
    """

    memory: Any
    control: Any
    interrupt: Signal
    rst: Signal

    def __init__(self, config: CoreConfig, *, configuration_hash: int = 0) -> None:
        self.config = config
        self.configuration_hash = configuration_hash
        super().__init__({
            "memory": Out(
                axi4_signature(address_bits=ADDRESS_BITS, data_bits=8 * config.port_bytes)
            ),
            "control": In(axi_lite_signature(REGISTER_ADDRESS_BITS)),
            "interrupt": Out(1),
            "rst": In(1),
        })

    def elaborate(self, platform):
        m = Module()

        config = self.config
        self.registers = Registers(config, config_hash=self.configuration_hash)
        self.dispatcher = Dispatcher(config)
        m.submodules.registers = ResetInserter(self.rst)(self.registers)
        m.submodules.dispatcher = ResetInserter(self.rst)(self.dispatcher)
        reset: Value = self.rst | self.dispatcher.restart
        units = 0

        def add(name: str, unit: Any) -> Any:
            """Add a unit whose reset comes a cycle later than that of the unit before it."""
            nonlocal reset, units
            units += 1
            assert units < RESTART_SKEW
            own = Signal(init=1, reset_less=True, name=f"reset_{name}")
            m.d.sync += own.eq(reset)
            m.submodules[name] = ResetInserter(own)(unit)
            reset = own
            return unit

        self.semaphores = add("semaphores", Semaphores(len(_COMMANDS)))
        self.queues = {
            name: add(f"{name}_queue", EngineQueue(command()))
            for name, command in _COMMANDS.items()
        }
        self.reader = add("reader", Reader(config))
        self.loader = add("loader", Loader(config))
        self.weight_fifo = add("weight_fifo", WeightFifo(config))
        self.latent_adapter = add("latent_adapter", WidthAdapter(config))
        self.ring = add("latent_ring", LatentRing(config))
        self.activation = add("activation_buffer", ActivationBuffer(config))
        self.array = add("array_engine", ArrayEngine(config))
        self.requantizer = add("requantizer", Requantizer(config))
        self.score_unit = add("score_unit", ScoreUnit(config))
        self.context = add("context_accumulator", ContextAccumulator(config))
        self.vector = add("vector_engine", VectorEngine(config))
        self.scratch = add("scratch", SimpleMemory(signed(16), config.scratch_depth))
        self.rope_row = add("rope_row", SimpleMemory(32, config.table_entries))
        self.array_constants = add("array_constants", SimpleMemory(32, config.constants))
        self.vector_constants = add("vector_constants", SimpleMemory(32, config.constants))
        self.row_buffer = add(
            "row_buffer",
            OutputBuffer(words=config.row_beats, port_bytes=config.port_bytes, element_bits=8),
        )
        self.output_buffer = add(
            "output_buffer",
            OutputBuffer(
                words=config.output_words,
                port_bytes=config.port_bytes,
                element_bits=16,
                # Query rows take turns after C elements.
                shared_words=config.query_rows > 1 and 2 * config.columns < config.port_bytes,
            ),
        )
        self.writer = add("writer", Writer(config))

        # Until the last unit is reset, the units that drive the port may still offer something.
        resetting = Signal(init=1, reset_less=True)
        last = Signal(reset_less=True)
        m.d.sync += last.eq(reset)
        with m.If(self.rst):
            m.d.sync += resetting.eq(1)
        with m.Elif(last & ~reset):
            m.d.sync += resetting.eq(0)
        self.quiet = self.rst | resetting

        self._connect_control(m)
        self._connect_reader(m)
        self._connect_array(m)
        self._connect_vector(m)
        self._connect_writer(m)
        self._connect_events(m)

        return m

    def _connect_control(self, m: Module) -> None:
        registers, dispatcher, semaphores = self.registers, self.dispatcher, self.semaphores
        wiring.connect(m, wiring.flipped(self.control), registers.bus)
        m.d.comb += [
            self.interrupt.eq(registers.interrupt),
            dispatcher.start.eq(registers.start),
            dispatcher.abort.eq(registers.abort),
            dispatcher.position.eq(registers.position),
            dispatcher.bases.eq(registers.bases),
            dispatcher.program_beats.eq(registers.program_beats),
            dispatcher.program_w.eq(self.loader.program),
            dispatcher.overflow.eq(semaphores.overflow),
            semaphores.credit.eq(dispatcher.credit),
            registers.clear.eq(dispatcher.clear),
            registers.running.eq(dispatcher.running),
            registers.halted.eq(dispatcher.halted),
            registers.error.eq(dispatcher.error),
        ]
        units: dict[str, Any] = {
            "reader": self.reader,
            "array": self.array,
            "vector": self.vector,
            "writer": self.writer,
        }
        for number, (name, queue) in enumerate(self.queues.items()):
            connect_streams(m, getattr(dispatcher, name), queue.i)
            connect_streams(m, queue.command, units[name].command)
            m.d.comb += [
                queue.done.eq(units[name].done),
                queue.available.eq(semaphores.available),
                queue.cancel.eq(dispatcher.cancel),
                semaphores.take[number].eq(queue.take),
                semaphores.give[number].eq(queue.give),
                dispatcher.busy[number].eq(queue.busy),
            ]
        m.d.comb += [
            dispatcher.reader_done.eq(self.reader.done),
            dispatcher.on_bus.eq(self.reader.on_bus | self.writer.busy),
        ]

    def _connect_reader(self, m: Module) -> None:
        reader, loader, registers = self.reader, self.loader, self.registers
        weights = FIELDS["base"].choices.index("weights")
        self._connect_port(m, reader.axi, "ar", "r")
        connect_streams(m, reader.load_command, loader.command)
        connect_streams(m, reader.load, loader.i)
        connect_streams(m, reader.weights, self.weight_fifo.i)
        connect_streams(m, reader.latents, self.latent_adapter.i)
        connect_streams(m, self.latent_adapter.o, self.ring.i)
        connect_streams(m, reader.tile, self.ring.tile)
        m.d.comb += [
            reader.start.eq(self.dispatcher.clear),
            reader.stop.eq(self.dispatcher.cancel),
            reader.weights_base.eq(registers.bases[weights]),
            reader.weights_freed.eq(self.weight_fifo.freed),
            reader.release.eq(self.array.release),
            reader.load_done.eq(loader.done),
            self.dispatcher.read_error.en.eq(reader.error),
            self.dispatcher.read_error.address.eq(reader.error_address),
            self.activation.load.eq(loader.activation),
            self.rope_row.w.eq(loader.table),
            self.array_constants.w.eq(loader.constants),
            self.vector_constants.w.eq(loader.constants),
        ]

    def _connect_array(self, m: Module) -> None:
        array, ring = self.array, self.ring
        connect_streams(m, self.weight_fifo.o, array.weights)
        wiring.connect(m, array.constants, self.array_constants.read)
        wiring.connect(m, self.score_unit.token_scale, ring.scale)
        requantized = self.requantizer.o
        m.d.comb += [
            array.filled.eq(ring.filled),
            ring.release.eq(array.release),
            ring.read.eq(array.ring_read),
            array.latents.eq(ring.b),
            self.activation.read.eq(array.operand_read),
            array.operands.eq(self.activation.a),
            self.requantizer.constant.eq(array.requantize_constants),
            self.requantizer.i.eq(array.requantize),
            self.score_unit.i.eq(array.score),
            self.context.i.eq(array.context),
            self.activation.requantized.eq(requantized),
            self.scratch.w.en.eq(requantized.en & (requantized.target == _SCRATCH)),
            self.scratch.w.address.eq(requantized.element),
            self.scratch.w.data.eq(requantized.data),
            self.output_buffer.i.en.eq(requantized.en & (requantized.target == _OUTPUT)),
            self.output_buffer.i.index.eq(requantized.element),
            self.output_buffer.i.data.eq(requantized.data),
        ]
        if self.config.product_blocks:
            m.d.comb += [
                ring.product.en.eq(requantized.en & (requantized.target == _ROW)),
                ring.product.element.eq(requantized.element),
                ring.product.data.eq(requantized.data),
            ]

    def _connect_vector(self, m: Module) -> None:
        vector, scores = self.vector, self.score_unit
        wiring.connect(m, vector.scratch, self.scratch.read)
        wiring.connect(m, vector.table, self.rope_row.read)
        wiring.connect(m, vector.constants, self.vector_constants.read)
        wiring.connect(m, vector.scores, scores.scores)
        wiring.connect(m, vector.scales, scores.scales)
        wiring.connect(m, vector.maxima, scores.maxima)
        wiring.connect(m, vector.context, self.context.read)
        m.d.comb += [
            self.activation.vector.eq(vector.o),
            self.context.control.eq(vector.control),
            self.row_buffer.i.en.eq(vector.packed.en),
            self.row_buffer.i.index.eq(vector.packed.index),
            self.row_buffer.i.data.eq(vector.packed.data),
        ]

    def _connect_port(self, m: Module, axi: Any, *channels: str) -> None:
        """Connect channels of the memory port; during a reset they offer nothing."""
        for channel in channels:
            inside, outside = getattr(axi, channel), getattr(self.memory, channel)
            for name, member in inside.signature.members.items():
                source, target = getattr(inside, name), getattr(outside, name)
                if member.flow is In:
                    source, target = target, source
                m.d.comb += target.eq(source & ~self.quiet if name == "valid" else source)

    def _connect_writer(self, m: Module) -> None:
        writer = self.writer
        self._connect_port(m, writer.axi, "aw", "w", "b")
        wiring.connect(m, writer.row, self.row_buffer.read)
        wiring.connect(m, writer.output, self.output_buffer.read)
        m.d.comb += [
            self.dispatcher.write_error.en.eq(writer.error),
            self.dispatcher.write_error.address.eq(writer.error_address),
        ]

    def _connect_events(self, m: Module) -> None:
        events = self.registers.events
        for name, queue in self.queues.items():
            m.d.comb += [
                events[f"busy_{name}"].eq(queue.active),
                events[f"waiting_{name}"].eq(queue.waiting),
            ]
        memory, saturated, stall = self.memory, self.vector.saturated, self.array.stall
        m.d.comb += [
            events.stall_weights.eq(stall.weights),
            events.stall_latents.eq(stall.latents),
            events.stall_drain.eq(stall.drain),
            events.array_steps.eq(self.array.issued),
            events.read_beats.eq(memory.r.valid & memory.r.ready),
            events.write_beats.eq(memory.w.valid & memory.w.ready),
            events.saturated_requantizer.eq(self.requantizer.saturated),
            events.saturated_score.eq(self.score_unit.saturated),
            events.saturated_rope.eq(saturated.rope),
            events.saturated_normalize.eq(saturated.normalize),
            events.saturated_pack.eq(saturated.pack),
        ]
