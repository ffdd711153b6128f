"""Test bench of the reader: what is around it in the core, and a log of what happens."""

from collections import Counter

import numpy as np
from amaranth.hdl import Module, ResetInserter
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from mla_hw.cycles.reader import Path, ReadCommand, ReaderModel
from mla_hw.cycles.width_adapter import words_per_beat
from mla_hw.golden.loader import ELEMENT_BYTES, LOAD_TARGETS, load_elements
from mla_hw.program.instructions import INSTRUCTIONS
from rtl_gen.axi import axi4_read_signature
from rtl_gen.layouts import reader_command_layout
from rtl_gen.units.latent_ring import tile_layout
from rtl_gen.units.loader import Loader
from rtl_gen.units.reader import Reader
from rtl_gen.units.simple_memory import memory_write_layout
from rtl_gen.units.width_adapter import WidthAdapter, column_word_layout, port_word_layout
from tests.axi import AxiMemory
from tests.streams import pause, put, simulate

__all__ = ["Bench", "Run", "commands_for", "encode"]

MEMORY_BYTES = 1 << 16
WEIGHTS_BASE = 0x4000


class Bench(Component):
    """Reader with the real loader behind it, and the width adapter of the latents."""

    def __init__(self, config):
        self.config = config
        super().__init__({
            "command": In(stream.Signature(reader_command_layout())),
            "axi": Out(axi4_read_signature(data_bits=8 * config.port_bytes)),
            "start": In(1),
            "stop": In(1),
            "on_bus": Out(1),
            "weights_base": In(32),
            "weights": Out(stream.Signature(port_word_layout(config))),
            "weights_freed": In(1),
            "tile": Out(stream.Signature(tile_layout())),
            "latents": Out(stream.Signature(column_word_layout(config))),
            "latent_beat": Out(1),
            "release": In(range(config.ring_blocks + 1)),
            "program": Out(memory_write_layout(32, 12 * config.program_depth)),
            "done": Out(1),
            "error": Out(1),
            "error_address": Out(32),
        })

    def elaborate(self, platform):
        m = Module()
        reader = Reader(self.config)
        m.submodules.reader = ResetInserter(self.start)(reader)
        m.submodules.loader = loader = Loader(self.config)
        m.submodules.adapter = adapter = WidthAdapter(self.config)
        connect(m, flipped(self.command), reader.command)
        connect(m, reader.axi.ar, flipped(self.axi.ar))
        connect(m, reader.axi.r, flipped(self.axi.r))
        connect(m, reader.weights, flipped(self.weights))
        connect(m, reader.tile, flipped(self.tile))
        connect(m, reader.latents, adapter.i)
        connect(m, adapter.o, flipped(self.latents))
        connect(m, reader.load_command, loader.command)
        connect(m, reader.load, loader.i)
        m.d.comb += [
            reader.load_done.eq(loader.done),
            reader.start.eq(self.start),
            reader.stop.eq(self.stop),
            self.on_bus.eq(reader.on_bus),
            reader.weights_base.eq(self.weights_base),
            reader.weights_freed.eq(self.weights_freed),
            reader.release.eq(self.release),
            self.latent_beat.eq(reader.latents.valid & reader.latents.ready),
            self.program.eq(loader.program),
            self.done.eq(reader.done),
            self.error.eq(reader.error),
            self.error_address.eq(reader.error_address),
        ]
        return m


def block_beats(config, command):
    """Return the beats of each block of a TILE."""
    tokens = range(0, command.tokens, config.columns)
    return [min(config.columns, command.tokens - token) * config.row_beats for token in tokens]


def commands_for(config, rng, count):
    """Return random instructions of all kinds and alignments; padding words of STREAMs."""
    commands, paddings = [], []
    for _ in range(count):
        beat = int(rng.integers(200))
        name = rng.choice(["LOAD", "STREAM", "TILE"])
        beats = int(rng.choice([1, 2, 16, int(rng.integers(1, 60))]))
        commands.append(
            ReadCommand(
                str(name),
                address=beat * config.port_bytes,
                beats=0 if name == "TILE" else beats,
                tokens=int(rng.integers(1, config.tile_tokens + 1)) if name == "TILE" else 0,
                target="program",
            )
        )
        paddings.append(int(rng.integers(words_per_beat(config))) if name == "STREAM" else 0)
    return commands, paddings


def encode(config, command, padding, destination=0):
    """Return the payload of a command; fields that it does not use hold rubbish."""
    elements = {
        "LOAD": command.beats * config.port_bytes // ELEMENT_BYTES["program"],
        "STREAM": padding,
        "TILE": 0x5555,
    }
    return {
        "opcode": INSTRUCTIONS[command.name].opcode,
        "target": LOAD_TARGETS[command.target],
        "address": command.address if command.name != "STREAM" else 0xFFFF0,
        "beats": command.beats or 0x333333,
        "tokens": command.tokens or 0x7777,
        "elements": elements[command.name],
        "destination": destination,
    }


