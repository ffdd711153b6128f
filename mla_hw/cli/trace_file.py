"""Timelines of a simulation in the Chrome trace-event format, which Perfetto opens.

Source: "Trace Event Format", Google, 2016. One microsecond stands for one cycle. Predicted and
simulated run are two processes with a thread per engine; the tokens follow each other.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mla_hw.html.slices import shown_spans
from mla_hw.program.instructions import Engine

if TYPE_CHECKING:
    from mla_hw.cli.simulate import SimulationReport

__all__ = ["trace_events", "trace_text"]

_SIDES = ("simulated", "predicted")
_RUN = "run"


def trace_text(report: "SimulationReport") -> str:
    """Return the trace of a simulation as JSON."""
    data = {
        "traceEvents": list(trace_events(report)),
        "displayTimeUnit": "ns",
        "otherData": {
            "unit": "1 us is one cycle",
            "memory": report.memory,
            "hash": report.hash,
            "bit_exact": report.bit_exact,
            **report.tools,
        },
    }
    return json.dumps(data) + "\n"


def trace_events(report: "SimulationReport") -> Iterator[dict[str, Any]]:
    """Yield the events of both timelines.

    An engine has several instructions under way and ends them in order. Its track shows the oldest,
    from its start or from the end of the one before, whichever is later; ``args`` has the start.
    Where nothing is under way a ``stall`` says what the next instruction waits for. The track
    ``run`` has a slice per token, with the core's counters on the simulated side.
    """
    engines = list(dict.fromkeys(item["engine"] for item in report.instructions))
    threads = {name: number for number, name in enumerate((_RUN, *engines))}
    for process, side in enumerate(_SIDES, 1):
        yield _name("process_name", side, pid=process)
        for name, thread in threads.items():
            yield _name("thread_name", name, pid=process, tid=thread)
        begin = 0
        begins = []
        for number, cycles in enumerate(report.cycles[side]):
            begins.append(begin)
            counters = report.counters[number] if side == "simulated" else {}
            yield _slice("run", f"token {number}", begin, begin + cycles, counters, process, 0)
            begin += cycles
        for engine in engines:
            for item in _engine_slices(report, engine, side, begins):
                yield _slice(*item, process, threads[engine])


def _engine_slices(
    report: "SimulationReport", engine: str, side: str, begins: list[int]
) -> Iterator[tuple[str, str, int, int, Mapping[str, Any]]]:
    """Yield category, name, start, end and arguments of what an engine does."""
    tokens: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for item in report.instructions:
        if item["engine"] == engine:
            tokens[item["token"]].append(item)
    # A run that was not bit-exact may have begun a token that has no end.
    for begin, items in zip(begins, tokens.values(), strict=False):
        shown_items = shown_spans(_ended(items, side), begin)
        for item, (wait, shown) in zip(items, shown_items, strict=False):
            if wait[0] < wait[1]:
                yield "stall", f"waits for {item['cause']}", *wait, {}
            arguments = {name: item[name] for name in ("index", "iteration", "cause")}
            if engine == Engine.ARRAY.value:
                arguments["stalls"] = item["stalls"]
            arguments["start"] = item["start"][side]
            yield "instruction", item["text"], *shown, arguments


def _ended(items: list[dict[str, Any]], side: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of instructions up to the first that has not ended."""
    for item in items:
        start, end = item["start"][side], item["end"][side]
        if start is None or end is None:
            return
        yield start, end


def _slice(
    category: str,
    name: str,
    start: int,
    end: int,
    arguments: Mapping[str, Any],
    process: int,
    thread: int,
) -> dict[str, Any]:
    return {
        "ph": "X",
        "cat": category,
        "name": name,
        "ts": start,
        "dur": end - start,
        "pid": process,
        "tid": thread,
        "args": dict(arguments),
    }


def _name(kind: str, name: str, **place: int) -> dict[str, Any]:
    return {"ph": "M", "name": kind, **place, "args": {"name": name}}
