"""The trace of a simulation, from a report that was made by hand."""

import json
from types import SimpleNamespace

import pytest

from mla_hw.cli.trace_file import trace_events, trace_text


def instruction(token, index, engine, simulated, predicted, cause="dispatcher"):
    return {
        "token": token,
        "index": index,
        "iteration": [index],
        "text": f"DO {index}",
        "engine": engine,
        "cause": cause,
        "stalls": {"weights": 0, "latents": index, "drain": 0},
        "start": {"simulated": simulated[0], "predicted": predicted[0]},
        "end": {"simulated": simulated[1], "predicted": predicted[1]},
    }


@pytest.fixture
def report():
    return SimpleNamespace(
        instructions=[
            instruction(4, 0, "reader", (3, 20), (3, 20)),
            # Under way together with the one before.
            instruction(4, 1, "reader", (8, 26), (8, 25), "order"),
            instruction(4, 2, "array", (21, 40), (20, 40), "semaphore x"),
            instruction(4, 3, "reader", (30, 35), (30, 36), "semaphore ring"),
            instruction(5, 0, "reader", (3, 20), (3, 20)),
            instruction(5, 2, "array", (None, None), (20, 40), "semaphore x"),
        ],
        cycles={"simulated": [44, 30], "predicted": [45, 44]},
        counters=[{"cycles": 44}, {"cycles": 30}],
        memory="fixed:32",
        hash="0123",
        bit_exact=False,
        tools={"mla-hw": "1"},
    )


def slices(report, side, track):
    """Return category, name, start and end of what a track shows."""
    events = list(trace_events(report))
    process = next(
        e["pid"] for e in events if e["name"] == "process_name" and e["args"]["name"] == side
    )
    thread = next(
        e["tid"]
        for e in events
        if e["name"] == "thread_name" and e["pid"] == process and e["args"]["name"] == track
    )
    return [
        (e["cat"], e["name"], e["ts"], e["ts"] + e["dur"])
        for e in events
        if e["ph"] == "X" and (e["pid"], e["tid"]) == (process, thread)
    ]


def test_engines_have_instructions_and_stalls_with_their_cause(report):
    assert slices(report, "simulated", "reader") == [
        ("stall", "waits for dispatcher", 0, 3),
        ("instruction", "DO 0", 3, 20),
        ("instruction", "DO 1", 20, 26),
        ("stall", "waits for semaphore ring", 26, 30),
        ("instruction", "DO 3", 30, 35),
        ("stall", "waits for dispatcher", 44, 47),
        ("instruction", "DO 0", 47, 64),
    ]
    assert slices(report, "predicted", "array")[0] == ("stall", "waits for semaphore x", 0, 20)
    # What has not ended is not shown.
    assert slices(report, "simulated", "array") == [
        ("stall", "waits for semaphore x", 0, 21),
        ("instruction", "DO 2", 21, 40),
    ]


def test_tokens_follow_each_other(report):
    assert slices(report, "simulated", "run") == [
        ("run", "token 0", 0, 44),
        ("run", "token 1", 44, 74),
    ]


def test_text_is_json(report):
    data = json.loads(trace_text(report))
    assert data["otherData"]["memory"] == "fixed:32"
    first = next(e for e in data["traceEvents"] if e["name"] == "DO 1")
    assert first["args"] == {"index": 1, "iteration": [1], "cause": "order", "start": 8}
    product = next(e for e in data["traceEvents"] if e["name"] == "DO 2")
    assert product["args"]["stalls"] == {"weights": 0, "latents": 2, "drain": 0}
    with_stalls = [e for e in data["traceEvents"] if "stalls" in e.get("args", ())]
    assert {e["args"]["index"] for e in with_stalls} == {
        item["index"] for item in report.instructions if item["engine"] == "array"
    }
    tokens = [e for e in data["traceEvents"] if e["ph"] == "X" and e["cat"] == "run"]
    assert [token["args"] for token in tokens] == [{"cycles": 44}, {"cycles": 30}, {}, {}]
