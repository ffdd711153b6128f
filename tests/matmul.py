"""What surrounds the array engine: memories, streams and the expected results of MATMUL."""

from dataclasses import dataclass, field
from itertools import cycle

import numpy as np

from mla_hw.cycles.activation_buffer import ACTIVATION_READ_LATENCY
from mla_hw.cycles.latent_ring import LATENT_READ_LATENCY
from mla_hw.cycles.matmul_sequencer import tiles
from mla_hw.cycles.simple_memory import MEMORY_READ_LATENCY
from mla_hw.golden.activation_buffer import place_elements, row_offset
from mla_hw.program.instructions import FIELDS
from tests.streams import simulate

MODES = FIELDS["mode"].choices
SOURCES = FIELDS["source"].choices
TARGETS = FIELDS["target"].choices


def modes(config):
    """Modes that a core has."""
    return MODES if config.product_blocks else MODES[:3]


def target_of(command):
    return TARGETS[command["target"]]


def is_by_row(command):
    """Whether ring or product rows are read by row."""
    return MODES[command["mode"]] == "context" or target_of(command) == "row"


def released_blocks(config, command):
    """Blocks of the command's tile."""
    return tiles(config, command["k"] if is_by_row(command) else command["n"])


@dataclass
class Tile:
    """One tile: what the array multiplies and where in the ring it is."""

    a: np.ndarray
    b: np.ndarray
    columns: int
    block: int = 0


@dataclass
class Trace:
    """What was seen, each with its cycle."""

    starts: list = field(default_factory=list)
    dones: list = field(default_factory=list)
    events: dict = field(default_factory=dict)
    stalls: list = field(default_factory=list)

    def cycles(self, name):
        return [now for now, _ in self.events[name]]

    def values(self, name):
        return [value for _, value in self.events[name]]


def command(config, mode, *, k=1, n=1, rows=1, source=0, target=0, **fields):
    """Return an array command; source and target by name.

    Several query rows are projected from the layout spread whatever the source.
    """
    if mode == "project" and config.query_rows > 1:
        source = source.replace("lanes", "spread") if source else 0
    return {
        "mode": MODES.index(mode),
        "source": SOURCES.index(source) if source else 0,
        "target": TARGETS.index(target) if target else 0,
        "k": k,
        "n": n,
        "rows": rows,
        "release": 0,
        "product": 0,
        "constant": 1,
        "group": 0,
        "a": 0,
        "b": 0,
        "c": 0,
        **fields,
    }


class Surroundings:
    """Random memories; weights are made while the commands are looked at."""

    def __init__(self, config, seed=0):
        self.config, self.rng = config, np.random.default_rng(seed)
        integers = self.rng.integers
        shape = (2, config.activation_depth, config.rows)
        self.halves = integers(-(1 << 15), 1 << 15, shape)
        tokens, width = config.ring_blocks * config.columns, config.token_words * config.columns
        self.ring = integers(-128, 128, (tokens, width))
        rows, width = config.product_blocks * config.columns, config.product_words * config.columns
        self.products = integers(-128, 128, (rows, width))
        self.constants = integers(0, 1 << 32, config.constants).tolist()
        self.words: list[list[int]] = []
        self.base = 0
        self.blocks = 0

    def vector(self, half, element, count, layout):
        """Elements in a row, as a projection reads them."""
        if layout == "spread":
            elements = element + np.arange(count)
        else:
            elements = element + (np.arange(count) << self.config.lane_bits)
        lane, address = place_elements(self.config, elements, lanes=layout == "lanes")
        return self.halves[half, address, lane]

    def tiles(self, command):
        """Return the tiles of a command; append its weights, free its blocks."""
        config, columns = self.config, self.config.columns
        mode, n, k = MODES[command["mode"]], command["n"], command["k"]
        count = tiles(config, n)
        true_columns = [min(columns, n - tile * columns) for tile in range(count)]
        if mode == "project":
            half, layout = SOURCES[command["source"]].split("_")
            a = np.zeros((k, config.rows), np.int64)
            for row in range(config.query_rows):
                start = command["a"] + row_offset(config.query_rows, row)
                a[:, row] = self.vector(int(half == "vector"), start, k, layout)
            out = []
            for tile, true in enumerate(true_columns):
                words = self.rng.integers(-128, 128, (2 if command["product"] else k + 2, columns))
                self.words += (words & 255).tolist()
                part = slice(tile * columns, (tile + 1) * columns)
                out.append(
                    Tile(a, self.products[:k, part] if command["product"] else words[2:], true)
                )
            return out
        if mode == "expand":
            return self._expand(command, true_columns)
        if mode == "score":
            channels, rope = config.key_channels, config.qk_rope_head_dim
            start, key = command["a"] >> config.lane_bits, command["b"] >> config.lane_bits
            a = np.concatenate([
                self.halves[0, start : start + channels],
                self.halves[1, key : key + rope],
            ])
            out = []
            for tile, true in enumerate(true_columns):
                block = (self.base + tile) % config.ring_blocks
                rows = self.ring[block * columns : (block + 1) * columns]
                offset = config.latent_words * columns
                first = rows[:, :channels]
                if config.product_keys:
                    values = config.product_values
                    held = self.products[tile * columns : (tile + 1) * columns]
                    first = held[:, values : values + channels]
                b = np.concatenate([first, rows[:, offset : offset + rope]], axis=1).T
                out.append(Tile(a, b, true, block))
            self.blocks = max(self.blocks, count)
            return out
        start = command["a"] >> config.lane_bits
        a = self.halves[1, start : start + k]
        streamed = self.products[:k]
        if not config.product_values:
            streamed = self.ring[(self.base * columns + np.arange(k)) % len(self.ring)]
        out = [
            Tile(a, streamed[:, tile * columns : (tile + 1) * columns], true)
            for tile, true in enumerate(true_columns)
        ]
        self._release(command)
        return out

    def _expand(self, command, true_columns):
        """Weights in the rows of the array times the tile, by column or by row."""
        config, columns, k = self.config, self.config.columns, command["k"]
        start = command["a"] >> config.lane_bits
        a = self.halves[0, start : start + k]
        count = k if is_by_row(command) else len(true_columns) * columns
        held = self.ring[(self.base * columns + np.arange(count)) % len(self.ring)]
        out = []
        for tile, true in enumerate(true_columns):
            if is_by_row(command):
                first = command["b"] + tile * columns
                out.append(Tile(a, held[:, first : first + columns], true))
            else:
                block = (self.base + tile) % config.ring_blocks
                b = held[tile * columns : (tile + 1) * columns, :k].T
                out.append(Tile(a, b, true, block))
        self._release(command)
        return out

    def _release(self, command):
        if command["release"]:
            blocks = released_blocks(self.config, command)
            self.base = (self.base + blocks) % self.config.ring_blocks


