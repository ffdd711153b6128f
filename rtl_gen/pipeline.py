"""Registers that keep side-band values beside a pipeline."""

from typing import Any

from amaranth import *

__all__ = ["KEEP", "delay"]

#: Attributes of a register that synthesis must not merge with another one of the same content.
KEEP = {"keep": 1}


def delay(m: Module, value: Any, cycles: int, name: str, *, reset_less: bool = True) -> Any:
    """Return ``value`` as it was ``cycles`` cycles ago.

    Parameters
    ----------
    m : Module
        Where the registers live.
    value : Value or view
        What is delayed; 0 cycles return it as it is.
    cycles : int
    name : str
        Registers are called ``<name>_1``, ``<name>_2``, ….
    reset_less : bool
        Clear it for ``en`` and the like, so that nothing undefined is taken for valid.
    """
    for stage in range(1, cycles + 1):
        register = Signal.like(value, name=f"{name}_{stage}", reset_less=reset_less)
        m.d.sync += register.eq(value)
        value = register
    return value
