"""Timing of a unit whose latency is a constant."""

from dataclasses import dataclass

__all__ = ["Timing"]


@dataclass(frozen=True, slots=True)
class Timing:
    """Latency and interval of a unit that never stalls.

    Parameters
    ----------
    latency : int
        Cycles from the cycle in which an input is presented (``en``, or valid and ready) to the
        cycle in which its output is presented.
    interval : int
        Cycles between two inputs.
    """

    latency: int
    interval: int = 1

    def then(self, other: "Timing") -> "Timing":
        """Return the timing of this unit followed by ``other``."""
        return Timing(self.latency + other.latency, max(self.interval, other.interval))

    def cycles(self, elements: int) -> int:
        """Count cycles from the first input to the last of ``elements`` outputs."""
        return self.latency + self.interval * (elements - 1)