def run(
    dut,
    surroundings,
    commands,
    *,
    events=(),
    command_pauses=(0,),
    weight_pauses=(0,),
    fills=None,
    end=None,
    max_cycles=20_000,
):
    """Let the unit execute the commands; return a :class:`Trace`.

    Parameters
    ----------
    events : iterable of str
        Outputs with ``en`` that are recorded.
    command_pauses, weight_pauses : iterable of int
        Idle cycles before each transfer, repeating.
    fills : list of int
        Cycles in which one more block is complete; by default the ring is always full.
    end : callable of Trace
        Whether to stop.
    """
    config = surroundings.config
    trace = Trace(events={name: [] for name in (*events, "release")})
    pending = [*commands]
    words = [*surroundings.words]
    pauses = {"command": cycle(command_pauses), "weights": cycle(weight_pauses)}

    async def bench(ctx):
        wait = {name: next(counts) for name, counts in pauses.items()}
        operands, latents = [None] * ACTIVATION_READ_LATENCY, [None] * LATENT_READ_LATENCY
        constants = [0] * MEMORY_READ_LATENCY
        released, now = 0, 0
        while not end(trace):
            for name, queue in (("command", pending), ("weights", words)):
                port = getattr(dut, name)
                ctx.set(port.valid, bool(queue) and wait[name] == 0)
                if queue:
                    ctx.set(port.payload, queue[0])
            complete = config.ring_blocks if fills is None else sum(f <= now for f in fills)
            filled = complete if fills is None else min(config.ring_blocks, complete - released)
            ctx.set(dut.filled, filled)
            if operands[0] is not None:
                ctx.set(dut.operands, operands[0])
                ctx.set(dut.latents, latents[0])
            ctx.set(dut.constants.data, constants[0])

            operands = [*operands[1:], _read_operands(ctx, dut, surroundings)]
            latents = [*latents[1:], _read_ring(ctx, dut, surroundings)]
            constant = surroundings.constants[ctx.get(dut.constants.address)]
            constants = [*constants[1:], constant]
            for name, queue in (("command", pending), ("weights", words)):
                port = getattr(dut, name)
                if wait[name]:
                    wait[name] -= 1
                elif queue and ctx.get(port.ready):
                    queue.pop(0)
                    wait[name] = next(pauses[name])
                    if name == "command":
                        trace.starts.append(now)
            if amount := ctx.get(dut.release):
                released += amount
                trace.events["release"].append((now, amount))
            for name in events:
                port = getattr(dut, name)
                if name == "context":
                    for lane in range(config.accumulator_lanes):
                        if ctx.get(port[lane].en):
                            trace.events[name].append((now, (lane, ctx.get(port[lane]))))
                elif ctx.get(port.en):
                    trace.events[name].append((now, ctx.get(port)))
            trace.stalls.append(ctx.get(dut.stall.as_value()))
            if hasattr(dut, "done") and ctx.get(dut.done):
                trace.dones.append(now)
            await ctx.tick()
            now += 1
        trace.left = len(words)

    simulate(dut, bench, max_cycles=max_cycles)
    assert trace.left == 0, "weights are left over"
    return trace


def _read_operands(ctx, dut, surroundings):
    read = ctx.get(dut.operand_read)
    lanes = surroundings.halves[
        read.half, min(read.address, surroundings.config.activation_depth - 1)
    ]
    if read.single:
        config = surroundings.config
        own = [(row << config.spread_bits) + read.lane for row in range(config.query_rows)]
        values = [int(lanes[lane if lane < len(lanes) else 0]) for lane in own]
        return values + [0] * (len(lanes) - len(values))
    return lanes.tolist()


def _read_ring(ctx, dut, surroundings):
    read, config = ctx.get(dut.ring_read), surroundings.config
    columns = config.columns
    rows = surroundings.ring
    if config.product_blocks and read.product:
        rows = surroundings.products
    word = min(read.word, rows.shape[1] // columns - 1)
    # A request that nobody takes may lie behind the last block.
    first = min(read.block, len(rows) // columns - 1) * columns
    block = rows[first : first + columns]
    if read.column:
        return block[:, word * columns + read.index].tolist()
    return block[read.index, word * columns : (word + 1) * columns].tolist()
