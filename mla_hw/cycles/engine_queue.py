"""Timing of :class:`rtl_gen.units.engine_queue.EngineQueue`.

An instruction that is pushed in cycle ``p`` starts in the first cycle in which its engine is ready
and that is not before any of

- ``p + PUSH_TO_START``;
- ``g + GIVE_TO_START`` for the end, in cycle ``g``, of what gives each semaphore it waits for;
- ``c + CREDIT_TO_START`` for the POST, executed in cycle ``c``, of each credit that it takes;
- ``s + START_TO_START`` for the start ``s`` of the one before it;
- ``d + END_TO_START`` for the end ``d`` of the one ``STARTED_DEPTH`` before it.
"""

from collections.abc import Iterable

from mla_hw.cycles.semaphores import CREDIT_TIMING, GIVE_TIMING, TAKE_TIMING

__all__ = [
    "CREDIT_TO_START",
    "END_TO_START",
    "GIVE_LATENCY",
    "GIVE_TO_START",
    "LEAST_DURATION",
    "PUSH_TO_START",
    "STARTED_DEPTH",
    "START_TO_PUSH",
    "START_TO_START",
    "earliest_start",
]

#: Instructions of one engine that are under way at once.
STARTED_DEPTH = 8
#: From the start of an instruction to its end, at the least.
LEAST_DURATION = 2
#: From the cycle in which all conditions hold to the offer.
_OFFER_LATENCY = 1
#: From the end of an instruction to what it gives.
GIVE_LATENCY = 1
#: From a push, or from the start that brings the next instruction to the head, to its semaphores
#: at the output of the queue's memory.
_HEAD_LATENCY = 2
PUSH_TO_START = _HEAD_LATENCY + _OFFER_LATENCY
GIVE_TO_START = GIVE_LATENCY + GIVE_TIMING.latency + _OFFER_LATENCY
CREDIT_TO_START = CREDIT_TIMING.latency + _OFFER_LATENCY
START_TO_START = _HEAD_LATENCY + _OFFER_LATENCY
END_TO_START = 1 + _OFFER_LATENCY
#: A place in a full queue can be used this many cycles after the start that frees it.
START_TO_PUSH = 1


def earliest_start(
    pushed: int,
    gives: Iterable[int] = (),
    *,
    credits: Iterable[int] = (),
    previous: int | None = None,
    freed: int | None = None,
) -> int:
    """Return the first cycle in which the command of an instruction is offered to its engine.

    Parameters
    ----------
    pushed : int
        Cycle in which it entered the queue.
    gives : iterable of int
        For each semaphore that it waits for and that an engine's give serves, the give's cycle.
    credits : iterable of int
        For each that a POST serves, the cycle in which that is executed.
    previous : int, optional
        Start of the instruction before it in the same queue.
    freed : int, optional
        End of the instruction ``STARTED_DEPTH`` before it in the same queue.
    """
    start = max([
        pushed + PUSH_TO_START,
        *(give + GIVE_TO_START for give in gives),
        *(credit + CREDIT_TO_START for credit in credits),
    ])
    if previous is not None:
        start = max(start, previous + START_TO_START)
    if freed is not None:
        start = max(start, freed + END_TO_START)
    return start


# The semaphores show what a start has taken before the next instruction looks at them.
assert TAKE_TIMING.latency <= _HEAD_LATENCY
