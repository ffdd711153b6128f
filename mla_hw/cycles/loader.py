"""Timing of :class:`rtl_gen.units.loader.Loader`."""

from collections.abc import Iterable

from mla_hw.golden.loader import ELEMENT_BYTES
from mla_hw.hardware import CoreConfig

__all__ = [
    "LOADER_COMMAND_LATENCY",
    "LOADER_DONE_LATENCY",
    "LOADER_WRITE_LATENCY",
    "LoaderModel",
    "elements_per_write",
    "writes_per_beat",
]

#: Cycles from the accepted command to the first beat that can be accepted.
LOADER_COMMAND_LATENCY = 1
#: Cycles from an accepted beat to its first write.
LOADER_WRITE_LATENCY = 2
#: Cycles from the last write to ``done``; what is written is in the memory by then.
LOADER_DONE_LATENCY = 1


def elements_per_write(config: CoreConfig, target: str) -> int:
    """Elements written per cycle; ``destination`` is a multiple of it."""
    if target == "spread":
        return int(min(config.port_bytes // 2, 1 << config.load_bits))
    if target == "lanes":
        return int(min(config.port_bytes, 1 << config.lane_bits))
    return 1


def writes_per_beat(config: CoreConfig, target: str) -> int:
    """Cycles that a beat takes, the last one too, whatever is dropped of it."""
    width = ELEMENT_BYTES[target] * elements_per_write(config, target)
    return config.port_bytes // width


class LoaderModel:
    """Predict when the loader takes its beats and when it is done.

    Parameters
    ----------
    config : CoreConfig
    """

    def __init__(self, config: CoreConfig) -> None:
        self.config = config
        self._interval = 1
        self._next_command = 0
        self._next_beat = 0
        self._beat = 0

    def begin(self, target: str, offered: int) -> int:
        """Return the cycle in which a command is taken that is offered from ``offered`` on."""
        taken = max(offered, self._next_command)
        self._interval = writes_per_beat(self.config, target)
        self._next_beat = taken + LOADER_COMMAND_LATENCY
        return taken

    def take(self, offered: Iterable[int]) -> list[int]:
        """Return the cycles in which beats of the command are taken, from when they are offered."""
        taken = []
        for cycle in offered:
            self._beat = max(cycle, self._next_beat)
            self._next_beat = self._beat + self._interval
            taken.append(self._beat)
        return taken

    def finish(self) -> int:
        """Return the cycle of ``done`` after the last beat."""
        last_write = self._beat + LOADER_WRITE_LATENCY + self._interval - 1
        self._next_command = self._beat + self._interval + 1
        return last_write + LOADER_DONE_LATENCY
