"""The host link: a serial line on one side, the buses of a board on the other."""

from typing import Any

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from mla_hw.errors import ConfigError
from mla_hw.host.protocol import MAX_PAYLOAD
from mla_hw.registers import REGISTER_ADDRESS_BITS
from rtl_gen.axi import axi4_signature, axi_lite_signature
from rtl_gen.connect import connect_streams
from rtl_gen.host.buses import CONTROLLER_ADDRESS_BITS, Buses
from rtl_gen.host.executor import Executor
from rtl_gen.host.frames import Deframer, Enframer
from rtl_gen.host.responder import Responder
from rtl_gen.host.uart import UartReceiver, UartTransmitter, check_divisor

__all__ = ["HostLink"]

_PORTS = (4, 8, 16, 32, 64)
assert MAX_PAYLOAD % max(_PORTS) == 0


class HostLink(wiring.Component):
    """Serve the protocol of :mod:`mla_hw.host.protocol` on a serial line.

    ``receiver`` → ``deframer`` → ``executor``, ``buses`` → ``responder`` → ``enframer`` →
    ``transmitter``. A request is
    carried out when its last byte is there and right; its response begins a few cycles after its
    last item. Both directions run at the line's speed, because a request comes in while the one
    before is carried out and answered. Nothing on the line can stall it: noise, half frames and
    silence in the middle of one cost that frame, and the next flag begins a new one.

    Parameters
    ----------
    port_bytes : int
        Width of the memory port: 4, 8, 16, 32 or 64.
    divisor : int
        Clocks per bit of the line, see :func:`rtl_gen.host.uart.uart_divisor`.
    clock_hz : int
        Clock of link and core, for the host to know.

    Members
    -------
    rx : :py:`In(1)`
    tx : :py:`Out(1)`
    memory : :py:`Out(axi4_signature(address_bits=32, data_bits=8 * port_bytes))`
    control : :py:`Out(axi_lite_signature(REGISTER_ADDRESS_BITS))`
        Registers of the core.
    controller : :py:`Out(axi_lite_signature(16))`
        Registers of the memory controller.

    Raises
    ------
    ConfigError
        If a parameter is out of range.
    """

    rx: Signal
    tx: Signal
    memory: Any
    control: Any
    controller: Any

    def __init__(self, *, port_bytes: int, divisor: int, clock_hz: int) -> None:
        if port_bytes not in _PORTS:
            raise ConfigError(f"port_bytes must be one of {_PORTS}, not {port_bytes!r}")
        if not 0 < clock_hz < 1 << 32:
            raise ConfigError(f"clock_hz must be from 1 to 2^32 - 1, not {clock_hz!r}")
        check_divisor(divisor)
        self.port_bytes, self.divisor, self.clock_hz = port_bytes, divisor, clock_hz
        super().__init__({
            "rx": In(1),
            "tx": Out(1),
            "memory": Out(axi4_signature(address_bits=32, data_bits=8 * port_bytes)),
            "control": Out(axi_lite_signature(REGISTER_ADDRESS_BITS)),
            "controller": Out(axi_lite_signature(CONTROLLER_ADDRESS_BITS)),
        })

    def elaborate(self, platform):
        m = Module()

        m.submodules.receiver = receiver = UartReceiver(self.divisor)
        m.submodules.deframer = deframer = Deframer()
        m.submodules.executor = executor = Executor(port_bytes=self.port_bytes)
        m.submodules.buses = buses = Buses(port_bytes=self.port_bytes, clock_hz=self.clock_hz)
        m.submodules.responder = responder = Responder()
        m.submodules.enframer = enframer = Enframer()
        m.submodules.transmitter = transmitter = UartTransmitter(self.divisor)
        connect_streams(m, receiver.o, deframer.i)
        connect_streams(m, deframer.frame, executor.frame)
        connect_streams(m, responder.o, enframer.i)
        connect_streams(m, enframer.o, transmitter.i)
        m.d.comb += [
            receiver.rx.eq(self.rx),
            self.tx.eq(transmitter.tx),
            deframer.read_en.eq(executor.read_en),
            deframer.read_address.eq(executor.read_address),
            executor.read_data.eq(deframer.read_data),
            buses.en.eq(executor.bus_en),
            buses.transfer.eq(executor.transfer),
            executor.bus_done.eq(buses.done),
            executor.answer.eq(buses.answer),
            responder.clear.eq(executor.clear),
            responder.payload.eq(executor.payload),
            responder.header.eq(executor.header),
            responder.send.eq(executor.send),
            executor.sent.eq(responder.sent),
        ]
        for name in ("memory", "control", "controller"):
            wiring.connect(m, getattr(buses, name), wiring.flipped(getattr(self, name)))

        return m
