"""Registered payloads that never stall."""

from typing import Any

from amaranth import *
from amaranth.lib import data

__all__ = ["register_payload"]


def register_payload(m: Module, port: data.View, name: str) -> Any:
    """Drive an output with ``en`` from registers, of which only ``en`` is reset.

    Parameters
    ----------
    m : Module
        Where the registers live.
    port : view
        The output.
    name : str
        Name of the registers.

    Returns
    -------
    view
        What is to be assigned, combinationally: the port's value in the next cycle.
    """
    ahead: Any = Signal(port.shape(), name=f"{name}_ahead")
    payload: Any = Signal(port.shape(), name=f"{name}_payload", reset_less=True)
    en = Signal(name=f"{name}_en")
    m.d.sync += [payload.eq(ahead), en.eq(ahead.en)]
    m.d.comb += [port.eq(payload), port.en.eq(en)]
    return ahead
