"""Timing of :class:`rtl_gen.units.weight_fifo.WeightFifo`."""

from mla_hw.cycles.block_queue import BLOCK_QUEUE_TIMING
from mla_hw.cycles.timing import Timing
from mla_hw.cycles.width_adapter import width_adapter_timing
from mla_hw.hardware import CoreConfig

__all__ = ["freed_cycle", "weight_fifo_timing", "word_cycle"]

_NEVER = -1


def weight_fifo_timing(config: CoreConfig) -> Timing:
    """From the beat that completes a word to that word, where nothing is before it."""
    return BLOCK_QUEUE_TIMING.then(width_adapter_timing(config))


def freed_cycle(arrival: int, freed_before: int = _NEVER, taken: int = _NEVER) -> int:
    """Return the cycle in which a beat leaves the memory (``freed``).

    Parameters
    ----------
    arrival : int
        Cycle in which the FIFO accepts the beat.
    freed_before : int, optional
        Cycle in which the beat before left the memory.
    taken : int, optional
        Cycle in which the last but one of all words before this beat has been taken (the last one
        waits outside of the adapter). Left out for a beat that does not begin a word.
    """
    return max(arrival + BLOCK_QUEUE_TIMING.latency, freed_before + 1, taken + 1)


def word_cycle(config: CoreConfig, freed: int, taken: int = _NEVER) -> int:
    """Return the first cycle in which a word is at the output.

    Parameters
    ----------
    config : CoreConfig
    freed : int
        Cycle in which the beat with the word's last byte left the memory.
    taken : int, optional
        Cycle in which the word before has been taken.
    """
    return max(freed + width_adapter_timing(config).latency, taken + 1)
