"""Golden model of :class:`rtl_gen.units.loader.Loader`: what LOAD writes, and where."""

import numpy as np

from mla_hw.errors import ConfigError
from mla_hw.golden.arithmetic import Ints
from mla_hw.hardware import CoreConfig
from mla_hw.program.instructions import FIELDS

__all__ = [
    "ELEMENT_BYTES",
    "LOAD_TARGETS",
    "interleave_rows",
    "load_elements",
    "spread_places",
    "x_elements",
]

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


def x_elements(config: CoreConfig, length: int) -> int:
    """Return how many int16 elements in memory ``length`` elements of every query row take."""
    if config.query_rows == 1:
        return length
    return -(-length >> config.spread_bits) << config.load_bits


def interleave_rows(config: CoreConfig, rows: Ints) -> Ints:
    """Return the elements of all query rows in the order in which memory holds them.

    Two to the power of ``spread_bits`` elements of query row 0, as many of row 1, and so on;
    padding stands in for rows up to a power of two, and for what is missing at the end. One row
    alone lies there as it is.

    Parameters
    ----------
    config : CoreConfig
    rows : [query_rows, length] int

    Returns
    -------
    [x_elements(config, length)] int64
    """
    count, length = rows.shape
    width = 1 << config.spread_bits
    words = -(-length // width)
    padded = np.zeros((1 << config.query_bits, words * width), np.int64)
    padded[:count, :length] = rows
    order = padded.reshape(-1, words, width).transpose(1, 0, 2).ravel()
    return order[: x_elements(config, length)]


def spread_places(config: CoreConfig, destination: int, elements: int) -> tuple[Ints, Ints, Ints]:
    """Return where the elements of all query rows come from and go to in the layout *spread*.

    Parameters
    ----------
    config : CoreConfig
    destination : int
        Address of the first one, times the lanes of all rows, which are ``1 << load_bits``.
    elements : int
        Of each row.

    Returns
    -------
    source, address, lane : [query_rows * elements] int64
        Number of the element in memory (:func:`interleave_rows`), row after row.
    """
    bits = config.spread_bits
    row, index = np.divmod(np.arange(config.query_rows * elements, dtype=np.int64), elements)
    source = index >> bits << config.load_bits | row << bits | index & ((1 << bits) - 1)
    places = destination + source
    return source, places >> config.load_bits, places & ((1 << config.load_bits) - 1)
