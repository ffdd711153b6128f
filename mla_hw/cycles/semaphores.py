"""Timing of :class:`rtl_gen.units.semaphores.Semaphores`."""

from mla_hw.cycles.timing import Timing

__all__ = ["CREDIT_TIMING", "GIVE_TIMING", "OVERFLOW_TIMING", "TAKE_TIMING"]

#: From an engine's ``give`` to ``available``.
GIVE_TIMING = Timing(latency=1)
#: From ``credit`` to ``available``.
CREDIT_TIMING = Timing(latency=2)
#: From ``take`` to ``available``.
TAKE_TIMING = Timing(latency=2)
#: From a ``give`` beyond the cap to ``overflow``.
OVERFLOW_TIMING = Timing(latency=2)
