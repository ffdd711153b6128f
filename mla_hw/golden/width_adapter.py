"""Golden model of :class:`rtl_gen.units.width_adapter.WidthAdapter`."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["regroup_bytes"]


def regroup_bytes(
    beats: NDArray[np.uint8], words: NDArray[np.int64], columns: int
) -> NDArray[np.uint8]:
    """Cut port words into words of ``columns`` bytes, or join them, in the order of memory.

    Parameters
    ----------
    beats : [n, port_bytes] uint8
        Port words, lowest address first.
    words : [n] int
        Words of ``columns`` bytes that count in each beat; the ones behind them are padding.
        Without meaning where a beat is narrower than a word: then all beats count.
    columns : int
        Bytes per word at the output.

    Returns
    -------
    [m, columns] uint8
    """
    port_bytes = beats.shape[1]
    if port_bytes < columns:
        return beats.reshape(-1, columns)
    cut = beats.reshape(len(beats), port_bytes // columns, columns)
    valid = np.arange(port_bytes // columns) < words[:, np.newaxis]
    return cut[valid]
