"""Timing of :class:`rtl_gen.units.counters.Counters`."""

__all__ = ["EVENT_LATENCY", "VISIT_LATENCY", "snapshot_cycles"]

#: From an event, or a latch, to the counters.
EVENT_LATENCY = 1
#: From the visit of a counter to the first cycle in which its memory can be read again: choose,
#: read, add each half, write.
VISIT_LATENCY = 5


def snapshot_cycles(n_counters: int) -> int:
    """Count cycles from a latch to the first in which all sampled values can be addressed."""
    return EVENT_LATENCY + n_counters + VISIT_LATENCY
