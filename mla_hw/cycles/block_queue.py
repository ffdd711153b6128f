"""Timing of :class:`rtl_gen.units.block_queue.BlockQueue`."""

from mla_hw.cycles.timing import Timing

__all__ = ["BLOCK_QUEUE_TIMING"]

#: From an accepted payload to the same payload at the output of a queue that was empty: it is
#: written, read, registered, written to LUT RAM, and registered.
BLOCK_QUEUE_TIMING = Timing(latency=5)
