"""Golden model of :class:`rtl_gen.units.output_buffer.OutputBuffer`."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

__all__ = ["gather_elements"]


def gather_elements(
    elements: Iterable[tuple[int, int]],
    *,
    words: int,
    port_bytes: int,
    element_bits: int,
    shared_words: bool = False,
) -> NDArray[np.uint8]:
    """Return the buffer's port words after a sequence of elements.

    A word is cleared when the first element after one of another word meets it, unless words are
    shared.

    Parameters
    ----------
    elements : iterable of (int, int)
        Index and value; negative values as two's complement.
    words : int
        Port words that the buffer holds, all 0 at first.
    port_bytes, element_bits : int
    shared_words : bool
        Nothing is ever cleared.

    Returns
    -------
    [words, port_bytes] uint8
    """
    size = element_bits // 8
    out = np.zeros((words, port_bytes), np.uint8)
    current = None
    for index, value in elements:
        word, slot = divmod(index, port_bytes // size)
        if word != current and not shared_words:
            out[word], current = 0, word
        encoded = (value % (1 << element_bits)).to_bytes(size, "little")
        out[word, slot * size : (slot + 1) * size] = np.frombuffer(encoded, np.uint8)
    return out
