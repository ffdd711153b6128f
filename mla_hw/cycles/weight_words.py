"""Timing of the weight path: from beats at the weight FIFO to words that the array takes."""

from collections.abc import Sequence

from mla_hw.cycles.weight_fifo import freed_cycle, word_cycle
from mla_hw.hardware import CoreConfig

__all__ = ["WeightWords"]

_NEVER = -1


class WeightWords:
    """Predict when each word of C bytes can be taken, given when the ones before were.

    Parameters
    ----------
    config : CoreConfig
    arrivals : sequence of int
        Cycle in which each beat reaches the FIFO; grows while the model runs.
    padding : dict of int to int
        Words at the end of a beat that are padding, by the beat's number; grows, too.

    Attributes
    ----------
    freed : list of int
        Cycle in which each beat has left the memory of the FIFO.
    """

    def __init__(
        self, config: CoreConfig, arrivals: Sequence[int], padding: dict[int, int]
    ) -> None:
        self.config = config
        self.arrivals = arrivals
        self.padding = padding
        self.freed: list[int] = []
        self._per_beat = max(1, config.port_bytes // config.columns)
        self._beats = max(1, config.columns // config.port_bytes)
        self._left = 0  # words of the newest freed beat that have not been taken
        self._taken = [_NEVER, _NEVER]  # the last two

    def available(self) -> int | None:
        """First cycle in which the next word is at the output; None if its beats are not known."""
        if not self._left and not self._free():
            return None
        return word_cycle(self.config, self.freed[-1], self._taken[-1])

    def take(self, cycle: int) -> None:
        """Take the next word."""
        self._left -= 1
        self._taken = [self._taken[-1], cycle]

    def _free(self) -> bool:
        """Let the beats of the next word leave the memory."""
        first = len(self.freed)
        if first + self._beats > len(self.arrivals):
            return False
        for beat in range(first, first + self._beats):
            before = self.freed[-1] if self.freed else _NEVER
            taken = self._taken[0] if beat == first else _NEVER
            self.freed.append(freed_cycle(self.arrivals[beat], before, taken))
        self._left = self._per_beat - self.padding.get(first, 0)
        return True
