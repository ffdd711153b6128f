"""Registers in every channel of AXI4."""

from typing import Any

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.axi import axi4_signature
from rtl_gen.units.queue import Queue

__all__ = ["RegisterSlice"]

_HANDSHAKE = ("valid", "ready")
#: Payloads of a channel: with two none is lost to the register of its ``ready``.
_DEPTH = 2


class RegisterSlice(wiring.Component):
    """Cut every path between an AXI4 manager and its subordinate by a register, both ways.

    Each channel goes through a :class:`~rtl_gen.units.queue.Queue` of two: latency one cycle,
    throughput one payload per cycle, and no output depends on an input within the cycle. The
    channels do not wait for each other.

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
        shape = data.StructLayout({member: getattr(source, member).shape() for member in members})
        m.submodules[name] = queue = Queue(shape, _DEPTH)
        m.d.comb += [
            queue.i.valid.eq(source.valid),
            source.ready.eq(queue.i.ready),
            target.valid.eq(queue.o.valid),
            queue.o.ready.eq(target.ready),
        ]
        for member in members:
            m.d.comb += [
                queue.i.payload[member].eq(getattr(source, member)),
                getattr(target, member).eq(queue.o.payload[member]),
            ]
