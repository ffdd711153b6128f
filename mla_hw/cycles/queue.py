"""Timing of :class:`rtl_gen.units.queue.Queue`."""

from mla_hw.cycles.timing import Timing

__all__ = ["QUEUE_TIMING"]

#: From an accepted payload to the same payload at the output of a queue that was empty.
QUEUE_TIMING = Timing(latency=1)
