"""Golden model of :class:`rtl_gen.units.latent_ring.LatentRing`: where each element lies."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mla_hw.golden.arithmetic import Ints
from mla_hw.hardware import CoreConfig

__all__ = ["fill_ring", "place_latent", "place_product"]


def place_latent(
    config: CoreConfig, block: ArrayLike, token: ArrayLike, channel: ArrayLike
) -> tuple[Ints, Ints]:
    """Return bank and address of an element of the ring.

    Neither C channels of a token nor one channel of C tokens share a bank.

    Parameters
    ----------
    config : CoreConfig
    block : array_like of int
        Block of the ring, below ``ring_blocks``.
    token : array_like of int
        Token within the block, below ``columns``.
    channel : array_like of int
        Channel of the padded row (latents, then key), below ``token_words * columns``.
    """
    block, token, channel = (np.asarray(value, np.int64) for value in (block, token, channel))
    word, offset = channel // config.columns, channel % config.columns
    bank = (token + offset) % config.columns
    address = (block * config.token_words + word) * config.columns + token
    return bank, address


def place_product(config: CoreConfig, row: ArrayLike, channel: ArrayLike) -> tuple[Ints, Ints]:
    """Return bank and address of an element of the product rows, which lie as the ring's do.

    Parameters
    ----------
    config : CoreConfig
    row : array_like of int
        Product row, below ``product_blocks * columns``.
    channel : array_like of int
        Below ``product_words * columns``.
    """
    row, channel = np.asarray(row, np.int64), np.asarray(channel, np.int64)
    block, index = row // config.columns, row % config.columns
    word, offset = channel // config.columns, channel % config.columns
    bank = (index + offset) % config.columns
    return bank, (block * config.product_words + word) * config.columns + index


def fill_ring(
    config: CoreConfig, rows: Sequence[Ints], scales: Sequence[Ints]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the ring's memories after a sequence of tiles, each of which begins a new block.

    Parameters
    ----------
    config : CoreConfig
    rows : sequence of [tokens, token_words * columns] int8
        One entry per tile: latents and key of its tokens, each padded to C.
    scales : sequence of [tokens] int
        The tokens' scales.

    Returns
    -------
    banks : [columns, ring_depth] int
        Contents of each bank, 0 where nothing has been written.
    scales : [ring_blocks * columns] int
    """
    banks = np.zeros((config.columns, config.ring_depth), np.int64)
    held = np.zeros(config.ring_blocks * config.columns, np.int64)
    first = 0
    for tile, tile_scales in zip(rows, scales, strict=True):
        # Token by token, because a tile longer than the ring overwrites its own begin.
        for index, (row, scale) in enumerate(zip(tile, tile_scales, strict=True)):
            block = (first + index // config.columns) % config.ring_blocks
            token = index % config.columns
            banks[place_latent(config, block, token, np.arange(len(row)))] = row
            held[block * config.columns + token] = scale
        first += -(-len(tile) // config.columns)
    return banks, held
