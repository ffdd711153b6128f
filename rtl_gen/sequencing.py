"""How vector units take a command and step through addresses."""

from typing import Any

from amaranth import *
from amaranth.lib import stream

from rtl_gen.layouts import vector_command_layout

__all__ = ["take_command", "walk"]


def take_command(m: Module, port: stream.Interface, done: Value) -> tuple[Any, Value]:
    """Take one command at a time.

    Parameters
    ----------
    m : Module
        Where the registers live.
    port : stream of vector_command_layout()
        Ready while no command is under way.
    done : Value
        Pulse at the command's end; the port is ready in the cycle after.

    Returns
    -------
    command : View of vector_command_layout()
        Held from ``begin`` on.
    begin : Value
        Pulse in the cycle after the command was accepted.
    """
    command: Any = Signal(vector_command_layout(), reset_less=True)
    begin = Signal(name="begin")
    busy = Signal(name="busy")
    accept = port.valid & port.ready

    m.d.comb += port.ready.eq(~busy)
    m.d.sync += begin.eq(accept)
    with m.If(~busy):
        m.d.sync += command.eq(port.payload)
    with m.If(accept):
        m.d.sync += busy.eq(1)
    with m.If(done):
        m.d.sync += busy.eq(0)
    return command, begin


def walk(
    m: Module, start: Value, *, first: Value, count: Value, bound: int, step: int = 1
) -> tuple[Value, Value, Value]:
    """Step through addresses, one per cycle, from the cycle after ``start``.

    Parameters
    ----------
    m : Module
        Where the registers live.
    start : Value
        Pulse; the walk before has ended.
    first, count : Value
        First address, and how many there are, at least 1.
    bound : int
        All addresses are below it.
    step : int
        Distance between addresses.

    Returns
    -------
    address, valid, last : Value
        ``last`` comes with the last valid address.
    """
    address = Signal(range(bound), name="address", reset_less=True)
    left = Signal.like(count, name="left", reset_less=True)
    valid = Signal(name="walking")
    ending = Signal(name="ending", reset_less=True)
    last = valid & ending

    m.d.sync += valid.eq(start | (valid & ~ending))
    with m.If(start):
        m.d.sync += [address.eq(first), left.eq(count), ending.eq(count == 1)]
    with m.Else():
        # On and on, because an enable costs more than an address that nobody looks at.
        m.d.sync += [address.eq(address + step), left.eq(left - 1), ending.eq(left == 2)]
    return address, valid, last
