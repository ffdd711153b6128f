"""Timing of :class:`rtl_gen.units.matmul_sequencer.MatmulSequencer`.

Everything counts from *issue* cycles: the cycle in which a step, whose operands are requested
``REQUEST_LATENCY`` cycles later, or a word of requantise constants is taken. A tile issues one of
these per cycle as long as there is a weight word (project) or the block is complete (score,
context).
"""

from mla_hw.cycles.activation_buffer import ACTIVATION_READ_LATENCY
from mla_hw.cycles.drain_controller import PAYLOAD_TIMING, drain_cycles, last_payload
from mla_hw.cycles.latent_ring import LATENT_READ_LATENCY
from mla_hw.cycles.requantizer import requantizer_timing
from mla_hw.cycles.systolic_array import result_latency
from mla_hw.hardware import CONSTANT_BANKS, CoreConfig

__all__ = [
    "BLOCK_LATENCY",
    "COMMAND_LATENCY",
    "COMMAND_TO_COMMAND",
    "CONSTANT_LATENCY",
    "CONSTANT_WORDS",
    "OPERAND_LATENCY",
    "RELEASE_LATENCY",
    "REQUEST_LATENCY",
    "STEP_LATENCY",
    "TILE_LATENCY",
    "tile_issues",
    "tile_spacing",
    "tile_start",
    "tile_steps",
    "tiles",
]

#: From the start of a command to its first issue, if nothing is waited for.
COMMAND_LATENCY = 2
#: From the last issue of a command to the earliest start of the next one.
COMMAND_TO_COMMAND = 1
#: From the cycle in which ``filled`` counts a block to its first issue.
BLOCK_LATENCY = 1
#: From an issue to the requests for its operands.
REQUEST_LATENCY = 1
#: From an issue to the operands that were requested.
OPERAND_LATENCY = REQUEST_LATENCY + ACTIVATION_READ_LATENCY
assert ACTIVATION_READ_LATENCY == LATENT_READ_LATENCY
#: From an issue to the step at the array.
STEP_LATENCY = OPERAND_LATENCY + 1
#: From a tile's last issue to its description for the drain controller.
TILE_LATENCY = 1
#: From the last issue of a command that releases to ``release``.
RELEASE_LATENCY = 1
#: From the issue of a word of constants to the word for the requantiser.
CONSTANT_LATENCY = 1
#: Words of constants ahead of each tile of a projection: C of 16 bits.
CONSTANT_WORDS = 2


def tiles(config: CoreConfig, n: int) -> int:
    """Tiles of C channels or tokens."""
    return -(-n // config.columns)


def tile_steps(config: CoreConfig, mode: str, k: int) -> int:
    """Array steps per tile; those of a score are the true lengths of a cache row."""
    return config.key_channels + config.qk_rope_head_dim if mode == "score" else k


def tile_issues(config: CoreConfig, mode: str, k: int) -> int:
    """Issues per tile: its steps and, in a projection, the words of constants before them."""
    return tile_steps(config, mode, k) + (CONSTANT_WORDS if mode == "project" else 0)


def tile_spacing(config: CoreConfig, mode: str, rows: int) -> int:
    """Least distance of a tile's last issue from the last issue of the next tile.

    The drain is done when the next one begins. And a bank of constants, which is written again
    ``CONSTANT_BANKS`` tiles later, has been used by then.
    """
    spacing = drain_cycles(config, mode, rows)
    if mode != "project":
        return spacing
    last_use = (
        STEP_LATENCY
        + result_latency(config.columns, 0)
        + PAYLOAD_TIMING.latency
        + last_payload(config, mode, rows)
        + requantizer_timing().latency
    )
    # The first constant comes with the issue after the last one of the tile before.
    rewritten_after = CONSTANT_BANKS - 1
    return max(spacing, -(-(last_use - CONSTANT_LATENCY) // rewritten_after))


def tile_start(ready: int, steps: int, last_issue: int, spacing: int) -> int:
    """First issue of a tile.

    Parameters
    ----------
    ready : int
        First cycle in which all else allows it: the latest of the start of the command plus
        ``COMMAND_LATENCY``, the last issue of the tile before plus 1, the cycle in which the first
        word is there, and that in which ``filled`` counts the block plus ``BLOCK_LATENCY``.
    steps : int
        Of this tile, see :func:`tile_steps`.
    last_issue, spacing : int
        Of the tile before, see :func:`tile_spacing`.
    """
    return max(ready, last_issue + spacing - steps + 1)
