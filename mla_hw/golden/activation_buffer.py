"""Golden model of :class:`rtl_gen.units.activation_buffer.ActivationBuffer`: element addresses."""

import numpy as np
from numpy.typing import ArrayLike

from mla_hw.golden.arithmetic import Ints
from mla_hw.hardware import CoreConfig

__all__ = ["place_elements"]


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
    bits = config.lane_bits if lanes else config.spread_bits
    return elements & ((1 << bits) - 1), elements >> bits
