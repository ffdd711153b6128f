"""Golden model of :class:`rtl_gen.units.serial_normalizer.SerialNormalizer`."""

__all__ = ["normalize_left"]


def normalize_left(value: int, bits: int, stride: int = 1) -> tuple[int, int]:
    """Shift left by whole strides until the top ``stride`` of ``bits`` bits are not all 0.

    Parameters
    ----------
    value : int
        From 1 to ``2**bits - 1``.
    bits, stride : int
        Width of the word, and of one step.

    Returns
    -------
    normalized : int
    count : int
        Strides that it was shifted by.
    """
    count = (bits - value.bit_length()) // stride
    return value << (stride * count), count
