"""Timing of :class:`rtl_gen.units.reader.Reader`, computed burst by burst.

A burst goes through three stages: it is *planned*, it is *issued* as soon as everything that it
needs is there, and in the cycle after that ARVALID is high.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from mla_hw.cycles.block_queue import BLOCK_QUEUE_TIMING
from mla_hw.cycles.loader import LoaderModel
from mla_hw.cycles.queue import QUEUE_TIMING
from mla_hw.cycles.sdram import Sdram, SdramTiming
from mla_hw.cycles.width_adapter import words_per_beat
from mla_hw.cycles.writer import split_bursts
from mla_hw.hardware import BURST_BEATS, CoreConfig

__all__ = [
    "BEAT_LATENCY",
    "BEAT_TO_ADDRESS",
    "BLOCK_INTERVAL",
    "BURST_INTERVAL",
    "COMMANDS_UNDER_WAY",
    "COMMAND_TO_ADDRESS",
    "CREDIT_TO_ADDRESS",
    "DATA_TO_DONE",
    "LOADED_TO_DONE",
    "PATHS",
    "RECEIVE_LATENCY",
    "Burst",
    "BurstTimes",
    "Path",
    "ReadCommand",
    "ReadTimes",
    "ReaderModel",
    "fifo_depth",
]

#: Instructions taken and not yet done.
COMMANDS_UNDER_WAY = 8
#: Cycles from the accepted command to the plan of its first burst, and from there to its issue,
#: and from there to ARVALID.
_COMMAND_TO_PLAN, _PLAN_TO_ISSUE, _ISSUE_TO_ADDRESS = 3, 2, 1
#: Cycles from the accepted command to its first ARVALID where nothing is in the way.
COMMAND_TO_ADDRESS = _COMMAND_TO_PLAN + _PLAN_TO_ISSUE + _ISSUE_TO_ADDRESS
#: Cycles between two ARVALIDs of an instruction; a burst is planned when the one before is issued.
BURST_INTERVAL = _PLAN_TO_ISSUE
#: Cycles between the last ARVALID of a block of latents and the first one of the next block.
BLOCK_INTERVAL = 3
#: Cycles from the plan of an instruction's last burst to the next command that can be accepted.
_PLAN_TO_COMMAND = 2
#: Cycles until what is given back, a place in a FIFO or a block, lets a burst issue. It comes from
#: far, hence a register.
_CREDIT_TO_ISSUE = 3
#: Cycles from the credit that a burst waits for to its ARVALID.
CREDIT_TO_ADDRESS = _CREDIT_TO_ISSUE + _ISSUE_TO_ADDRESS
#: Cycles from RVALID to the reader's own register of the beat.
BEAT_LATENCY = 1
#: Cycles from the RVALID that ends a burst to the issue of one that waits for it, and its ARVALID.
_BEAT_TO_ISSUE = BEAT_LATENCY + 2
BEAT_TO_ADDRESS = _BEAT_TO_ISSUE + _ISSUE_TO_ADDRESS
#: Cycles from RVALID to the beat at its destination: valid at ``weights``, or written to a FIFO.
RECEIVE_LATENCY = BEAT_LATENCY + 1
#: Cycles from the last RVALID of STREAM and TILE to ``done``, and from the loader's done for LOAD.
DATA_TO_DONE, LOADED_TO_DONE = BEAT_LATENCY + 3, 2


class Path(IntEnum):
    """Where the data of an instruction go."""

    LOAD = 0
    WEIGHTS = 1
    LATENTS = 2


#: Destination by mnemonic.
PATHS = {"LOAD": Path.LOAD, "STREAM": Path.WEIGHTS, "TILE": Path.LATENTS}


def fifo_depth(config: CoreConfig, path: Path) -> int:
    """Beats that may be under way to a destination or wait in front of it.

    The latents' FIFO covers all bursts that may be under way: where the port is wider than a word
    of the ring, a shorter one would run empty while the next burst is on its way. The loads' one
    just fills block RAM.
    """
    return {
        Path.LOAD: 4 * BURST_BEATS,
        Path.WEIGHTS: config.weight_fifo_depth,
        Path.LATENTS: config.outstanding_reads * BURST_BEATS,
    }[path]


@dataclass(frozen=True, slots=True)
class ReadCommand:
    """LOAD, STREAM or TILE with plain numbers.

    Parameters
    ----------
    name : str
        Mnemonic.
    address : int
        Bytes; not used by STREAM.
    beats : int
        Not used by TILE.
    tokens : int
        Rows of a TILE.
    target : str
        Target of a LOAD.
    """

    name: str
    address: int = 0
    beats: int = 0
    tokens: int = 0
    target: str = "spread"


@dataclass(frozen=True, slots=True)
class Burst:
    """Consecutive beats of one destination.

    Parameters
    ----------
    path : Path
    beats : int
    address : int
        Of the first beat, in beats.
    opens_block : bool
        Whether it is the first of a block of the ring.
    """

    path: Path
    beats: int
    address: int
    opens_block: bool = False


@dataclass(frozen=True, slots=True)
class BurstTimes:
    """Cycle of ARVALID, and of the first and last beat on the R channel."""

    address: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class ReadTimes:
    """Cycles in which an instruction is accepted and done, and what its bursts do."""

    start: int
    end: int
    bursts: tuple[BurstTimes, ...]


class ReaderModel:
    """Predict every burst with the fixed-latency memory or SDRAM, reader and loader together.

    The memory takes an address in the cycle of ARVALID; the first beat comes ``memory_latency``
    cycles later, then one per cycle, bursts one after the other. Either call :meth:`execute` per
    instruction, or, where credits are only known step by step, :meth:`begin`, :meth:`issue` for
    each of its :meth:`bursts`, and :meth:`finish`.

    Parameters
    ----------
    config : CoreConfig
    memory_latency : int
        At least 1.
    sdram : SdramTiming, optional
        Timing of the memory, in place of the latency.

    Attributes
    ----------
    arrivals : dict of Path to list of int
        For every beat so far, the cycle in which it reaches its destination.
    left : dict of Path to list of int
        For every beat of LOAD and LATENTS so far, the cycle in which it leaves its FIFO.
    """

    def __init__(
        self, config: CoreConfig, memory_latency: int, sdram: SdramTiming | None = None
    ) -> None:
        self.config = config
        self.memory_latency = memory_latency
        self._sdram = Sdram(sdram, config.port_bytes) if sdram else None
        self.arrivals: dict[Path, list[int]] = {path: [] for path in Path}
        self.left: dict[Path, list[int]] = {Path.LOAD: [], Path.LATENTS: []}
        self._loader = LoaderModel(config)
        self._depth = {path: fifo_depth(config, path) for path in Path}
        self._pointer = 0
        self._blocks = 0
        self._planned = -1
        self._earliest_plan = 0
        self._issued = -1
        self._last_beats: list[int] = []
        self._done: list[int] = []
        self._path = Path.LOAD

    def restart(self, weights_base: int) -> None:
        """Let the next STREAM begin at a byte address, as ``start`` does."""
        self._pointer = weights_base // self.config.port_bytes

    def begin(self, command: ReadCommand, offered: int) -> int:
        """Return the cycle in which a command is accepted that is offered from ``offered`` on."""
        start = max(offered, self._planned + _PLAN_TO_COMMAND)
        if len(self._done) >= COMMANDS_UNDER_WAY:
            start = max(start, self._done[-COMMANDS_UNDER_WAY] + 1)
        self._path = PATHS[command.name]
        self._earliest_plan = start + _COMMAND_TO_PLAN
        if self._path is Path.LOAD:
            self._loader.begin(command.target, start + QUEUE_TIMING.latency)
        return start

    def bursts(self, command: ReadCommand) -> Iterator[Burst]:
        """Cut an instruction into its bursts; once per instruction, because STREAM goes on."""
        config, path = self.config, PATHS[command.name]
        if path is not Path.LATENTS:
            first = command.address // config.port_bytes
            if path is Path.WEIGHTS:
                first, self._pointer = self._pointer, self._pointer + command.beats
            for beats in split_bursts(first, command.beats):
                yield Burst(path, beats, first)
                first += beats
            return
        first = command.address // config.port_bytes
        for token in range(0, command.tokens, config.columns):
            rows = min(config.columns, command.tokens - token)
            start = first + token * config.row_beats
            address = start
            for beats in split_bursts(start, rows * config.row_beats):
                yield Burst(path, beats, address, opens_block=address == start)
                address += beats

    def weights_needed(self, burst: Burst) -> int:
        """Port words of weights that must have left the weight FIFO before a burst, from reset."""
        return len(self.arrivals[Path.WEIGHTS]) + burst.beats - self._depth[Path.WEIGHTS]

    def blocks_needed(self) -> int:
        """Blocks that must have been released before the next block is opened, from reset."""
        return self._blocks + 1 - self.config.ring_blocks

    def issue(self, burst: Burst, credit: int = -1) -> BurstTimes:
        """Predict one burst.

        Parameters
        ----------
        burst : Burst
        credit : int, optional
            Cycle in which the last needed word was freed or the last needed block released.
        """
        path, limit = burst.path, self.config.outstanding_reads
        plan = max(self._earliest_plan, self._issued)
        if burst.opens_block:
            plan = max(plan, self._planned + BLOCK_INTERVAL)
        self._blocks += burst.opens_block
        ready = credit
        if path in self.left:
            needed = len(self.arrivals[path]) + burst.beats - self._depth[path]
            if needed > 0:
                ready = max(ready, self.left[path][needed - 1])
        issued = max(plan + _PLAN_TO_ISSUE, ready + _CREDIT_TO_ISSUE)
        if len(self._last_beats) >= limit:
            issued = max(issued, self._last_beats[-limit] + _BEAT_TO_ISSUE)
        self._planned, self._issued = plan, issued

        address = issued + _ISSUE_TO_ADDRESS
        times: Sequence[int]
        if self._sdram:
            times = self._sdram.read(address, burst.address, burst.beats)
        else:
            first = address + self.memory_latency
            if self._last_beats:
                first = max(first, self._last_beats[-1] + 1)
            times = range(first, first + burst.beats)
        self._last_beats.append(times[-1])
        self._deliver(path, times)
        return BurstTimes(address, times[0], times[-1])

    def _deliver(self, path: Path, times: Sequence[int]) -> None:
        """Let a burst's beats reach their destination, and leave the FIFO there."""
        self.arrivals[path].extend(time + RECEIVE_LATENCY for time in times)
        if path is Path.WEIGHTS:
            return
        offered = [time + RECEIVE_LATENCY + BLOCK_QUEUE_TIMING.latency for time in times]
        left = self.left[path]
        if path is Path.LOAD:
            left.extend(self._loader.take(offered))
            return
        interval = words_per_beat(self.config)
        free = left[-1] + interval if left else 0
        for time in offered:
            left.append(max(time, free))
            free = left[-1] + interval

    def finish(self) -> int:
        """Return the cycle of ``done``, after the last burst of an instruction."""
        if self._path is Path.LOAD:
            end = self._loader.finish() + LOADED_TO_DONE
        else:
            end = self._last_beats[-1] + DATA_TO_DONE
        if self._done:
            end = max(end, self._done[-1] + 1)
        self._done.append(end)
        return end

    def execute(
        self,
        command: ReadCommand,
        offered: int,
        *,
        weight_freed: Callable[[int], int],
        block_released: Callable[[int], int],
    ) -> ReadTimes:
        """Predict one instruction.

        Parameters
        ----------
        command : ReadCommand
        offered : int
            Cycle from which on the command is valid.
        weight_freed, block_released : callable
            Cycle in which the n-th word of weights was freed, the n-th block released; n counts
            from 1 at reset. Asked in rising order, and only for what has arrived before.
        """
        start = self.begin(command, offered)
        times = []
        for burst in self.bursts(command):
            credit = -1
            if burst.path is Path.WEIGHTS and (words := self.weights_needed(burst)) > 0:
                credit = weight_freed(words)
            elif burst.opens_block and (blocks := self.blocks_needed()) > 0:
                credit = block_released(blocks)
            times.append(self.issue(burst, credit))
        return ReadTimes(start, self.finish(), tuple(times))
