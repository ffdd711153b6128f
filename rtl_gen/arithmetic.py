"""Rounding and saturation by a constant amount, combinational."""

from amaranth import *

__all__ = ["round_shift", "saturate"]


def round_shift(value: Value, shift: int) -> Value:
    """Add half, shift right arithmetically, as :func:`mla_hw.golden.arithmetic.round_shift`.

    Parameters
    ----------
    value : Value
    shift : int
        At least 1.
    """
    return (value >> shift) + value[shift - 1]


def saturate(value: Value, bits: int) -> tuple[Value, Value]:
    """Clamp to symmetric signed bits, as :func:`mla_hw.golden.arithmetic.saturate`.

    Parameters
    ----------
    value : Value
        Signed, wider than ``bits``.
    bits : int

    Returns
    -------
    clamped : Value
        ``bits`` bits, signed.
    limited : Value
        Whether the value was out of range.
    """
    top = bits - 1
    negative, high = value[-1], value[top:]
    limited = Mux(negative, ~high.all() | ~value[:top].any(), high.any())
    limit = Cat(C(1, 1), (~negative).replicate(top - 1), negative)
    return Mux(limited, limit, value[:bits]).as_signed(), limited
