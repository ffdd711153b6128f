"""Spans of an engine's instructions as a timeline shows them: one after another, with waits."""

from collections.abc import Iterable, Iterator

__all__ = ["Span", "shown_spans"]

#: First cycle, and the first behind.
Span = tuple[int, int]


def shown_spans(spans: Iterable[Span], begin: int = 0) -> Iterator[tuple[Span, Span]]:
    """Yield for each instruction of an engine the wait before it, and where it is shown.

    An engine has several instructions under way and ends them in order. What is shown of one begins
    at its start or at the end of the one before, whichever is later; a wait fills the time in which
    nothing is under way, and is empty where there is none.

    Parameters
    ----------
    spans : iterable of (int, int)
        Start and end of each instruction in cycles, in the order in which they end.
    begin : int
        Cycle that the others count from, at which the engine is free.
    """
    free = begin
    for start, end in spans:
        first, behind = max(begin + start, free), max(begin + end, free)
        yield (free, first), (first, behind)
        free = behind
