"""Timing of :class:`rtl_gen.units.latent_ring.LatentRing`."""

from mla_hw.cycles.simple_memory import MEMORY_READ_LATENCY
from mla_hw.hardware import CoreConfig

__all__ = [
    "LATENT_FILL_LATENCY",
    "LATENT_READ_LATENCY",
    "LATENT_SCALE_LATENCY",
    "PRODUCT_WRITE_LATENCY",
    "block_complete_words",
    "row_words",
]

#: Cycles from a read request to its lanes: address, memory (2), a register behind it, two halves
#: of the rotator.
LATENT_READ_LATENCY = MEMORY_READ_LATENCY + 4
#: Cycles from a scale's address to the scale.
LATENT_SCALE_LATENCY = MEMORY_READ_LATENCY
#: Cycles from the write of an element of the product rows to the first read that sees it.
PRODUCT_WRITE_LATENCY = 1
#: Cycles from the accepted scale word of a block's last token to the cycle in which ``filled``
#: counts the block; reads presented in that cycle see all of it.
LATENT_FILL_LATENCY = 3


def row_words(config: CoreConfig) -> int:
    """Words of ``columns`` bytes that a cache row takes in memory."""
    return config.row_bytes // config.columns


def block_complete_words(config: CoreConfig, tokens: int) -> tuple[int, ...]:
    """Index of the word that completes each block of a tile, counted from the tile's first word.

    One word is accepted per cycle, the last word of a tile and the first of the next one in
    consecutive cycles as long as the next tile has been announced by then.

    Parameters
    ----------
    config : CoreConfig
    tokens : int
        Cached tokens in the tile, at least 1.
    """
    last_tokens = [*range(config.columns - 1, tokens - 1, config.columns), tokens - 1]
    return tuple(token * row_words(config) + config.token_words for token in last_tokens)
