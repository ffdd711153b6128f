"""Golden model, prediction and simulated core side by side, token by token."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mla_hw.cli.hidden_rows import HiddenRows
from mla_hw.cycles.predict import predict
from mla_hw.cycles.timeline import Timeline, split_phases
from mla_hw.design import Design
from mla_hw.errors import ConfigError
from mla_hw.hardware import NOMINAL_LATENCY
from mla_hw.host.steps import (
    abort_writes,
    acknowledge_writes,
    hidden_bytes,
    latch_writes,
    setup_writes,
    start_writes,
    word_addresses,
)
from mla_hw.registers import COUNTERS, ERRORS, ErrorCode
from sim.check import Difference, MemoryMirror, first_difference
from sim.job import Job, MemoryMode, TokenJob
from sim.results import TokenResult
from sim.runner import CoreSimulation
from sim.trace import Trace, pair

__all__ = ["Corruption", "Interruption", "SimulationRun"]

# A run that takes longer than this many times its prediction, and some more, is taken for stuck.
_PATIENCE = {"fixed": 2, "random": 20, "dram": 2}
_PATIENCE_CYCLES = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Corruption:
    """Bits of the memory that only the core sees inverted: to test that the comparison notices.

    Parameters
    ----------
    region : str
        Region of the memory.
    offset : int
        Byte within the region.
    mask : int
        Bits of the byte.
    token : int
        Token, of query row 0, before whose run it happens.
    """

    region: str
    offset: int
    mask: int
    token: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Interruption:
    """Run of a token that is to end with an error, ahead of the one that counts: to test restarts.

    Parameters
    ----------
    token : int
        Of query row 0.
    code : ErrorCode
        Error that the core must report.
    abort_after : int, optional
        Cycles after the start until the abort bit is written.
    refused : (str, int), optional
        Region and byte within it: the memory answers this beat with an error.
    """

    token: int
    code: ErrorCode
    abort_after: int | None = None
    refused: tuple[str, int] | None = None


class SimulationRun:
    """Everything that becomes known of a simulation.

    Making one fills the cache up to the first token and predicts every token.

    Parameters
    ----------
    design : Design
    rows : HiddenRows
    mode : MemoryMode
    corrupt : sequence of Corruption
    interrupt : sequence of Interruption
    progress : callable
        Called with one line of text at each step.

    Attributes
    ----------
    difference : Difference or None
        Where core and golden model part first.
    results : list of TokenResult
        One per simulated token, or token of each query row, without memories.
    y : list of array of int16
        Row of y of each; [query_rows, hidden_size] where there are several.
    traces : list of Trace
        Instructions of each.
    saturated : Counter
        Saturations by place, of the golden model; ``x`` while it was quantised.
    """

    def __init__(
        self,
        design: Design,
        rows: HiddenRows,
        *,
        mode: MemoryMode,
        corrupt: Sequence[Corruption],
        interrupt: Sequence[Interruption],
        progress: Callable[[str], None],
    ) -> None:
        self.design, self.rows, self.mode = design, rows, mode
        self.say = progress
        self.machine = design.machine()
        self._x, self._x_saturated = design.quantize_hidden(rows.x)
        if any(rows.first):
            progress(f"write the cache rows of {max(rows.first)} tokens")
            self.machine.memory[:] = self._prefill()
        progress("predict cycles")
        latency = mode.number if mode.kind == "fixed" else NOMINAL_LATENCY
        self.timelines: list[Timeline] = [
            predict(
                design.program,
                design.core,
                design.memory,
                rows.positions(step, design.memory),
                latency=latency,
                sdram=mode.sdram,
            )
            for step in range(rows.steps)
        ]
        self.difference: Difference | None = None
        self.results: list[TokenResult] = []
        self.y: list[NDArray[np.int16]] = []
        self.traces: list[Trace] = []
        self.saturated: Counter[str] = Counter()
        self._corrupt = corrupt
        # Steps, each after the interruptions of its token.
        self._runs: list[tuple[int, Interruption | None]] = []
        for step in range(rows.steps):
            token = self._token_number(step)
            self._runs += [(step, item) for item in interrupt if item.token == token]
            self._runs.append((step, None))

    def _token_number(self, step: int) -> int:
        """Return the token of query row 0, which stands for those of all."""
        return self.rows.tokens(step)[0]

    def _of_rows(self, array: NDArray[Any], step: int) -> NDArray[Any]:
        """Return what belongs to the token of each query row in a step."""
        return np.array([array[token, row] for row, token in enumerate(self.rows.tokens(step))])

    def _prefill(self) -> NDArray[np.uint8]:
        """Return the memory with the cache rows of the tokens before the first step."""
        # Another machine, because the core's buffers have not seen these tokens.
        before, memory, first = self.design.machine(), self.design.memory, self.rows.first
        for token in range(max(first)):
            # A row that has had all of them writes its next one, as it will again when it runs.
            tokens = [min(token, own) for own in first]
            before.write_hidden(np.array([self._x[own, row] for row, own in enumerate(tokens)]))
            positions = memory.positions(token) if memory.same_sequence else tokens
            before.run(positions, attention=False)
        return before.memory

    def simulate(self, simulation: CoreSimulation) -> None:
        """Run the core token by token; stop at the first difference."""
        mirror = MemoryMirror(self.machine.memory)
        wanted_hash = int(self.design.manifest["hash"], 16)
        tokens = len(self.rows.x)
        with closing(simulation.run(self._job(), self.design.image, memory=self.mode)) as results:
            for result in results:
                step, interruption = self._runs[result.index]
                token = self._token_number(step)
                if result.registers.get("hash", wanted_hash) != wanted_hash:
                    raise ConfigError(
                        f"The core has the configuration hash {result.registers['hash']:016x}, "
                        f"manifest.json {wanted_hash:016x}: generate the folder again"
                    )
                if interruption:
                    # What it has written is what the whole run will write.
                    mirror.write(result.log.writes)
                    self.machine.restart()
                    self.difference = _not_interrupted(result, interruption)
                    if self.difference:
                        break
                    continue
                before = self.machine.saturated.copy()
                positions = self.rows.positions(step, self.design.memory)
                self.machine.write_hidden(self._of_rows(self._x, step))
                self.machine.run(positions)
                counted = self.machine.saturated - before
                clamped = int(self._of_rows(self._x_saturated, step).sum())
                self.saturated += counted + Counter(x=clamped)
                trace = pair(self.timelines[step].instructions, result.log.events)
                self.difference = first_difference(
                    self.machine,
                    mirror,
                    result,
                    token=token,
                    positions=positions,
                    counted=counted,
                    trace=trace,
                )
                self.results.append(result.without_memories())
                y = self.design.memory.y_rows(mirror.content).astype(np.int16)
                self.y.append(y if self.design.core.query_rows > 1 else y[0])
                self.traces.append(trace)
                verdict = "differs" if self.difference else "bit-exact"
                self.say(f"token {token + 1} of {tokens}: {result.cycles} cycles, {verdict}")
                if self.difference:
                    break

    def cycles(self) -> dict[str, list[int]]:
        """Cycles of each simulated token."""
        predicted = self.timelines[: len(self.results)]
        return {
            "simulated": [result.cycles for result in self.results],
            "predicted": [timeline.total for timeline in predicted],
        }

    def phases(self) -> list[dict[str, Any]]:
        """Cycles of each phase, over all tokens that have ended."""
        names = self.design.manifest["phases"]
        simulated: Counter[str] = Counter()
        predicted: Counter[str] = Counter()
        for result, trace, timeline in zip(self.results, self.traces, self.timelines, strict=False):
            matmuls = [item for item in trace.instructions if item.predicted.name == "MATMUL"]
            ends = [(item.predicted.index, item.end) for item in matmuls if item.end is not None]
            if result.log.halt is None or len(ends) < len(matmuls):
                continue
            for phase in split_phases(ends, names, result.log.halt):
                simulated[phase.name] += phase.cycles
            for phase in timeline.phases(names):
                predicted[phase.name] += phase.cycles
        return [
            {"phase": name, "simulated": simulated[name], "predicted": predicted[name]}
            for name in predicted
        ]

    def instructions(self) -> list[dict[str, Any]]:
        """Start and end of every instruction of every token."""
        program = self.design.program
        texts = [item.text(program.semaphores) for item in program.instructions]
        return [
            {
                "token": self._token_number(number),
                "index": item.predicted.index,
                "iteration": list(item.predicted.iteration),
                "text": texts[item.predicted.index],
                "engine": item.predicted.engine,
                "cause": item.predicted.cause,
                "stalls": asdict(item.predicted.stalls),
                "start": {"simulated": item.start, "predicted": item.predicted.start},
                "end": {"simulated": item.end, "predicted": item.predicted.end},
            }
            for number, trace in enumerate(self.traces)
            for item in trace.instructions
        ]

    def accuracy(self) -> dict[str, Any]:
        """Relative error and cosine of every row that has a reference, and of all together."""
        hidden = self.design.model.hidden_size
        pairs = [
            (got * self.design.scales["y"], reference)
            for step, y in enumerate(self.y)
            for row, (token, got) in enumerate(
                zip(self.rows.tokens(step), y.reshape(-1, hidden), strict=True)
            )
            if (reference := self.rows.reference(token, row)) is not None
        ]
        if not pairs:
            return {"relative_error": (), "cosine": (), "relative_error_total": None}
        got, wanted = (np.array(side) for side in zip(*pairs, strict=True))
        return {
            "relative_error": tuple(_relative_error(*pair) for pair in pairs),
            "cosine": tuple(_cosine(*pair) for pair in pairs),
            "relative_error_total": _relative_error(got, wanted),
        }

    def counters(self) -> list[dict[str, int]]:
        """Counters of the core after each token."""
        return [
            {name: result.registers[name] for name in COUNTERS if name in result.registers}
            for result in self.results
        ]

    def cycles_per_second(self) -> float:
        """Return simulated cycles per second of wall time."""
        seconds = sum(result.seconds for result in self.results)
        return sum(result.cycles for result in self.results) / seconds if seconds else 0.0

    def _job(self) -> Job:
        reads = (
            "hash",
            "error_code",
            "error_program_counter",
            "error_address",
            *COUNTERS,
        )
        return Job(
            setup=setup_writes(self.design.core, self.design.memory),
            tokens=[self._token(step, interruption) for step, interruption in self._runs],
            latch=latch_writes(),
            reads={name: word_addresses(name) for name in reads},
            acknowledge=acknowledge_writes(),
        )

    def _token(self, step: int, interruption: Interruption | None) -> TokenJob:
        core, regions, memory = self.design.core, self.design.regions, self.design.memory
        token, positions = self._token_number(step), self.rows.positions(step, memory)
        patch = [(regions["x"].offset, hidden_bytes(core, self._of_rows(self._x, step)))]
        if step == 0:
            caches = dict(zip(memory.cache_bases, positions, strict=True))
            if memory.same_sequence:
                caches = {memory.cache_base(0): positions[0]}
            for start, held in caches.items():
                content = self.machine.memory[start : start + held * core.row_bytes]
                patch += [(start, content.tobytes())] if held else []
        predicted = self.timelines[step].total
        refused = later = None
        if interruption and interruption.refused:
            name, offset = interruption.refused
            address = regions[name].offset + offset
            refused = (address - address % core.port_bytes, address)
        if interruption and interruption.abort_after is not None:
            later = (interruption.abort_after, abort_writes())
        return TokenJob(
            writes=start_writes(tuple(positions)),
            limit=_PATIENCE[self.mode.kind] * predicted + _PATIENCE_CYCLES,
            patch=patch,
            flips=[
                (regions[item.region].offset + item.offset, item.mask)
                for item in self._corrupt
                if item.token == token
            ],
            refused=refused,
            later=later,
        )


def _not_interrupted(result: TokenResult, wanted: Interruption) -> Difference | None:
    """Say how a run has ended that was to end with an error, if not with that one."""
    code = ErrorCode(result.registers.get("error_code", ErrorCode.NONE))
    if result.stopped is None and code is wanted.code:
        return None
    got = result.stopped or ERRORS[code]
    return Difference(token=wanted.token, buffer="run", expected=ERRORS[wanted.code], got=got)


def _relative_error(got: NDArray[np.floating], wanted: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))


def _cosine(got: NDArray[np.floating], wanted: NDArray[np.float64]) -> float:
    return float(got @ wanted / (np.linalg.norm(got) * np.linalg.norm(wanted)))
