"""Timing of :class:`rtl_gen.units.counters.Counters`."""

__all__ = ["VISIT_LATENCY", "snapshot_cycles"]

#: From the visit of a counter to the first cycle in which its memory can be read again: read, add
#: each half, write.
VISIT_LATENCY = 4


def snapshot_cycles(n_counters: int) -> int:
    """Count cycles from a latch to the first in which all sampled values can be addressed."""
    return n_counters + VISIT_LATENCY
