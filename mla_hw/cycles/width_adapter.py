"""Timing of :class:`rtl_gen.units.width_adapter.WidthAdapter`."""

from mla_hw.cycles.timing import Timing
from mla_hw.hardware import CoreConfig

__all__ = ["beats_per_word", "width_adapter_timing", "words_per_beat"]


def words_per_beat(config: CoreConfig) -> int:
    """Words of ``columns`` bytes that a port word holds at most; 1 where it is narrower."""
    return max(1, config.port_bytes // config.columns)


def beats_per_word(config: CoreConfig) -> int:
    """Port words that make a word of ``columns`` bytes; 1 where one holds several."""
    return max(1, config.columns // config.port_bytes)


def width_adapter_timing(config: CoreConfig) -> Timing:
    """From the beat that completes a word to that word at the output; interval of full beats.

    The next beat is accepted in the cycle in which the last word of the one before leaves.
    """
    return Timing(latency=1, interval=words_per_beat(config))
