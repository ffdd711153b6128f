"""From a layer's dimensions to steps bound to engines, with placed buffers."""

from mla_hw.schedule.placement import Buffer, Placement
from mla_hw.schedule.schedule import Event, Loop, Schedule, Step
from mla_hw.schedule.scheduler import SCHEMES, check_scheme, schedule_layer

__all__ = [
    "SCHEMES",
    "Buffer",
    "Event",
    "Loop",
    "Placement",
    "Schedule",
    "Step",
    "check_scheme",
    "schedule_layer",
]
