"""Golden model, prediction and simulated core side by side, token by token."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mla_hw.cli.hidden_rows import HiddenRows
from mla_hw.cycles.predict import predict
from mla_hw.cycles.timeline import Timeline, split_phases
from mla_hw.design import Design
from mla_hw.errors import ConfigError
from mla_hw.hardware import NOMINAL_LATENCY
from mla_hw.registers import COUNTERS, ERRORS, ErrorCode, register
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
        Position before whose run it happens.
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
        Position.
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

    Making one fills the cache up to ``prefill`` and predicts every token.

    Parameters
    ----------
    design : Design
    rows : HiddenRows
    prefill : int
        Tokens that are not simulated.
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
        One per simulated token, without memories.
    y : list of array of int16
        Row of y of each.
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
        prefill: int,
        mode: MemoryMode,
        corrupt: Sequence[Corruption],
        interrupt: Sequence[Interruption],
        progress: Callable[[str], None],
    ) -> None:
        self.design, self.rows, self.prefill, self.mode = design, rows, prefill, mode
        self.say = progress
        self.machine = design.machine()
        self._x, self._x_saturated = design.quantize_hidden(rows.x)
        if prefill:
            progress(f"write the cache rows of {prefill} tokens")
            # Another machine, because the core's buffers have not seen these tokens.
            before = design.machine()
            for token in range(prefill):
                before.write_hidden(self._x[token])
                before.run(token, attention=False)
            self.machine.memory[:] = before.memory
        progress("predict cycles")
        latency = mode.number if mode.kind == "fixed" else NOMINAL_LATENCY
        self.timelines: list[Timeline] = [
            predict(
                design.program,
                design.core,
                design.memory,
                token,
                latency=latency,
                sdram=mode.sdram,
            )
            for token in range(prefill, len(rows.x))
        ]
        self.difference: Difference | None = None
        self.results: list[TokenResult] = []
        self.y: list[NDArray[np.int16]] = []
        self.traces: list[Trace] = []
        self.saturated: Counter[str] = Counter()
        self._corrupt = corrupt
        self._runs: list[tuple[int, Interruption | None]] = []
        for token in range(prefill, len(rows.x)):
            self._runs += [(token, item) for item in interrupt if item.token == token]
            self._runs.append((token, None))

    def simulate(self, simulation: CoreSimulation) -> None:
        """Run the core token by token; stop at the first difference."""
        mirror = MemoryMirror(self.machine.memory)
        wanted_hash = int(self.design.manifest["hash"], 16)
        region = self.design.regions["y"]
        tokens = len(self.rows.x)
        with closing(simulation.run(self._job(), self.design.image, memory=self.mode)) as results:
            for result in results:
                token, interruption = self._runs[result.index]
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
                self.machine.write_hidden(self._x[token])
                self.machine.run(token)
                counted = self.machine.saturated - before
                self.saturated += counted + Counter(x=int(self._x_saturated[token]))
                trace = pair(self.timelines[token - self.prefill].instructions, result.log.events)
                self.difference = first_difference(
                    self.machine, mirror, result, token=token, counted=counted, trace=trace
                )
                self.results.append(result.without_memories())
                self.y.append(mirror.content[region.offset : region.end].view("<i2").copy())
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
                "token": self.prefill + number,
                "index": item.predicted.index,
                "iteration": list(item.predicted.iteration),
                "text": texts[item.predicted.index],
                "engine": item.predicted.engine,
                "cause": item.predicted.cause,
                "start": {"simulated": item.start, "predicted": item.predicted.start},
                "end": {"simulated": item.end, "predicted": item.predicted.end},
            }
            for number, trace in enumerate(self.traces)
            for item in trace.instructions
        ]

    def accuracy(self) -> dict[str, Any]:
        """Relative error and cosine of every row that has a reference, and of all together."""
        pairs = [
            (row * self.design.scales["y"], reference)
            for number, row in enumerate(self.y)
            if (reference := self.rows.reference(self.prefill + number)) is not None
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
        core, regions = self.design.core, self.design.regions
        setup = [(register(f"base_{name}").address, regions[name].offset) for name in regions]
        setup += [
            (register("program_beats").address, -(-regions["program"].size // core.port_bytes)),
            (register("capacity").address, self.design.context),
            (register("interrupt_enable").address, register("interrupt_enable").mask),
        ]
        reads = (
            "hash",
            "error_code",
            "error_program_counter",
            "error_address",
            *COUNTERS,
        )
        return Job(
            setup=setup,
            tokens=[self._token(token, interruption) for token, interruption in self._runs],
            latch=[(register("control").address, _bit("control", "latch"))],
            reads={name: _words(name) for name in reads},
            acknowledge=[(register("interrupt_status").address, register("interrupt_status").mask)],
        )

    def _token(self, token: int, interruption: Interruption | None) -> TokenJob:
        core, regions = self.design.core, self.design.regions
        row = self._x[token].astype("<i2").tobytes()
        patch = [(regions["x"].offset, row + bytes(-len(row) % core.port_bytes))]
        if token == self.prefill and self.prefill:
            start = regions["cache"].offset
            content = self.machine.memory[start : start + self.prefill * core.row_bytes]
            patch.append((start, content.tobytes()))
        predicted = self.timelines[token - self.prefill].total
        refused = later = None
        if interruption and interruption.refused:
            name, offset = interruption.refused
            address = regions[name].offset + offset
            refused = (address - address % core.port_bytes, address)
        if interruption and interruption.abort_after is not None:
            abort = (register("control").address, _bit("control", "abort"))
            later = (interruption.abort_after, [abort])
        return TokenJob(
            writes=[
                (register("position").address, token),
                (register("control").address, _bit("control", "start")),
            ],
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


def _bit(name: str, field: str) -> int:
    return next(1 << item.lsb for item in register(name).fields if item.name == field)


def _words(name: str) -> list[int]:
    entry = register(name)
    return [entry.address + 4 * word for word in range(entry.words)]


def _relative_error(got: NDArray[np.floating], wanted: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))


def _cosine(got: NDArray[np.floating], wanted: NDArray[np.float64]) -> float:
    return float(got @ wanted / (np.linalg.norm(got) * np.linalg.norm(wanted)))
