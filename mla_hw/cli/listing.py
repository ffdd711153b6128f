"""``mla-hw models`` and ``mla-hw boards``: what there is to generate a core of, and for."""

from typing import TYPE_CHECKING

from mla_hw.presets import PRESETS, Preset

if TYPE_CHECKING:
    from boards import Board

__all__ = ["boards", "models"]


def models() -> dict[str, Preset]:
    """Return the presets by name, with their configurations and which values are assumed."""
    return dict(PRESETS)


def boards() -> "dict[str, Board]":
    """Return the boards by name, with device, memory and default hardware."""
    # This package loads before those beside it.
    from boards import list_boards, load_board

    return {name: load_board(name) for name in list_boards()}
