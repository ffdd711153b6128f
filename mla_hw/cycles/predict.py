"""Prediction of a run: start and end of every instruction, without stepping through cycles.

Engines, queues, semaphores and the fixed-latency memory pass time stamps to each other. Each engine
is a process that runs until it needs a time that is not known yet; the timing of a unit is stated
once, in its own module beside this one.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from mla_hw.cycles.array_engine import done_latency
from mla_hw.cycles.dispatcher import (
    HALT_LATENCY,
    LOAD_TO_FETCH,
    NEXT_FETCH,
    START_TO_CLEAR,
    START_TO_LOAD,
    issue_step,
)
from mla_hw.cycles.engine_queue import START_TO_PUSH, STARTED_DEPTH, earliest_start
from mla_hw.cycles.latent_ring import LATENT_FILL_LATENCY, block_complete_words, row_words
from mla_hw.cycles.matmul_sequencer import (
    BLOCK_LATENCY,
    COMMAND_LATENCY,
    COMMAND_TO_COMMAND,
    CONSTANT_WORDS,
    RELEASE_LATENCY,
    tile_spacing,
    tile_start,
    tile_steps,
    tiles,
)
from mla_hw.cycles.reader import Path, ReadCommand, ReaderModel
from mla_hw.cycles.sdram import SdramTiming
from mla_hw.cycles.timeline import NO_STALLS, Stalls, TimedInstruction, Timeline
from mla_hw.cycles.vector_engine import NEXT_COMMAND, vector_cycles
from mla_hw.cycles.weight_words import WeightWords
from mla_hw.cycles.width_adapter import beats_per_word, width_adapter_timing, words_per_beat
from mla_hw.cycles.writer import WRITER_RESTART, store_cycles
from mla_hw.errors import ScheduleError
from mla_hw.golden.dispatcher import Resolved, resolve
from mla_hw.hardware import NOMINAL_LATENCY, QUEUE_DEPTH, SEMAPHORES, CoreConfig
from mla_hw.program.image import REGIONS, MemoryMap
from mla_hw.program.instructions import FIELDS, INSTRUCTIONS, Engine
from mla_hw.program.program import Program

__all__ = ["predict"]

_Process = Generator[None, None, None]
_ROW = FIELDS["target"].choices.index("row")
_ENGINES = (Engine.READER, Engine.ARRAY, Engine.VECTOR, Engine.WRITER)


@dataclass(slots=True)
class _Queue:
    """What passes between dispatcher and one engine."""

    commands: list[Resolved] = field(default_factory=list)
    pushed: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    causes: list[str] = field(default_factory=list)
    closed: bool = False


def predict(
    program: Program,
    core: CoreConfig,
    memory: MemoryMap,
    position: int | Sequence[int],
    *,
    latency: int = NOMINAL_LATENCY,
    sdram: SdramTiming | None = None,
) -> Timeline:
    """Predict one decode step with the fixed-latency memory, or with SDRAM.

    Parameters
    ----------
    program : Program
    core : CoreConfig
    memory : MemoryMap
    position : int or sequence of int
        Rows that the cache holds already, by query row, or of all.
    latency : int
        Cycles from an accepted read to its first beat, and from the last beat of a write to its
        response.
    sdram : SdramTiming, optional
        Reads are timed by this instead; that writes and refreshes shift them is only estimated.

    Raises
    ------
    ScheduleError
        When the program would never end: names the instructions that wait.
    """
    return _Run(program, core, memory, position, latency, sdram).run()


class _Run:
    def __init__(
        self,
        program: Program,
        core: CoreConfig,
        memory: MemoryMap,
        position: int | Sequence[int],
        latency: int,
        sdram: SdramTiming | None,
    ) -> None:
        self.program, self.core, self.memory = program, core, memory
        self.latency = latency
        self.commands = list(
            resolve(
                program.instructions,
                position=position,
                tile_tokens=core.tile_tokens,
                bases=[memory.regions[name].offset for name in REGIONS],
                port_bytes=core.port_bytes,
                caches=memory.cache_bases,
            )
        )
        self.queues = {engine: _Queue() for engine in _ENGINES}
        self.gives: list[list[int]] = [[] for _ in range(SEMAPHORES)]
        self.taken = [0] * SEMAPHORES
        self.reader = ReaderModel(core, latency, sdram)
        self.reader.restart(memory.regions["weights"].offset)
        self.padding: dict[int, int] = {}
        self.words = WeightWords(core, self.reader.arrivals[Path.WEIGHTS], self.padding)
        self.filled: list[int] = []  # cycle in which each block counts as filled
        self.released: list[int] = []
        self.stalls: list[Stalls] = []  # of each MATMUL
        self.program_loaded: int | None = None
        self.total = 0

    def run(self) -> Timeline:
        processes = [
            self._dispatcher(),
            self._reader(),
            self._array(),
            self._vector(),
            self._writer(),
        ]
        while processes:
            before = self._progress()
            processes = [process for process in processes if _advance(process)]
            if processes and self._progress() == before:
                raise ScheduleError(f"the program stops for ever at {self._waiting()}")
        return Timeline(self._timed(), self.total)

    def _progress(self) -> tuple[int, ...]:
        counts = [len(queue.pushed) for queue in self.queues.values()]
        counts += [len(queue.starts) for queue in self.queues.values()]
        counts += [len(queue.ends) for queue in self.queues.values()]
        beats = sum(len(arrivals) for arrivals in self.reader.arrivals.values())
        return (*counts, beats, len(self.words.freed), len(self.released))

    def _waiting(self) -> str:
        waiting = [
            f"{engine.value}: instruction {queue.commands[len(queue.starts)].index}"
            for engine, queue in self.queues.items()
            if len(queue.commands) > len(queue.starts)
        ]
        return ", ".join(waiting) or "HALT"

    def _timed(self) -> tuple[TimedInstruction, ...]:
        places = dict.fromkeys(_ENGINES, 0)
        places[Engine.READER] = 1  # behind the load of the program
        timed = []
        for command in self.commands:
            if command.engine is Engine.DISPATCHER:
                continue
            place, queue = places[command.engine], self.queues[command.engine]
            places[command.engine] += 1
            timed.append(
                TimedInstruction(
                    command.index,
                    command.iteration,
                    command.name,
                    command.engine.value,
                    queue.starts[place],
                    queue.ends[place],
                    queue.causes[place],
                    self.stalls[place] if command.engine is Engine.ARRAY else NO_STALLS,
                )
            )
        return tuple(timed)

    # Processes. A bare yield means: a time that is needed is not known yet.

    def _dispatcher(self) -> _Process:
        load = _program_load(self.program, self.core, self.memory)
        self._push(self.queues[Engine.READER], load, START_TO_LOAD - START_TO_CLEAR)
        while not self.queues[Engine.READER].ends:
            yield
        fetch = self.queues[Engine.READER].ends[0] + LOAD_TO_FETCH
        for command in self.commands:
            cycle = fetch + issue_step(INSTRUCTIONS[command.name])
            if command.engine is Engine.DISPATCHER:
                self._give(command.post, cycle)
                fetch = cycle + NEXT_FETCH
                continue
            queue = self.queues[command.engine]
            behind = len(queue.pushed) - QUEUE_DEPTH
            while behind >= len(queue.starts):
                yield
            if behind >= 0:
                cycle = max(cycle, queue.starts[behind] + START_TO_PUSH)
            self._push(queue, command, cycle)
            fetch = cycle + NEXT_FETCH
        for queue in self.queues.values():
            queue.closed = True
        while any(len(queue.ends) < len(queue.pushed) for queue in self.queues.values()):
            yield
        ends = [queue.ends[-1] for queue in self.queues.values() if queue.ends]
        self.total = max(fetch - NEXT_FETCH, *ends) + HALT_LATENCY

    def _push(self, queue: _Queue, command: Resolved, cycle: int) -> None:
        queue.commands.append(command)
        queue.pushed.append(cycle)

    def _give(self, mask: int, cycle: int) -> None:
        for semaphore in range(mask.bit_length()):
            if mask >> semaphore & 1:
                self.gives[semaphore].append(cycle)

    def _next(self, queue: _Queue) -> Generator[None, None, tuple[Resolved, int] | None]:
        """Wait for the next command; return it and the cycle in which it is offered."""
        number = len(queue.starts)
        while number >= len(queue.pushed):
            if queue.closed:
                return None
            yield
        command = queue.commands[number]
        gives: dict[int, int] = {}
        for semaphore in range(command.wait.bit_length()):
            if command.wait >> semaphore & 1:
                place = self.taken[semaphore]
                self.taken[semaphore] += 1
                while place >= len(self.gives[semaphore]):
                    yield
                gives[semaphore] = self.gives[semaphore][place]
        while number - STARTED_DEPTH >= len(queue.ends):
            yield
        pushed = queue.pushed[number]
        previous = queue.starts[-1] if queue.starts else None
        freed = queue.ends[number - STARTED_DEPTH] if number >= STARTED_DEPTH else None
        offered = earliest_start(pushed, gives.values(), previous=previous, freed=freed)
        if earliest_start(pushed) == offered:
            cause = "dispatcher"
        elif earliest_start(pushed, previous=previous, freed=freed) == offered:
            cause = "order"
        else:
            cause = f"semaphore {self._name(max(gives, key=gives.__getitem__))}"
        queue.causes.append(cause)
        return command, offered

    def _name(self, semaphore: int) -> str:
        names = self.program.semaphores
        return names[semaphore] if semaphore < len(names) else str(semaphore)

    def _end(self, queue: _Queue, command: Resolved, cycle: int) -> None:
        queue.ends.append(cycle)
        self._give(command.post, cycle)

    def _reader(self) -> _Process:
        queue, model = self.queues[Engine.READER], self.reader
        while (item := (yield from self._next(queue))) is not None:
            command, offered = item
            read = _read_command(command)
            queue.starts.append(model.begin(read, offered))
            for burst in model.bursts(read):
                credit = -1
                if burst.path is Path.WEIGHTS and (words := model.weights_needed(burst)) > 0:
                    while words > len(self.words.freed):
                        yield
                    credit = self.words.freed[words - 1]
                elif burst.opens_block and (blocks := model.blocks_needed()) > 0:
                    while blocks > len(self.released):
                        yield
                    credit = self.released[blocks - 1]
                model.issue(burst, credit)
            if read.name == "STREAM" and (padding := command.fields["k"]):
                self.padding[len(model.arrivals[Path.WEIGHTS]) - 1] = padding
            if read.name == "TILE":
                self._fill(read.tokens)
            self._end(queue, command, model.finish())

    def _fill(self, tokens: int) -> None:
        """Tell when the blocks of the tile that has just been read are filled."""
        core = self.core
        per_beat, per_word = words_per_beat(core), beats_per_word(core)
        left = self.reader.left[Path.LATENTS]
        first = len(left) - tokens * core.row_beats
        latency = width_adapter_timing(core).latency + LATENT_FILL_LATENCY
        assert row_words(core) * per_word == core.row_beats * per_beat
        for word in block_complete_words(core, tokens):
            beat = first + word // per_beat * per_word + per_word - 1
            self.filled.append(left[beat] + word % per_beat + latency)

    def _array(self) -> _Process:
        core, queue = self.core, self.queues[Engine.ARRAY]
        last_issue, spacing = -(1 << 40), 0
        base, end_before = 0, -1
        while (item := (yield from self._next(queue))) is not None:
            command, offered = item
            fields = command.fields
            mode = FIELDS["mode"].choices[fields["mode"]]
            start = max(offered, last_issue + COMMAND_TO_COMMAND)
            queue.starts.append(start)
            ready = start + COMMAND_LATENCY
            weights = latents = drain = 0
            steps = tile_steps(core, mode, fields["k"])
            for tile in range(tiles(core, fields["n"])):
                first = tile_start(ready, steps, last_issue, spacing)
                drain += first - ready
                if mode == "project":
                    streamed = 0 if fields["product"] else steps
                    last_issue, wanted = first - 1, CONSTANT_WORDS + streamed
                    undisturbed = last_issue + wanted
                    while True:
                        taken, last_issue = self.words.take(last_issue, wanted)
                        wanted -= taken
                        if not wanted:
                            break
                        yield
                    weights += last_issue - undisturbed
                    last_issue += steps - streamed
                elif mode == "expand" and fields["target"] == _ROW:
                    last_issue = first - 1
                    for block, done in enumerate(range(0, steps, core.columns)):
                        while base + block >= len(self.filled):
                            yield
                        begin = self.filled[base + block] + BLOCK_LATENCY
                        latents += max(0, begin - last_issue - 1)
                        last_issue = max(last_issue + 1, begin)
                        last_issue += min(core.columns, steps - done) - 1
                else:
                    if mode in ("score", "expand"):
                        while base + tile >= len(self.filled):
                            yield
                        begin = self.filled[base + tile] + BLOCK_LATENCY
                        latents += max(0, begin - first)
                        first = max(first, begin)
                    last_issue = first + steps - 1
                spacing = tile_spacing(core, mode, fields["rows"])
                ready = last_issue + 1
            if fields["release"]:
                by_column = mode == "expand" and fields["target"] != _ROW
                blocks = tiles(core, fields["n" if by_column else "k"])
                base += blocks
                self.released += [last_issue + RELEASE_LATENCY] * blocks
            end = last_issue + done_latency(core, mode, fields["rows"])
            end_before = end = max(end, end_before + 1)
            self.stalls.append(Stalls(weights=weights, latents=latents, drain=drain))
            self._end(queue, command, end)

    def _vector(self) -> _Process:
        queue, ready = self.queues[Engine.VECTOR], 0
        while (item := (yield from self._next(queue))) is not None:
            command, offered = item
            start = max(offered, ready)
            fields = command.fields
            sizes = {size: fields.get(size, 0) for size in ("k", "n", "rows")}
            end = start + vector_cycles(command.name, **sizes)
            ready = end + NEXT_COMMAND
            queue.starts.append(start)
            self._end(queue, command, end)

    def _writer(self) -> _Process:
        queue, ready = self.queues[Engine.WRITER], 0
        while (item := (yield from self._next(queue))) is not None:
            command, offered = item
            start = max(offered, ready)
            end = start + store_cycles(command.fields["n"], self.latency)
            ready = end + WRITER_RESTART
            queue.starts.append(start)
            self._end(queue, command, end)


def _advance(process: _Process) -> bool:
    try:
        next(process)
    except StopIteration:
        return False
    return True


def _program_load(program: Program, core: CoreConfig, memory: MemoryMap) -> Resolved:
    """Build the command with which the dispatcher fills its memory."""
    beats = -(-4 * len(program.encode()) // core.port_bytes)
    fields = {"address": memory.regions["program"].offset, "n": beats, "k": 0, "target": -1}
    return Resolved(-1, (), "LOAD", Engine.READER, fields)


def _read_command(command: Resolved) -> ReadCommand:
    fields = command.fields
    target = "program"
    if command.name == "LOAD" and fields["target"] >= 0:
        target = FIELDS["target"].choices[fields["target"]]
    return ReadCommand(
        command.name,
        address=fields.get("address", 0),
        beats=0 if command.name == "TILE" else fields["n"],
        tokens=fields["n"] if command.name == "TILE" else 0,
        target=target,
    )