class Run:
    """Simulate instructions; note the cycle of everything that happens.

    ``offers``: cycles between an instruction that is accepted and the next offer. ``holds``: word n
    of the weights is freed ``holds[n]`` cycles after it came, and block n of the ring released that
    long after its last beat was taken, but never before the one before it.
    """

    def __init__(self, config, commands, paddings, *, offers=(0,), holds=(1,), **memory):
        self.config, self.commands, self.paddings = config, commands, paddings
        self.offers, self.holds = offers, holds
        self.content = bytearray(np.random.default_rng(7).bytes(MEMORY_BYTES))
        self.dut = Bench(config)
        self.memory = AxiMemory(self.dut.axi, self.content, port_bytes=config.port_bytes, **memory)
        self.starts, self.ends, self.offered = [], [], []
        self.weights, self.latents, self.tiles, self.entries = [], [], [], []
        self._blocks = [beats for command in commands for beats in block_beats(config, command)]
        simulate(
            self.dut, self._give, self._watch, background=[self.memory.reads], max_cycles=60_000
        )
        self.bursts = self.memory.read_bursts

    def hold(self, index):
        return self.holds[index % len(self.holds)]

    async def _give(self, ctx):
        ctx.set(self.dut.weights_base, WEIGHTS_BASE)
        ctx.set(self.dut.start, 1)
        await ctx.tick()
        ctx.set(self.dut.start, 0)
        for index, (command, padding) in enumerate(zip(self.commands, self.paddings, strict=True)):
            await pause(ctx, self.offers[index % len(self.offers)])
            await put(ctx, self.dut.command, encode(self.config, command, padding))

    async def _watch(self, ctx):
        dut, cycle, freed, released = self.dut, 0, 0, 0
        freeing, releasing = Counter(), Counter()
        beats, block_ends = 0, np.cumsum(self._blocks).tolist()
        ctx.set(dut.tile.ready, 1)
        ctx.set(dut.latents.ready, 1)
        words = sum(self._blocks) * self.config.port_bytes // self.config.columns
        while len(self.ends) < len(self.commands) or len(self.latents) < words:
            (
                _,
                _,
                start,
                end,
                weight,
                data,
                valid,
                beat,
                latent,
                lanes,
                tile,
                tokens,
                entry,
            ) = await ctx.tick().sample(
                dut.command.valid & dut.command.ready,
                dut.done,
                dut.weights.valid,
                dut.weights.p.data,
                dut.weights.p.words,
                dut.latent_beat,
                dut.latents.valid,
                dut.latents.payload.as_value(),
                dut.tile.valid,
                dut.tile.p.tokens,
                dut.program,
            )
            if start:
                self.starts.append(cycle)
            if end:
                self.ends.append(cycle)
            if weight:
                self.weights.append((cycle, data, valid))
                freed = max(cycle + self.hold(len(self.weights) - 1), freed + 1)
                freeing[freed] += 1
            beats += beat
            if beat and beats in block_ends:
                released = max(cycle + self.hold(block_ends.index(beats)), released)
                releasing[released] += 1
            if latent:
                self.latents.append((cycle, lanes))
            if tile:
                self.tiles.append(tokens)
            if entry.en:
                self.entries.append(entry.data)
            cycle += 1
            ctx.set(dut.weights_freed, freeing[cycle])
            ctx.set(dut.release, releasing[cycle])

    def check_data(self):
        """Compare what arrives with the memory's content."""
        config, port = self.config, self.config.port_bytes
        pointer, weights, latents, entries = WEIGHTS_BASE, [], [], []
        full = words_per_beat(config)
        for command, padding in zip(self.commands, self.paddings, strict=True):
            if command.name == "LOAD":
                part = self.content[command.address : command.address + command.beats * port]
                entries.extend(load_elements(bytes(part), "program", len(part) // 4))
            elif command.name == "STREAM":
                for beat in range(command.beats):
                    word = int.from_bytes(self.content[pointer : pointer + port], "little")
                    pointer += port
                    weights.append((word, full - padding * (beat == command.beats - 1)))
            else:
                size = command.tokens * config.row_bytes
                for start in range(command.address, command.address + size, config.columns):
                    part = self.content[start : start + config.columns]
                    latents.append(int.from_bytes(part, "little"))
        assert [(word, words) for _, word, words in self.weights] == weights
        assert [word for _, word in self.latents] == latents
        assert self.tiles == [command.tokens for command in self.commands if command.tokens]
        assert self.entries == entries

    def predict(self):
        """Return the model's bursts, starts and ends, with the credits of this run."""
        model = ReaderModel(self.config, self.memory.latency)
        model.restart(WEIGHTS_BASE)
        freed, released = [], []
        block_ends = np.cumsum(self._blocks)

        def weight_freed(count):
            while len(freed) < count:
                arrival = model.arrivals[Path.WEIGHTS][len(freed)]
                after = freed[-1] if freed else 0
                freed.append(max(arrival + self.hold(len(freed)), after + 1))
            return freed[count - 1]

        def block_released(count):
            while len(released) < count:
                taken = model.left[Path.LATENTS][block_ends[len(released)] - 1]
                after = released[-1] if released else 0
                released.append(max(taken + self.hold(len(released)), after))
            return released[count - 1]

        times, offered = [], 1
        for index, command in enumerate(self.commands):
            times.append(
                model.execute(
                    command,
                    offered + self.offers[index % len(self.offers)],
                    weight_freed=weight_freed,
                    block_released=block_released,
                )
            )
            offered = times[-1].start + 1
        return times, model
