"""Interpreter of programs: executes them in program order with the units' golden functions."""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mla_hw.golden.activation_buffer import place_elements, row_offset
from mla_hw.golden.arithmetic import Ints
from mla_hw.golden.buffers import memory_contents
from mla_hw.golden.context_accumulator import accumulate_context
from mla_hw.golden.dispatcher import Resolved, resolve
from mla_hw.golden.loader import interleave_rows, load_elements, spread_places
from mla_hw.golden.norm import rms_norm
from mla_hw.golden.normalize import normalize_context
from mla_hw.golden.pack import pack_row
from mla_hw.golden.requantizer import requantize
from mla_hw.golden.rope import rotate_pairs
from mla_hw.golden.score_unit import scale_scores
from mla_hw.golden.softmax import ShiftControl, SoftmaxState, softmax_tile
from mla_hw.hardware import CONSTANT_BANKS, CoreConfig
from mla_hw.program.image import MemoryMap
from mla_hw.program.instructions import ADDRESS_OFFSET_BITS, FIELDS, Engine
from mla_hw.program.program import Program

__all__ = ["Machine"]

_LOCAL_MASK = (1 << ADDRESS_OFFSET_BITS) - 1


class Machine:
    """The core as the program sees it: memory, on-chip buffers, and what instructions do.

    Parameters
    ----------
    core : CoreConfig
    program : Program
    memory_map : MemoryMap
    image : bytes
        Everything but the cache; copied.
    constants : dict
        Index of each layer constant, for naming saturations.

    Attributes
    ----------
    memory : [bytes] uint8
        Whole memory, the cache included.
    saturated : Counter
        Saturations by tensor since the start.
    """

    def __init__(
        self,
        core: CoreConfig,
        program: Program,
        memory_map: MemoryMap,
        image: bytes,
        constants: Mapping[str, int],
    ) -> None:
        self.core, self.program, self.map = core, program, memory_map
        self.memory = np.zeros(memory_map.size, np.uint8)
        self.memory[: len(image)] = np.frombuffer(image, np.uint8)
        self.saturated: Counter[str] = Counter()
        self._constant_names = {index: name for name, index in constants.items()}
        rows, lane_count = core.rows, core.groups << core.lane_bits
        self.halves = np.zeros((2, core.activation_depth, rows), np.int64)
        self.scratch = np.zeros(core.scratch_depth, np.int64)
        self.output = np.zeros(core.output_words * core.port_bytes // 2, np.int64)
        self.row = np.zeros(core.row_bytes, np.uint8)
        self.staging = np.zeros(core.kv_lora_rank + core.qk_rope_head_dim, np.int64)
        self.table = np.zeros(core.query_rows * core.qk_rope_head_dim, np.int64)
        self.constants = np.zeros(core.constants, np.int64)
        self.ring = np.zeros(
            (core.ring_blocks * core.columns, core.token_words * core.columns), np.int64
        )
        self.products = np.zeros(
            (core.product_blocks * core.columns, core.product_words * core.columns), np.int64
        )
        self.ring_scale = np.zeros(core.ring_blocks * core.columns, np.int64)
        self.scores = np.zeros(core.score_depth, np.int64)
        self.scales = np.zeros(core.groups * core.tile_limit, np.int64)
        self.maxima = np.zeros(lane_count, np.int64)
        self.running_maxima = np.zeros(max(2, 1 << core.lane_bits), np.int64)
        self.requantize_constants = np.zeros((CONSTANT_BANKS, core.columns), np.int64)
        self.context = np.zeros((core.context_depth, core.accumulator_lanes), np.int64)
        self.states: list[SoftmaxState | None] = [None] * lane_count
        self.controls: list[ShiftControl | None] = [None] * lane_count
        self._stream: deque[tuple[int, int]] = deque()
        self._stream_pointer = 0
        self._decoded: dict[tuple[int, int], tuple[NDArray[np.float64], Ints]] = {}
        self.restart()

    def restart(self) -> None:
        """Do what the core's reset of its units does; contents of memories stay."""
        self._fill_block = self._read_block = self._tile_blocks = 0
        self._bank = 0

    def write_hidden(self, rows: Ints) -> None:
        """Put hidden states, already quantised, where the core reads them.

        Parameters
        ----------
        rows : [hidden_size] or [query_rows, hidden_size] int16
        """
        rows = np.asarray(rows, np.int64).reshape(self.core.query_rows, -1)
        self._poke("x", interleave_rows(self.core, rows).astype("<i2"))

    def buffers(self) -> dict[str, Ints]:
        """Return the contents of the on-chip memories by their place in the core's hierarchy."""
        return memory_contents(self)

    def y(self) -> Ints:
        """Return the result that the last run left in memory.

        Returns
        -------
        [hidden_size] int64, [query_rows, hidden_size] with several query rows
        """
        rows = self.map.y_rows(self.memory)
        return rows[0] if self.core.query_rows == 1 else rows

    def cache_row(self, position: int, row: int = 0) -> NDArray[np.uint8]:
        """Bytes of one row of a query row's cache in memory."""
        start = self.map.cache_base(row) + position * self.core.row_bytes
        return self.memory[start : start + self.core.row_bytes]

    def run(self, position: int | Sequence[int], *, attention: bool = True) -> None:
        """Execute the program for the token at a position.

        Parameters
        ----------
        position : int or sequence of int
            Rows that the cache holds already, by query row, or of all.
        attention : bool
            False stops behind the STORE of the last cache row: what a prefill needs.
        """
        self._stream.clear()
        self._stream_pointer = self.map.regions["weights"].offset
        bases = [region.offset for region in self.map.regions.values()]
        rows_left = self.core.query_rows
        for command in resolve(
            self.program.instructions,
            position=position,
            tile_tokens=self.core.tile_tokens,
            bases=bases,
            port_bytes=self.core.port_bytes,
            caches=self.map.cache_bases,
        ):
            if command.engine is not Engine.DISPATCHER:
                _HANDLERS[command.name](self, command)
            rows_left -= command.name == "STORE"
            if not attention and not rows_left:
                return

    # Reader.

    def _load(self, command: Resolved) -> None:
        f = command.fields
        target, start, count = _choice(f, "target"), f["address"], f["k"]
        if target == "spread":
            source, places, lanes = spread_places(self.core, f["c"], count)
            values = self._peek(start, int(source.max()) + 1, "<i2")
            self.halves[0, places, lanes] = values[source]
        elif target == "lanes":
            values = load_elements(self.memory[start : start + count].tobytes(), target, count)
            elements = f["c"] + np.arange(count)
            lanes, places = place_elements(self.core, elements, lanes=True)
            there = lanes < self.core.rows
            self.halves[0, places[there], lanes[there]] = values[there]
        elif target == "table":
            first = 2 * f["c"]
            self.table[first : first + 2 * count] = self._peek(start, 2 * count, "<i2")
        else:
            self.constants[f["c"] : f["c"] + count] = self._peek(start, count, "<u4")

    def _start_stream(self, command: Resolved) -> None:
        f = command.fields
        size = f["n"] * self.core.port_bytes
        self._stream.append((self._stream_pointer, size - f["k"] * self.core.columns))
        self._stream_pointer += size

    def _fill_tile(self, command: Resolved) -> None:
        core, f = self.core, command.fields
        tokens, width = f["n"], core.token_words * core.columns
        raw = self.memory[f["address"] : f["address"] + tokens * core.row_bytes]
        rows = raw.reshape(tokens, core.row_bytes)
        first = self._fill_block * core.columns
        places = (first + np.arange(tokens)) % len(self.ring)
        self.ring[places] = rows[:, :width].view(np.int8)
        scale = rows[:, width : width + 2].copy().view("<u2")[:, 0]
        self.ring_scale[places] = scale
        self._tile_blocks = -(-tokens // core.columns)
        self._fill_block = (self._fill_block + self._tile_blocks) % core.ring_blocks

    # Array.

    def _matmul(self, command: Resolved) -> None:
        {
            "project": self._project,
            "score": self._score,
            "context": self._context,
            "expand": self._expand,
        }[_choice(command.fields, "mode")](command.fields)

    def _project(self, f: Mapping[str, int]) -> None:
        half, layout = _choice(f, "source").split("_")
        take = self._get_spread if layout == "spread" else self._get_lane
        operands = np.array([
            take(int(half == "vector"), f["a"] + self._row_offset(row), f["k"])
            for row in range(self.core.query_rows)
        ])
        steps = 0 if f["product"] else f["k"]
        weights, multiplier = self._next_tiles(-(-f["n"] // self.core.columns), steps)
        if f["product"]:
            weights = self.products[: f["k"], : f["n"]].astype(np.float64)
        for constants in multiplier.reshape(-1, self.core.columns):
            self.requantize_constants[self._bank] = constants
            self._bank = (self._bank + 1) % CONSTANT_BANKS
        # Exact: sums stay far below 2^53.
        acc = (operands.astype(np.float64) @ weights).astype(np.int64)[:, : f["n"]]
        shifts = int(self.constants[f["constant"]])
        results, saturated = requantize(acc, multiplier[: f["n"]], shifts & 31, shifts >> 8 & 31)
        self._count(self._constant_names[f["constant"]], saturated)
        target = _choice(f, "target")
        for row, values in enumerate(results):
            start = (f["c"] + row * f["b"]) & _LOCAL_MASK
            if target == "scratch":
                self.scratch[start : start + f["n"]] = values
            elif target == "output":
                self.output[start : start + f["n"]] = values
            elif target == "spread":
                self._put_spread(0, start, values)
            else:
                self._put_lane(0, start, values)

    def _expand(self, f: Mapping[str, int]) -> None:
        core, rows, n, k = self.core, f["rows"], f["n"], f["k"]
        start = f["a"] >> core.lane_bits
        operands = self.halves[0, start : start + k, :rows].T.astype(np.float64)
        by_row = _choice(f, "target") == "row"
        if by_row:
            streamed = self.ring[self._tile_places(k)][:, f["b"] : f["b"] + n]
        else:
            streamed = self.ring[self._tile_places(n)][:, :k].T
        acc = (operands @ streamed.astype(np.float64)).astype(np.int64)
        constant = int(self.constants[f["constant"]])
        factor = np.full(n, constant >> 16 & 32767)
        values, saturated = requantize(acc, factor, constant & 31, constant >> 8 & 31, bits=8)
        self._count(self._constant_names[f["constant"]], saturated)
        row, channel = divmod(f["c"], 1 << core.product_bits)
        if by_row:
            self.products[row : row + rows, channel : channel + n] = values
        else:
            self.products[row : row + n, channel : channel + rows] = values.T
        self._release(f)

    def _score(self, f: Mapping[str, int]) -> None:
        core, tokens, rows = self.core, f["n"], f["rows"]
        channels, rope = core.key_channels, core.qk_rope_head_dim
        start, key = f["a"] >> core.lane_bits, f["b"] >> core.lane_bits
        queries = np.concatenate([
            self.halves[0, start : start + channels, :rows],
            self.halves[1, key : key + rope, :rows],
        ])
        places = self._tile_places(tokens)
        latents = self.ring[places]
        key_start = core.latent_words * core.columns
        first = latents[:, :channels]
        if core.product_keys:
            values = core.product_values
            first = self.products[:tokens, values : values + channels]
        keys = np.concatenate([first, latents[:, key_start : key_start + rope]], axis=1)
        acc = (keys.astype(np.float64) @ queries.astype(np.float64)).astype(np.int64).T
        shifts, scale = int(self.constants[f["constant"]]), self.ring_scale[places]
        scores, saturated = scale_scores(acc, scale, shifts & 31, shifts >> 8 & 31)
        self._count("scores", saturated)
        for row in range(rows):
            address = f["c"] + row * core.tile_limit
            self.scores[address : address + tokens] = scores[row]
            largest = scores[row].max()
            self.maxima[f["group"] << core.lane_bits | row] = self.running_maxima[row] = largest
        start = f["group"] * core.tile_limit
        self.scales[start : start + tokens] = scale

    def _context(self, f: Mapping[str, int]) -> None:
        core, tokens, rows, n = self.core, f["k"], f["rows"], f["n"]
        start = f["a"] >> core.lane_bits
        probabilities = self.halves[1, start : start + tokens, :rows]
        latents = self.ring[self._tile_places(tokens)][:, :n]
        if core.product_values:
            latents = self.products[:tokens, :n]
        sums = (probabilities.T.astype(np.float64) @ latents.astype(np.float64)).astype(np.int64)
        for row in range(rows):
            control = self.controls[f["group"] << core.lane_bits | row]
            assert control is not None, "SOFTMAX goes before the context product"
            slot, lane = divmod(row, core.accumulator_lanes)
            address = f["c"] + slot * core.value_channels
            held = self.context[address : address + n, lane]
            held[:] = accumulate_context(held, sums[row], control)
        self._release(f)

    def _release(self, f: Mapping[str, int]) -> None:
        if f["release"]:
            self._read_block = (self._read_block + self._tile_blocks) % self.core.ring_blocks

    # Vector engine.

    def _norm(self, command: Resolved) -> None:
        f = command.fields
        epsilon = int(self.constants[f["constant"]]) | (
            int(self.constants[f["constant"] + 1]) << 32
        )
        values = rms_norm(self.scratch[f["a"] : f["a"] + f["k"]], epsilon)
        if _choice(f, "target") == "row":
            self.staging[f["c"] : f["c"] + f["k"]] = values
        else:
            self._put_spread(1, f["c"], values)

    def _rope(self, command: Resolved) -> None:
        f, core = command.fields, self.core
        heads, dim = f["n"], f["k"]
        values = self.scratch[f["a"] : f["a"] + heads * dim].reshape(heads, dim)
        rotated, saturated = rotate_pairs(values, self.table[2 * f["b"] :][:dim])
        self._count("k_rope" if _choice(f, "target") == "row" else "q_rope", saturated)
        if _choice(f, "target") == "row":
            self.staging[f["c"] : f["c"] + dim] = rotated[0]
            return
        for head in range(heads):
            group, lane = divmod(head, core.rows)
            self._put_lane(1, f["c"] + (group * dim << core.lane_bits) + lane, rotated[head])

    def _softmax(self, command: Resolved) -> None:
        f, core = command.fields, self.core
        tokens = f["n"]
        start = f["group"] * core.tile_limit
        scale = self.scales[start : start + tokens]
        for row in range(f["rows"]):
            head = f["group"] << core.lane_bits | row
            address = f["a"] + row * core.tile_limit
            probabilities, self.states[head], self.controls[head] = softmax_tile(
                self.scores[address : address + tokens],
                scale,
                None if f["first"] else self.states[head],
            )
            self._put_lane(1, f["c"] + row, probabilities)

    def _normalize(self, command: Resolved) -> None:
        f, core = command.fields, self.core
        lane = f["a"] & ((1 << core.context_lane_bits) - 1)
        start, state = f["a"] >> core.context_lane_bits, self.states[f["b"]]
        assert state is not None, "SOFTMAX goes before NORMALIZE"
        ctx, saturated = normalize_context(
            self.context[start : start + f["k"], lane],
            state.total,
            int(self.constants[f["constant"]]) & 63,
        )
        self._count("ctx", saturated)
        if core.query_rows == 1:
            self._put_lane(1, f["c"], ctx)
        else:
            self._put_spread(1, f["c"], ctx)

    def _pack(self, command: Resolved) -> None:
        f, core = command.fields, self.core
        constant, kv, rope = int(self.constants[f["constant"]]), f["k"], f["n"]
        latents, key, scale, saturated = pack_row(
            self.staging[:kv],
            self.staging[kv : kv + rope],
            constant & 0xFFFF,
            constant >> 16 & 31,
        )
        self._count("key", saturated)
        self.row[:] = 0
        self.row[:kv] = latents.astype(np.int8).view(np.uint8)
        start = core.latent_words * core.columns
        self.row[start : start + rope] = key.astype(np.int8).view(np.uint8)
        start = core.token_words * core.columns
        self.row[start : start + 2] = np.array([scale], "<u2").view(np.uint8)

    # Writer.

    def _store(self, command: Resolved) -> None:
        f = command.fields
        size = f["n"] * self.core.port_bytes
        if _choice(f, "target") == "row":
            data = self.row
        else:
            data = self.output.astype("<i2").view(np.uint8)
        self.memory[f["address"] : f["address"] + size] = data[:size]

    # Storage.

    def _tile_places(self, tokens: int) -> Ints:
        first = self._read_block * self.core.columns
        return np.asarray((first + np.arange(tokens)) % len(self.ring), np.int64)

    def _next_tiles(self, tiles: int, steps: int) -> tuple[NDArray[np.float64], Ints]:
        """Take the next tiles off the weight stream: [steps, channels] and the constants."""
        columns = self.core.columns
        size = tiles * (2 + steps) * columns
        offset, left = self._stream.popleft()
        assert size <= left, "one STREAM holds whole products"
        if left > size:
            self._stream.appendleft((offset + size, left - size))
        if (offset, size) not in self._decoded:
            raw = self.memory[offset : offset + size].reshape(tiles, 2 + steps, columns)
            constants = raw[:, :2].reshape(tiles, -1).copy().view("<i2").ravel()
            weights = raw[:, 2:].view(np.int8).transpose(1, 0, 2).reshape(steps, tiles * columns)
            self._decoded[offset, size] = weights.astype(np.float64), constants.astype(np.int64)
        return self._decoded[offset, size]

    def _row_offset(self, row: int) -> int:
        return row_offset(self.core.query_rows, row)

    def _get_spread(self, half: int, element: int, count: int) -> Ints:
        lanes, places = place_elements(self.core, element + np.arange(count), lanes=False)
        return np.asarray(self.halves[half, places, lanes], np.int64)

    def _put_spread(self, half: int, element: int, values: Ints) -> None:
        lanes, places = place_elements(self.core, element + np.arange(len(values)), lanes=False)
        self.halves[half, places, lanes] = values

    def _get_lane(self, half: int, element: int, count: int) -> Ints:
        bits = self.core.lane_bits
        start, lane = element >> bits, element & ((1 << bits) - 1)
        return self.halves[half, start : start + count, lane]

    def _put_lane(self, half: int, element: int, values: Ints) -> None:
        bits = self.core.lane_bits
        start, lane = element >> bits, element & ((1 << bits) - 1)
        self.halves[half, start : start + len(values), lane] = values

    def _peek(self, offset: int, count: int, dtype: str) -> Ints:
        size = count * np.dtype(dtype).itemsize
        return self.memory[offset : offset + size].view(dtype).astype(np.int64)

    def _poke(self, region: str, values: NDArray[np.generic]) -> None:
        raw = values.view(np.uint8)
        start = self.map.regions[region].offset
        self.memory[start : start + len(raw)] = raw

    def _count(self, place: str, saturated: int) -> None:
        if saturated:
            self.saturated[place] += saturated


def _choice(fields: Mapping[str, int], name: str) -> str:
    return FIELDS[name].choices[fields[name]]


_HANDLERS: dict[str, Callable[[Machine, Resolved], None]] = {
    "LOAD": Machine._load,
    "STREAM": Machine._start_stream,
    "TILE": Machine._fill_tile,
    "MATMUL": Machine._matmul,
    "NORM": Machine._norm,
    "ROPE": Machine._rope,
    "SOFTMAX": Machine._softmax,
    "NORMALIZE": Machine._normalize,
    "PACK": Machine._pack,
    "STORE": Machine._store,
}
