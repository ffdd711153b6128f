"""Golden model of :class:`rtl_gen.units.loader.Loader`: what LOAD writes, and where."""

import numpy as np

from mla_hw.errors import ConfigError
from mla_hw.golden.arithmetic import Ints
from mla_hw.program.instructions import FIELDS

__all__ = ["ELEMENT_BYTES", "LOAD_TARGETS", "load_elements", "spread_places"]

_TARGETS = FIELDS["target"].choices
#: Codes of the targets that LOAD knows. ``program`` is no choice of an instruction: the dispatcher
#: fills the program memory with it before the first one.
LOAD_TARGETS = {
    "spread": _TARGETS.index("spread"),
    "lanes": _TARGETS.index("lanes"),
    "table": _TARGETS.index("table"),
    "constants": _TARGETS.index("constants"),
    "program": len(_TARGETS),
}
#: Bytes of one element by target.
ELEMENT_BYTES = {"spread": 2, "lanes": 1, "table": 4, "constants": 4, "program": 4}


def load_elements(memory: bytes, target: str, elements: int) -> Ints:
    """Return the first ``elements`` elements of the bytes that LOAD reads.

    Parameters
    ----------
    memory : bytes
        Whole beats, little endian; what is behind the elements is dropped.
    target : str
        Key of :data:`LOAD_TARGETS`: signed 16-bit elements for ``spread``, signed 8-bit ones for
        ``lanes``, else unsigned 32-bit entries (``table``: cos in the low half, sin in the high
        half).
    elements : int

    Returns
    -------
    [elements] int64

    Raises
    ------
    ConfigError
        If there are fewer elements than asked for.
    """
    width = ELEMENT_BYTES[target]
    if len(memory) < width * elements:
        raise ConfigError(
            f"LOAD of elements = {elements} to {target} needs {width * elements} bytes, "
            f"its beats hold {len(memory)}"
        )
    kind = {"spread": "<i2", "lanes": "i1"}.get(target, "<u4")
    return np.frombuffer(memory, kind, elements).astype(np.int64)


def spread_places(destination: int, elements: int, spread_bits: int) -> tuple[Ints, Ints]:
    """Return address and lane of consecutive elements in the layout *spread*, or across all lanes.

    Parameters
    ----------
    destination : int
        Element address of the first one.
    elements : int
    spread_bits : int
        Bits of the lane within an element address; of the target ``lanes`` those of that layout,
        where lanes beyond the array's rows do not exist.

    Returns
    -------
    address, lane : [elements] int64
    """
    places = destination + np.arange(elements, dtype=np.int64)
    return places >> spread_bits, places & ((1 << spread_bits) - 1)
