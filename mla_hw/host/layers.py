"""Layers of an image that holds several: one program and one core, weights and caches of each."""

from dataclasses import replace

from mla_hw.design import Design
from mla_hw.errors import ConfigError

__all__ = ["layer_design"]


def layer_design(design: Design, layer: int | None) -> Design:
    """Return the design of one layer, whose regions the base registers are set to.

    Parameters
    ----------
    design : Design
        As loaded. Where the image holds several layers, its manifest has a list ``layers`` of those
        behind the first: the number ``layer`` of each, its ``regions`` as far as it does not share
        them, and its ``scales``.
    layer : int or None
        Number of the layer in the checkpoint; None for the first one of the image.

    Raises
    ------
    ConfigError
        If the image does not hold it.
    """
    numbers = design.layers
    if layer is None or layer == numbers[0]:
        return design
    if layer not in numbers:
        held = ", ".join(map(str, sorted(numbers)))
        raise ConfigError(f"--layer: must be one that the image holds ({held}), not {layer}")
    index = numbers.index(layer)
    return replace(
        design,
        memory=design.memory.of_layer(index),
        scales=design.manifest["layers"][index - 1]["scales"],
    )
