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
        self._latency = word_cycle(config, freed=0)
        self._left = 0  # words of the newest freed beat that have not been taken
        self._before, self._last = _NEVER, _NEVER  # when the last two words were taken

    def take(self, cycle: int, count: int) -> tuple[int, int]:
        """Take the next words, one per cycle as far as they are there.

        Parameters
        ----------
        cycle : int
            Cycle before the first one in which a word may be taken.
        count : int
            Words that are wanted.

        Returns
        -------
        words, cycle : int
            Words taken, fewer than wanted where the beats of the next one are not known yet, and
            the cycle in which the last of them was taken (`cycle` if there was none).
        """
        # The one loop of the cycle model that runs once per word: everything is at hand.
        freed, latency = self.freed, self._latency
        before, last, left = self._before, self._last, self._left
        taken = 0
        while taken < count:
            if not left:
                left = self._free(before)
                if not left:
                    break
            # A word comes after the one before it and after its last byte has left the memory.
            cycle = max(cycle, last) + 1
            if (arrived := freed[-1] + latency) > cycle:
                cycle = arrived
            before, last = last, cycle
            left -= 1
            taken += 1
        self._before, self._last, self._left = before, last, left
        return taken, cycle

    def _free(self, taken: int) -> int:
        """Let the beats of the next word leave the memory; return the words that they hold.

        `taken` is the cycle in which the last but one of all words before was taken.
        """
        freed, arrivals = self.freed, self.arrivals
        first = len(freed)
        if first + self._beats > len(arrivals):
            return 0
        before = freed[-1] if freed else _NEVER
        for beat in range(first, first + self._beats):
            before = freed_cycle(arrivals[beat], before, taken)
            freed.append(before)
            taken = _NEVER
        return self._per_beat - self.padding.get(first, 0)
