"""Layers of an image that holds several: one program and one core, weights and caches of each."""

from dataclasses import replace

from mla_hw.design import Design
from mla_hw.errors import ConfigError
from mla_hw.program.image import Region

__all__ = ["layer_design"]


def layer_design(design: Design, layer: int | None) -> Design:
    """Return the design of one layer, whose regions the base registers are set to.

    Parameters
    ----------
    design : Design
        As loaded. Its manifest may have a list ``layers`` with the number ``layer`` of each, its
        ``regions`` as far as they lie elsewhere, and its ``scales``.
    layer : int or None
        Number of the layer in the checkpoint; None for the first one of the image.

    Raises
    ------
    ConfigError
        If the image does not hold it.
    """
    first = design.manifest.get("layer")
    if layer is None or layer == first:
        return design
    others = {entry["layer"]: entry for entry in design.manifest.get("layers", ())}
    if layer not in others:
        held = ", ".join(str(number) for number in sorted({first, *others} - {None}))
        raise ConfigError(f"--layer: must be one that the image holds ({held}), not {layer}")
    regions = {name: Region(**place) for name, place in others[layer].get("regions", {}).items()}
    return replace(
        design,
        memory=replace(design.memory, regions={**design.regions, **regions}),
        scales=others[layer].get("scales", design.scales),
    )
