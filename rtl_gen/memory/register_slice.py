"""Registers in every channel of AXI4."""

from typing import Any

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.axi import axi4_signature

__all__ = ["RegisterSlice"]

_HANDSHAKE = ("valid", "ready")


class RegisterSlice(wiring.Component):
    """Cut every path between an AXI4 manager and its subordinate by a register, both ways.

    Latency is one cycle in each channel, throughput one payload per cycle, and no output depends on
    an input within the cycle. A payload that comes in the cycle in which the output stops waits in
    a second register, and ``ready`` falls. The channels do not wait for each other.

    Parameters
    ----------
    data_bits : int
        Width of the data channels.
    address_bits : int
        Width of byte addresses.

    Members
    -------
    manager : :py:`In(axi4_signature(...))`
    memory : :py:`Out(axi4_signature(...))`
    """

    manager: Any
    memory: Any

    def __init__(self, *, data_bits: int, address_bits: int = 32) -> None:
        signature = axi4_signature(address_bits=address_bits, data_bits=data_bits)
        super().__init__({"manager": In(signature), "memory": Out(signature)})

    def elaborate(self, platform):
        m = Module()

        for name in ("ar", "aw", "w"):
            self._pass(m, name, getattr(self.manager, name), getattr(self.memory, name))
        for name in ("r", "b"):
            self._pass(m, name, getattr(self.memory, name), getattr(self.manager, name))

        return m

    def _pass(self, m: Module, name: str, source: Any, target: Any) -> None:
        members = [member for member in source.signature.members if member not in _HANDSHAKE]
        offered = Cat(Value.cast(getattr(source, member)) for member in members)
        given = Cat(Value.cast(getattr(target, member)) for member in members)
        waiting = Signal(name=f"{name}_waiting")
        second = Signal(len(offered), reset_less=True, name=f"{name}_second")
        m.d.comb += source.ready.eq(~waiting)
        with m.If(~waiting):
            m.d.sync += second.eq(offered)
        with m.If(target.ready | ~target.valid):
            m.d.sync += [
                given.eq(Mux(waiting, second, offered)),
                target.valid.eq(waiting | source.valid),
                waiting.eq(0),
            ]
        with m.Elif(source.valid):
            m.d.sync += waiting.eq(1)
