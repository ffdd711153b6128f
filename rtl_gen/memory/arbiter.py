"""Several AXI4 managers onto one memory."""

from typing import Any

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from mla_hw.errors import ConfigError
from rtl_gen.axi import axi4_signature
from rtl_gen.units.queue import Queue

__all__ = ["MemoryArbiter"]

#: Bursts under way in each direction: more than the core's reader has.
_OUTSTANDING = 16
_CHANNELS = ("ar", "r", "aw", "w", "b")


class MemoryArbiter(wiring.Component):
    """Let several managers use one AXI4 memory, burst by burst, in turn.

    The manager after the one that was last served comes first (round robin), so that no manager
    waits for more than one burst of each other one. Reads and writes do not wait for each other.
    The memory answers in order; a queue of managers per channel says whose the next beat is.

    An address is offered to the memory in the cycle after it has been taken: latency 1, throughput
    one address per cycle. Data and responses pass within the cycle, with no gap between bursts of
    different managers. Data of a write are taken from the cycle on after their address has been
    taken, and wait for the data of earlier bursts; beats of a read wait while their manager does
    not take those before. Addresses wait while `outstanding` bursts are under way.

    Parameters
    ----------
    managers : int
        Number of managers, at least 2.
    data_bits : int
        Width of the data channels.
    address_bits : int
        Width of byte addresses.
    outstanding : int
        Bursts that may be under way in each direction.

    Members
    -------
    managers : :py:`In(axi4_signature(...)).array(managers)`
    memory : :py:`Out(axi4_signature(...))`
        Its responses come in the order of the addresses.

    Raises
    ------
    ConfigError
        For fewer than two managers, or no burst under way.
    """

    managers: Any
    memory: Any

    def __init__(
        self,
        managers: int = 2,
        *,
        data_bits: int,
        address_bits: int = 32,
        outstanding: int = _OUTSTANDING,
    ) -> None:
        if managers < 2:
            raise ConfigError(f"managers must be at least 2, not {managers!r}")
        if outstanding < 1:
            raise ConfigError(f"outstanding must be at least 1, not {outstanding!r}")
        self.outstanding = outstanding
        signature = axi4_signature(address_bits=address_bits, data_bits=data_bits)
        super().__init__({
            "managers": In(signature).array(managers),
            "memory": Out(signature),
        })
        self._ports = {
            name: [getattr(manager, name) for manager in self.managers] for name in _CHANNELS
        }

    def elaborate(self, platform):
        m = Module()

        beats = self._choose(m, "ar")
        self._route_back(m, "r", beats)
        with m.If(~self.memory.r.last):
            m.d.comb += beats.ready.eq(0)

        data, responses = self._choose(m, "aw", copies=2)
        self._route_data(m, data)
        self._route_back(m, "b", responses)

        return m

    def _choose(self, m: Module, name: str, copies: int = 1) -> Any:
        """Pass addresses on; return the managers of the bursts under way, as streams."""
        ports, target = self._ports[name], getattr(self.memory, name)
        count = len(ports)
        last = Signal(ceil_log2(count), init=count - 1, name=f"{name}_last")
        choice = Signal.like(last, name=f"{name}_choice")
        requests = Cat(port.valid for port in ports)
        with m.Switch(last):
            for served in range(count):
                with m.Case(served):
                    # The first in turn is assigned last.
                    for distance in reversed(range(1, count + 1)):
                        candidate = (served + distance) % count
                        with m.If(requests[candidate]):
                            m.d.comb += choice.eq(candidate)

        orders = [Queue(len(last), self.outstanding) for _ in range(copies)]
        for index, order in enumerate(orders):
            m.submodules[f"{name}_order_{index}"] = order
        room = Cat(order.i.ready for order in orders).all()
        take = Signal(name=f"{name}_take")
        m.d.comb += take.eq(requests.any() & room & (~target.valid | target.ready))
        for order in orders:
            m.d.comb += [order.i.payload.eq(choice), order.i.valid.eq(take)]
        with m.If(target.ready):
            m.d.sync += target.valid.eq(0)
        with m.If(take):
            m.d.sync += [target.valid.eq(1), last.eq(choice)]
        with m.Switch(choice):
            for index, port in enumerate(ports):
                with m.Case(index):
                    m.d.comb += port.ready.eq(take)
                    with m.If(take):
                        for member in ("addr", "len", "size", "burst", "cache", "prot"):
                            m.d.sync += getattr(target, member).eq(getattr(port, member))
        return orders[0].o if copies == 1 else tuple(order.o for order in orders)

    def _route_back(self, m: Module, name: str, order: Any) -> None:
        """Give what the memory answers to the manager at the head of `order`."""
        source = getattr(self.memory, name)
        members = ("data", "resp", "last") if name == "r" else ("resp",)
        for index, port in enumerate(self._ports[name]):
            for member in members:
                m.d.comb += getattr(port, member).eq(getattr(source, member))
            with m.If(order.valid & (order.payload == index)):
                m.d.comb += [
                    port.valid.eq(source.valid),
                    source.ready.eq(port.ready),
                    order.ready.eq(source.valid & port.ready),
                ]

    def _route_data(self, m: Module, order: Any) -> None:
        """Take the data of the manager at the head of `order`."""
        target = self.memory.w
        for index, port in enumerate(self._ports["w"]):
            with m.If(order.valid & (order.payload == index)):
                m.d.comb += [
                    target.valid.eq(port.valid),
                    target.data.eq(port.data),
                    target.strb.eq(port.strb),
                    target.last.eq(port.last),
                    port.ready.eq(target.ready),
                    order.ready.eq(port.valid & target.ready & port.last),
                ]
