"""Golden model of :class:`rtl_gen.units.activation_buffer.ActivationBuffer`: element addresses."""

import numpy as np
from numpy.typing import ArrayLike

from mla_hw.golden.arithmetic import Ints
from mla_hw.hardware import CoreConfig
from mla_hw.program.instructions import ADDRESS_OFFSET_BITS

__all__ = ["place_elements", "row_offset"]


def row_offset(query_rows: int, row: int) -> int:
    """Return the element address, in the layout *spread*, of element 0 at address 0 of a query row.

    The upper bits of an element address count query rows, so that those of one row follow each
    other.
    """
    return row << (ADDRESS_OFFSET_BITS - (query_rows - 1).bit_length())


def place_elements(config: CoreConfig, elements: ArrayLike, *, lanes: bool) -> tuple[Ints, Ints]:
    """Return lane and address of element addresses.

    Parameters
    ----------
    config : CoreConfig
    elements : array_like of int
    lanes : bool
        Layout *lanes*, else *spread*.
    """
    elements = np.asarray(elements, np.int64)
    if lanes:
        return elements & ((1 << config.lane_bits) - 1), elements >> config.lane_bits
    row, element = np.divmod(elements, 1 << (ADDRESS_OFFSET_BITS - config.query_bits))
    bits = config.spread_bits
    return row << bits | element & ((1 << bits) - 1), element >> bits
