"""Timing of :class:`rtl_gen.units.semaphores.Semaphores`."""

from mla_hw.cycles.timing import Timing

__all__ = ["SEMAPHORE_TIMING"]

#: From ``give`` or ``take`` to ``available``.
SEMAPHORE_TIMING = Timing(latency=1)
