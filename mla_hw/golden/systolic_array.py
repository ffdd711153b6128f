"""Golden model of :class:`rtl_gen.units.systolic_array.SystolicArray`."""

from mla_hw.golden.arithmetic import Ints

__all__ = ["multiply_accumulate"]


def multiply_accumulate(a: Ints, b: Ints) -> Ints:
    """One tile: ``acc[r, c] = sum over steps of a[step, r] * b[step, c]``.

    Parameters
    ----------
    a : [steps, R] int16
        Operands from the activation buffer.
    b : [steps, C] int8
        Streamed operands: weights or latents.
    """
    return a.T @ b
