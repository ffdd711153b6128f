"""Dispatcher: program memory, loops, addresses; hands plain numbers to the engines."""

from typing import Any

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2, exact_log2

from mla_hw.cycles.dispatcher import FAULT_LATENCY, HALT_LATENCY, RESTART_CYCLES, RESTART_SKEW
from mla_hw.hardware import PROGRAM_LOAD, SEMAPHORES, CoreConfig
from mla_hw.program.instructions import (
    FIELDS,
    INSTRUCTION_WORDS,
    INSTRUCTIONS,
    LOOP_DEPTH,
    MEMORY_ADDRESS_BITS,
)
from mla_hw.registers import POSITION_BITS, ErrorCode, register
from rtl_gen.control_layouts import (
    ENGINE_COMMANDS,
    PROGRAM_TARGET,
    bases_layout,
    entry_layout,
    error_layout,
    fault_layout,
    place_layout,
    program_write_layout,
)
from rtl_gen.dispatch import STEPS, LoopStack, OperandSums, decode, field
from rtl_gen.pipeline import delay

__all__ = ["Dispatcher"]


class Dispatcher(wiring.Component):
    """Run the program: fetch, count loops, add up addresses, push to the engines' queues.

    What is pushed equals :func:`mla_hw.golden.dispatcher.resolve`; fields that an instruction does
    not have are 0. A start first loads the program memory by a command to the reader, then runs
    from instruction 0. The number of cycles per instruction depends on its kind only
    (:mod:`mla_hw.cycles.dispatcher`), besides waiting for its queue.

    The first error, or ``abort``, ends the run: nothing is dispatched any more, ``cancel`` makes
    the queues drop what has not started and the reader issue nothing. When the memory port is idle,
    ``restart`` clears what is left in engines and buffers, and then ``halted`` comes.

    Parameters
    ----------
    config : CoreConfig

    Members
    -------
    start, abort : :py:`In(1)`
        Pulses; a start is ignored while running.
    position : :py:`In(query_rows * POSITION_BITS)`
        Cached tokens of each query row, row 0 first; constant while running, as are the next two.
    bases : :py:`In(bases_layout(config))`
        Base registers.
    program_beats : :py:`In(16)`
        Size of the program in memory.
    program_w : :py:`In(program_write_layout(config))`
        Program words on their way from the loader.
    reader_done : :py:`In(1)`
        The reader has ended its oldest instruction.
    busy : :py:`In(len(ENGINE_COMMANDS))`
        Engines whose queues hold instructions or that have some under way.
    on_bus : :py:`In(1)`
        Bursts are under way, or may be from the next cycle on.
    overflow : :py:`In(1)`
        A semaphore was given too often.
    read_error, write_error : :py:`In(fault_layout())`
        Memory accesses that were refused.
    reader, array, vector, writer : :py:`Out(stream.Signature(entry_layout(...)))`
        Resolved instructions.
    credit : :py:`Out(SEMAPHORES)`
        Semaphores that POST gives in this cycle.
    clear : :py:`Out(1)`
        Pulse in the cycle after an accepted start, the first of the run.
    restart : :py:`Out(1)`
        After a reset, and before ``halted`` where a run ends with an error: for twice
        ``RESTART_SKEW`` cycles, and ends as long before the next run can begin.
    running : :py:`Out(1)`
        From the cycle after an accepted start to the cycle of ``halted``.
    cancel : :py:`Out(1)`
        From the cycle after an error to ``halted``.
    halted : :py:`Out(1)`
        Pulse at the end of every run.
    error : :py:`Out(error_layout())`
        Pulse, at most one per run.
    """

    start: Signal
    abort: Signal
    position: Signal
    bases: data.View
    program_beats: Signal
    program_w: data.View
    reader_done: Signal
    busy: Signal
    on_bus: Signal
    overflow: Signal
    read_error: data.View
    write_error: data.View
    reader: stream.Interface
    array: stream.Interface
    vector: stream.Interface
    writer: stream.Interface
    credit: Signal
    clear: Signal
    restart: Signal
    running: Signal
    cancel: Signal
    halted: Signal
    error: data.View

    def __init__(self, config: CoreConfig) -> None:
        self.config = config
        super().__init__({
            "start": In(1),
            "abort": In(1),
            "position": In(config.query_rows * POSITION_BITS),
            "bases": In(bases_layout(config)),
            "program_beats": In(register("program_beats").mask.bit_length()),
            "program_w": In(program_write_layout(config)),
            "reader_done": In(1),
            "busy": In(len(ENGINE_COMMANDS)),
            "on_bus": In(1),
            "overflow": In(1),
            "read_error": In(fault_layout()),
            "write_error": In(fault_layout()),
            **{
                engine.value: Out(stream.Signature(entry_layout(command)))
                for engine, command in ENGINE_COMMANDS.items()
            },
            "credit": Out(SEMAPHORES),
            "clear": Out(1),
            "restart": Out(1),
            "running": Out(1),
            "cancel": Out(1),
            "halted": Out(1),
            "error": Out(error_layout()),
        })

    def elaborate(self, platform):
        m = Module()

        words = self.config.program_depth * INSTRUCTION_WORDS
        # A power of two, so that no multiplexer follows the blocks of RAM.
        # And it is written before it is read.
        attrs: dict = {"no_rw_check": 1}
        program: memory.Memory = memory.Memory(
            shape=32, depth=1 << ceil_log2(words), init=[], attrs=attrs
        )
        m.submodules.memory = program
        m.submodules.loops = loops = LoopStack(self.config)
        m.submodules.sums = sums = OperandSums(self.config)
        w_port, r_port = program.write_port(), program.read_port()
        m.d.comb += [
            w_port.en.eq(self.program_w.en),
            w_port.addr.eq(self.program_w.address),
            w_port.data.eq(self.program_w.data),
        ]

        # Where the instruction is, the step within it, and its words as they arrive.
        place: Any = Signal(place_layout(self.config), reset_less=True)
        step = Signal(range(STEPS), reset_less=True)
        address = Signal.like(place.word, reset_less=True)
        instruction = Signal(32 * INSTRUCTION_WORDS, reset_less=True)
        stepping, issue, leaving = Signal(), Signal(), Signal()
        executing, valid, ready = Signal(), Signal(), Signal()
        # The memory's output is late in the cycle, so it has a register of its own.
        fetching, fetched = Signal(), Signal(32, reset_less=True)
        arriving = Signal(INSTRUCTION_WORDS)
        m.d.comb += r_port.addr.eq(address)
        m.d.sync += [
            fetching.eq(stepping & (step < INSTRUCTION_WORDS)),
            fetched.eq(r_port.data),
        ]
        for i in range(INSTRUCTION_WORDS):
            m.d.sync += arriving[i].eq(fetching & (step == i + 1))
            with m.If(arriving[i]):
                m.d.sync += instruction.word_select(i, 32).eq(fetched)
        fresh = Signal()
        m.d.sync += fresh.eq(stepping & (step == 0))
        with m.If(fresh):
            m.d.sync += instruction.eq(0)
        with m.If(stepping):
            m.d.sync += [step.eq(step + 1), address.eq(address + 1)]

        kind = decode(m, instruction)
        position = self._position(m, field(instruction, "query_row"))
        after: Any = Signal.like(place)
        following: Any = Signal.like(place)
        m.d.comb += [
            after.word.eq(place.word + INSTRUCTION_WORDS),
            after.index.eq(place.index + 1),
            following.eq(Mux(kind.NEXT & ~loops.last, loops.start, after)),
        ]
        with m.If(leaving):
            m.d.sync += [step.eq(0), place.eq(following), address.eq(following.word)]
        with m.If(self.clear):
            m.d.sync += [step.eq(0), place.eq(0), address.eq(0)]

        m.d.comb += [
            loops.clear.eq(self.clear),
            loops.position.eq(position),
            sums.step.eq(step),
            sums.instruction.eq(instruction),
            sums.in_memory.eq(kind.in_memory),
            sums.indices.eq(loops.indices),
            sums.position.eq(position),
            sums.bases.eq(self.bases),
            self.credit.eq(Mux(valid & kind.POST, field(instruction, "post"), 0)),
        ]

        # The loops have time until the next instruction has been fetched.
        m.d.sync += [
            loops.enter.en.eq(leaving & kind.LOOP),
            loops.enter.tiled.eq(field(instruction, "tile_n")),
            loops.enter.count.eq(field(instruction, "n")),
            loops.enter.start.eq(after),
            loops.next.eq(leaving & kind.NEXT),
        ]

        code, broken = self._check(m, instruction, kind, loops, place.index)
        gone = valid & (kind.own | ready)
        m.d.comb += [
            stepping.eq(executing & ~issue & ~leaving),
            valid.eq(executing & issue & ~broken),
        ]
        m.d.sync += leaving.eq(gone)
        with m.If(stepping):
            m.d.sync += issue.eq(step + 1 == kind.step)
        with m.If(gone | self.clear):
            m.d.sync += issue.eq(0)
        self._drive_commands(m, instruction, kind, loops, sums, place.index, valid, ready)
        self._sequence(m, kind, executing, issue, valid, broken, code, place.index)

        return m

    def _position(self, m, row: Value) -> Value:
        """Return the position of the instruction's query row, a cycle after the field is there."""
        rows = self.config.query_rows
        if rows == 1:
            return self.position
        selected = Signal(POSITION_BITS, name="row_position", reset_less=True)
        positions = Array(self.position.word_select(i, POSITION_BITS) for i in range(rows))
        m.d.sync += selected.eq(positions[row[: self.config.query_bits]])
        return selected

    def _check(self, m, instruction, kind, loops, index):
        """Return the instruction's error code and if there is one, a cycle after its last field."""
        count = field(instruction, "n")
        tile_k, tile_n = field(instruction, "tile_k"), field(instruction, "tile_n")
        ended, uncountable = Signal(), Signal()
        m.d.sync += ended.eq(index == self.config.program_depth)
        m.d.comb += uncountable.eq((count == 0) | count[POSITION_BITS:].any())
        conditions = {
            ErrorCode.END: ended,
            ErrorCode.OPCODE: ~kind.legal,
            ErrorCode.NESTING: (kind.LOOP & (loops.depth == LOOP_DEPTH))
            | (kind.NEXT & (loops.depth == 0))
            | (kind.HALT & (loops.depth != 0)),
            ErrorCode.TILE: Mux(kind.LOOP, tile_n & loops.tiled, (tile_k | tile_n) & ~loops.tiled),
            ErrorCode.COUNT: kind.LOOP & ~tile_n & uncountable,
        }
        code = Signal(ErrorCode, reset_less=True)
        broken = Signal(reset_less=True)
        m.d.sync += [code.eq(ErrorCode.NONE), broken.eq(Cat(*conditions.values()).any())]
        # The first that holds.
        for value, condition in reversed(conditions.items()):
            with m.If(condition):
                m.d.sync += code.eq(value)
        return code, broken

    def _drive_commands(self, m, instruction, kind, loops, sums, index, valid, ready):
        """Offer the instruction to its engine while ``valid``; drive whether that is ready."""
        values = {name: field(instruction, name) for name in FIELDS}
        for name in ("k", "n"):
            values[name] = Mux(values[f"tile_{name}"], loops.tokens, values[name])
        values |= {
            "a": sums.a,
            "b": sums.b,
            "c": sums.c,
            "address": sums.address,
            "destination": sums.c,
            "beats": values["n"],
            "tokens": values["n"],
            "elements": values["k"],
            "first": loops.first_tile,
        }
        for engine in ENGINE_COMMANDS:
            port, mine = getattr(self, engine.value), kind[engine.value]
            command = port.p.command
            m.d.comb += [command[name].eq(values[name]) for name in command.shape().members]
            m.d.comb += [
                port.p.wait.eq(values["wait"] | Mux(loops.first, values["once"], 0)),
                port.p.post.eq(values["post"] | Mux(loops.last, values["final"], 0)),
                port.p.tag.eq(index),
                port.valid.eq(valid & mine),
            ]
            with m.If(mine):
                m.d.comb += ready.eq(port.ready)

    def _sequence(self, m, kind, executing, issue, valid, broken, broken_by, index):
        """Drive a run from start to halted, and stop dispatching at the first error."""
        layout = data.StructLayout({"en": 1, "code": ErrorCode, "address": MEMORY_ADDRESS_BITS})
        fault: Any = Signal(layout)
        # Registers beside the state, because much hangs on them.
        offering = Signal()
        # An overflow by the last instruction that ends has to come before the run is over.
        still = Signal(HALT_LATENCY - 1)
        m.d.sync += still.eq(Cat(~self.busy.any(), still))
        with m.If(offering):
            self._offer_load(m)
        m.d.sync += [self.clear.eq(0), self.restart.eq(0)]
        # Counts down in RESTART, where a run starts out from, too.
        left = Signal(range(RESTART_CYCLES), init=RESTART_CYCLES - 1)
        starting = self.start & ~self.running
        with m.If(starting):
            m.d.sync += self.running.eq(1)
        with m.FSM(init="RESTART"):
            with m.State("IDLE"), m.If(starting):
                m.d.sync += self.clear.eq(1)
                m.next = "CLEAR"
            with m.State("CLEAR"):
                m.d.sync += offering.eq(1)
                m.next = "LOAD"
            with m.State("LOAD"):
                with m.If(self.cancel):
                    m.d.sync += offering.eq(0)
                    m.next = "END"
                with m.Elif(self.reader.ready):
                    m.d.sync += offering.eq(0)
                    m.next = "LOADING"
            with m.State("LOADING"):
                with m.If(self.cancel):
                    m.next = "END"
                with m.Elif(self.reader_done):
                    m.d.sync += executing.eq(1)
                    m.next = "RUN"
            with m.State("RUN"):
                with m.If(self.cancel | (valid & kind.HALT)):
                    m.d.sync += [executing.eq(0), still.eq(0)]
                    m.next = "END"
                with m.If(issue & broken):
                    m.d.comb += [fault.en.eq(1), fault.code.eq(broken_by)]
            # After an error the engines may wait for ever for what was cancelled.
            with m.State("END"):
                with m.If(self.cancel & ~self.on_bus):
                    m.next = "RESTART"
                with m.If(~self.cancel & still.all()):
                    m.d.comb += self.halted.eq(1)
                    m.next = "IDLE"
            with m.State("RESTART"):
                # The last cycles are for the units that the end of the reset reaches last.
                m.d.sync += [self.restart.eq(left >= RESTART_SKEW), left.eq(left - 1)]
                with m.If(left == 0):
                    m.d.sync += left.eq(RESTART_CYCLES - 1)
                    # A start that has come meanwhile, ahead of the first run.
                    with m.If((self.running | starting) & ~self.cancel):
                        m.d.sync += self.clear.eq(1)
                        m.next = "CLEAR"
                    with m.Else():
                        m.d.comb += self.halted.eq(self.running)
                        m.next = "IDLE"
        with m.If(self.halted):
            m.d.sync += self.running.eq(0)

        for code, condition, where in (
            (ErrorCode.ABORT, self.abort, 0),
            (ErrorCode.OVERFLOW, self.overflow, 0),
            (ErrorCode.WRITE, self.write_error.en, self.write_error.address),
            (ErrorCode.READ, self.read_error.en, self.read_error.address),
        ):
            # They come from far, and their addresses stay.
            name = f"fault_{code.name.lower()}"
            with m.If(delay(m, condition, FAULT_LATENCY, name, reset_less=False)):
                m.d.comb += [fault.en.eq(1), fault.code.eq(code), fault.address.eq(where)]
        with m.If(self.running & ~self.cancel):
            m.d.comb += [
                self.error.en.eq(fault.en),
                self.error.code.eq(fault.code),
                self.error.address.eq(fault.address),
                self.error.program_counter.eq(index),
            ]
        with m.If(self.error.en):
            m.d.sync += self.cancel.eq(1)
        with m.If(self.halted):
            m.d.sync += self.cancel.eq(0)

    def _offer_load(self, m):
        """Offer the command that fills the program memory."""
        port, beat_words = self.reader, self.config.port_bytes // 4
        m.d.comb += [
            port.payload.eq(0),
            port.p.command.opcode.eq(INSTRUCTIONS["LOAD"].opcode),
            port.p.command.target.eq(PROGRAM_TARGET),
            port.p.command.address.eq(self.bases[FIELDS["base"].choices.index("program")]),
            port.p.command.beats.eq(self.program_beats),
            port.p.command.elements.eq(self.program_beats << exact_log2(beat_words)),
            port.p.tag.eq(PROGRAM_LOAD),
            port.valid.eq(1),
        ]
