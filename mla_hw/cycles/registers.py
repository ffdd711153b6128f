"""Timing of :class:`rtl_gen.units.registers.Registers`."""

__all__ = ["READ_LATENCY", "WRITE_LATENCY", "WRITE_TO_ACTION"]

#: From the accepted AR to RVALID; a counter that is still being sampled comes later.
READ_LATENCY = 4
#: From the accepted AW and W to BVALID, the first cycle with the new value.
WRITE_LATENCY = 3
#: From the accepted AW and W to the pulse of ``start`` or ``abort``.
WRITE_TO_ACTION = 3
