"""Reader: LOAD, STREAM and TILE, from memory to their destinations."""

from typing import Any

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import exact_log2

from mla_hw.cycles.reader import COMMANDS_UNDER_WAY, PATHS, Path, fifo_depth
from mla_hw.cycles.width_adapter import words_per_beat
from mla_hw.hardware import CoreConfig
from rtl_gen.axi import (
    BURST_BITS,
    BurstSplitter,
    axi4_read_signature,
    drive_address_constants,
    segment_layout,
)
from rtl_gen.control_layouts import short_opcodes
from rtl_gen.layouts import ADDRESS_BITS, reader_command_layout
from rtl_gen.read_receiver import ReadReceiver, read_beat_address_bits, read_burst_layout
from rtl_gen.units.latent_ring import tile_layout
from rtl_gen.units.loader import load_beat_layout, load_command_layout
from rtl_gen.units.queue import Queue
from rtl_gen.units.width_adapter import port_word_layout

__all__ = ["Reader"]


class Reader(wiring.Component):
    """Read bursts of AXI4 for the weight FIFO, the latent ring and the loader.

    Instructions are executed in order, and their bursts follow each other without waiting for
    data. No burst crosses a multiple of BURST_BEATS beats. A burst is issued when its destination
    has room for all its beats, when, for the first one of a block, the ring has a free block, and
    when fewer than ``outstanding_reads`` bursts are under way. So the R channel is always ready.

    :class:`mla_hw.cycles.reader.ReaderModel` is the timing of every ARVALID and every beat. Where
    nothing has to be waited for, ARVALID comes :py:`COMMAND_TO_ADDRESS` cycles after the command,
    then every :py:`BURST_INTERVAL` cycles, and :py:`BLOCK_INTERVAL` from block to block.

    The number of beats or tokens of an instruction is at least 1, its address a multiple of
    ``port_bytes``.

    Parameters
    ----------
    config : :class:`CoreConfig`

    Members
    -------
    command : :py:`In(stream.Signature(reader_command_layout()))`
        LOAD (``target``, ``address``, ``beats``, ``elements``, ``destination``), STREAM (``beats``;
        ``elements``: words of C bytes at the end of its last beat that are padding) or TILE
        (``address``, ``tokens``).
    done : :py:`Out(1)`
        Pulse at the end of an instruction, in program order: LOAD when the loader reports it,
        STREAM and TILE when their last beat is at its destination.
    start : :py:`In(1)`
        The next STREAM begins at ``weights_base``.
    weights_base : :py:`In(ADDRESS_BITS)`
        Byte address.
    stop : :py:`In(1)`
        No burst is issued from the second cycle after it on.
    on_bus : :py:`Out(1)`
        Bursts are under way, or one is about to be issued.
    axi : :py:`Out(axi4_read_signature(...))`
        Read channels of the memory port.
    weights : :py:`Out(stream.Signature(port_word_layout(config)))`
        To the weight FIFO, which has room: ``ready`` is not looked at.
    weights_freed : :py:`In(1)`
        A port word has left the weight FIFO.
    tile : :py:`Out(stream.Signature(tile_layout()))`
        Every TILE, ahead of its data.
    latents : :py:`Out(stream.Signature(port_word_layout(config)))`
        To the latent ring.
    release : :py:`In(range(ring_blocks + 1))`
        Blocks of the ring that are free from the next cycle on.
    load_command : :py:`Out(stream.Signature(load_command_layout()))`
        Every LOAD, ahead of its data.
    load : :py:`Out(stream.Signature(load_beat_layout(config)))`
        To the loader.
    load_done : :py:`In(1)`
        The loader's ``done``.
    error : :py:`Out(1)`
        A burst was answered with an error since the reset; its data are taken as they are.
    error_address : :py:`Out(ADDRESS_BITS)`
        Byte address of the first such burst.
    """

    command: stream.Interface
    done: Signal
    start: Signal
    weights_base: Signal
    stop: Signal
    on_bus: Signal
    axi: Any
    weights: stream.Interface
    weights_freed: Signal
    tile: stream.Interface
    latents: stream.Interface
    release: Signal
    load_command: stream.Interface
    load: stream.Interface
    load_done: Signal
    error: Signal
    error_address: Signal

    def __init__(self, config: CoreConfig) -> None:
        self.config = config
        super().__init__({
            "command": In(stream.Signature(reader_command_layout())),
            "done": Out(1),
            "start": In(1),
            "weights_base": In(ADDRESS_BITS),
            "stop": In(1),
            "on_bus": Out(1),
            "axi": Out(
                axi4_read_signature(address_bits=ADDRESS_BITS, data_bits=8 * config.port_bytes)
            ),
            "weights": Out(stream.Signature(port_word_layout(config))),
            "weights_freed": In(1),
            "tile": Out(stream.Signature(tile_layout())),
            "latents": Out(stream.Signature(port_word_layout(config))),
            "release": In(range(config.ring_blocks + 1)),
            "load_command": Out(stream.Signature(load_command_layout())),
            "load": Out(stream.Signature(load_beat_layout(config))),
            "load_done": In(1),
            "error": Out(1),
            "error_address": Out(ADDRESS_BITS),
        })
        self._byte_bits = exact_log2(config.port_bytes)

    def elaborate(self, platform):
        m = Module()

        m.submodules.under_way = under_way = Queue(Path, COMMANDS_UNDER_WAY)
        # Room for those under way and for those whose rows wait in the FIFO, so that it is not this
        # queue that a TILE ever waits for.
        waiting = fifo_depth(self.config, Path.LATENTS) // self.config.row_beats
        m.submodules.tiles = tiles = Queue(tile_layout(), COMMANDS_UNDER_WAY + waiting + 1)
        m.submodules.load_commands = load_commands = Queue(
            load_command_layout(), COMMANDS_UNDER_WAY
        )
        m.submodules.splitter = splitter = BurstSplitter(read_beat_address_bits(self.config))
        m.submodules.bursts = bursts = Queue(
            read_burst_layout(self.config), self.config.outstanding_reads
        )
        m.submodules.receiver = receiver = ReadReceiver(self.config)
        connect(m, tiles.o, flipped(self.tile))
        connect(m, load_commands.o, flipped(self.load_command))
        connect(m, bursts.o, receiver.burst)
        connect(m, flipped(self.axi.r), receiver.r)
        connect(m, receiver.weights, flipped(self.weights))
        connect(m, receiver.latents, flipped(self.latents))
        connect(m, receiver.load, flipped(self.load))
        m.d.comb += [
            self.error.eq(receiver.error),
            self.error_address.eq(receiver.error_address),
        ]

        instruction = self._accept(m, splitter, under_way, tiles, load_commands)
        self._issue(m, instruction, splitter, bursts)
        self._finish(m, under_way, receiver.finished)

        return m

    def _accept(self, m: Module, splitter, under_way, tiles, load_commands) -> Any:
        """Take instructions and hand them to the splitter: as a whole, TILE block by block."""
        config, command = self.config, self.command
        block_beats = config.columns * config.row_beats

        path = Signal(Path)
        for name, code in short_opcodes(PATHS).items():
            with m.If(command.p.opcode[: len(code)] == code):
                m.d.comb += path.eq(PATHS[name])

        layout = data.StructLayout({
            "segment": segment_layout(read_beat_address_bits(config)),
            "tokens": command.p.tokens.shape(),
            "last_block": 1,
            "rest": range(block_beats + 1),
            "path": Path,
            "padding": range(words_per_beat(config) + 1),
            "last": 1,
        })
        held: Any = Signal(layout, reset_less=True)
        pointer = Signal(read_beat_address_bits(config), reset_less=True)
        m.d.comb += [
            splitter.i.p.address.eq(held.segment.address),
            splitter.i.p.beats.eq(held.segment.beats),
        ]
        # The last block has 1 to C tokens, which the bits of the number within a block tell: a
        # table, lest a multiplier be spent on it.
        sizes = Array(
            (tokens or config.columns) * config.row_beats for tokens in range(config.columns)
        )
        last_block = held.last_block
        with m.If(held.path == Path.LATENTS):
            m.d.comb += splitter.i.p.beats.eq(Mux(last_block, held.rest, block_beats))

        accepted = command.valid & command.ready
        # Open is a register: what it depends on only closes when a command is accepted.
        idle, open_ = Signal(init=1), Signal(init=1)
        m.d.sync += open_.eq(
            idle & splitter.i.ready & under_way.i.ready & tiles.i.ready & ~accepted
        )
        m.d.comb += [
            command.ready.eq(open_),
            under_way.i.valid.eq(accepted),
            under_way.i.payload.eq(path),
            splitter.i.valid.eq(~idle),
        ]
        # A cycle later, which is long before their data.
        m.d.sync += [
            tiles.i.valid.eq(accepted & (path == Path.LATENTS)),
            tiles.i.p.tokens.eq(command.p.tokens),
            load_commands.i.valid.eq(accepted & (path == Path.LOAD)),
            load_commands.i.p.target.eq(command.p.target),
            load_commands.i.p.elements.eq(command.p.elements),
            load_commands.i.p.destination.eq(command.p.destination),
        ]
        # Kept until all bursts are planned: their path and padding are taken from here.
        with m.If(accepted):
            m.d.sync += idle.eq(0)
        with m.If(idle & splitter.i.ready):
            m.d.sync += [
                held.segment.address.eq(
                    Mux(path == Path.WEIGHTS, pointer, command.p.address[self._byte_bits :])
                ),
                held.segment.beats.eq(command.p.beats),
                held.tokens.eq(command.p.tokens),
                held.last_block.eq(command.p.tokens <= config.columns),
                held.rest.eq(sizes[command.p.tokens[: exact_log2(config.columns)]]),
                held.path.eq(path),
                held.padding.eq(Mux(path == Path.WEIGHTS, command.p.elements, 0)),
            ]
        with m.Elif(~idle & splitter.i.ready):
            m.d.sync += [
                idle.eq((held.path != Path.LATENTS) | last_block),
                held.last.eq((held.path != Path.LATENTS) | last_block),
                held.segment.address.eq(held.segment.address + block_beats),
                held.tokens.eq(held.tokens - config.columns),
                held.last_block.eq(held.tokens <= 2 * config.columns),
            ]
            with m.If(held.path == Path.WEIGHTS):
                m.d.sync += pointer.eq(held.segment.address + held.segment.beats)
        with m.If(self.start):
            m.d.sync += pointer.eq(self.weights_base[self._byte_bits :])
        return held

    def _issue(self, m: Module, instruction: data.View, splitter, bursts) -> None:
        """Plan one burst ahead; issue it when everything that it needs is there."""
        config, address = self.config, self.axi.ar

        layout = data.StructLayout({
            "burst": read_burst_layout(config),
            "beats": BURST_BITS,
            "opens_block": 1,
        })
        planned: Any = Signal(layout, reset_less=True)
        burst = planned.burst
        planned_valid = Signal()
        first = Signal()  # of a segment
        # A burst that may be issued is: nobody else takes anything that it needs.
        issue = Signal()
        m.d.comb += splitter.o.ready.eq(~planned_valid | issue)
        with m.If(splitter.i.valid & splitter.i.ready):
            m.d.sync += first.eq(1)
        with m.Elif(splitter.o.valid & splitter.o.ready):
            m.d.sync += first.eq(0)
        with m.If(splitter.o.ready):
            m.d.sync += [
                planned_valid.eq(splitter.o.valid),
                planned.beats.eq(splitter.o.p.beats),
                burst.address.eq(splitter.o.p.address),
                burst.path.eq(instruction.path),
                burst.padding.eq(instruction.padding),
                burst.last.eq(instruction.last & splitter.o.p.last),
                planned.opens_block.eq(first & (instruction.path == Path.LATENTS)),
            ]

        # What is given back comes from far.
        freed, released = Signal(len(Path)), Signal.like(self.release)
        m.d.sync += [
            freed[Path.LOAD].eq(self.load.valid & self.load.ready),
            freed[Path.WEIGHTS].eq(self.weights_freed),
            freed[Path.LATENTS].eq(self.latents.valid & self.latents.ready),
            released.eq(self.release),
        ]
        fits = Signal(len(Path))
        for path in Path:
            depth = fifo_depth(config, path)
            room = Signal(range(depth + 1), init=depth, name=f"room_{path.name.lower()}")
            # A burst that is issued has been planned for at least a cycle.
            reserve = Signal(BURST_BITS, name=f"reserve_{path.name.lower()}", reset_less=True)
            m.d.comb += fits[path].eq((burst.path == path) & (room >= planned.beats))
            m.d.sync += [
                reserve.eq(Mux(burst.path == path, planned.beats, 0)),
                room.eq(room + freed[path] - Mux(issue, reserve, 0)),
            ]
        free_blocks = Signal(range(config.ring_blocks + 1), init=config.ring_blocks)
        m.d.sync += free_blocks.eq(free_blocks + released - (issue & planned.opens_block))

        m.d.sync += issue.eq(
            planned_valid
            & fits.any()
            & ~(planned.opens_block & (free_blocks == 0))
            & bursts.i.ready
            & (~address.valid | address.ready)
            & ~issue
            & ~self.stop
        )
        m.d.comb += [bursts.i.valid.eq(issue), bursts.i.payload.eq(burst)]
        beat_address = Signal.like(burst.address, reset_less=True)
        length = Signal(8, reset_less=True)
        with m.If(issue):
            m.d.sync += [
                address.valid.eq(1),
                beat_address.eq(burst.address),
                length.eq(planned.beats - 1),
            ]
        with m.Elif(address.ready):
            m.d.sync += address.valid.eq(0)
        m.d.comb += [address.addr.eq(beat_address << self._byte_bits), address.len.eq(length)]
        drive_address_constants(m, address, config.port_bytes)
        m.d.comb += self.on_bus.eq(issue | address.valid | bursts.o.valid)

    def _finish(self, m: Module, under_way, finished: Signal) -> None:
        """Report ends in program order; data may end an instruction before an earlier LOAD."""
        loaded = Signal(range(COMMANDS_UNDER_WAY + 1))
        received = Signal(range(COMMANDS_UNDER_WAY + 1))
        is_load = under_way.o.payload == Path.LOAD
        done = Signal()
        m.d.comb += [
            done.eq(under_way.o.valid & Mux(is_load, loaded != 0, received != 0)),
            under_way.o.ready.eq(done),
        ]
        # Much hangs on the end of an instruction.
        m.d.sync += [
            self.done.eq(done),
            loaded.eq(loaded + self.load_done - (done & is_load)),
            received.eq(received + finished - (done & ~is_load)),
        ]
