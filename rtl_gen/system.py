"""A core with its memory and its host link: everything on a board but clocks and pins."""

from typing import Any

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from mla_hw.hardware import CoreConfig
from mla_hw.registers import REGISTER_ADDRESS_BITS
from rtl_gen.axi import axi4_signature, axi_lite_signature
from rtl_gen.host.host_link import HostLink
from rtl_gen.layouts import ADDRESS_BITS
from rtl_gen.memory.arbiter import MemoryArbiter
from rtl_gen.memory.litedram import LiteDram
from rtl_gen.memory.on_chip_memory import OnChipMemory

__all__ = ["CORE", "System"]

#: Module of the core, which is emitted by itself.
CORE = "accelerator"


class System(wiring.Component):
    """Join core, memory and host link in one clock domain.

    The core and the host take turns at the memory, burst by burst. The core is instantiated by its
    Verilog name, so that it is the one that ``generate`` has emitted and ``simulate`` has compared.

    Parameters
    ----------
    config : CoreConfig
    memory : LiteDram or OnChipMemory
        As wide as the core's port, and in the domain ``sync`` as well.
    divisor : int
        Clocks per bit of the serial line.
    clock_hz : int
        Clock of the domain ``sync``, for the host to know.

    Members
    -------
    rx : :py:`In(1)`
    tx : :py:`Out(1)`
    ready : :py:`Out(1)`
        The memory can be used.
    pads : :py:`Out(...)`
        Pins of an SDRAM, see :class:`~rtl_gen.memory.litedram.LiteDram`; none otherwise.
    rst : :py:`In(1)`
        Synchronous reset.
    input_clock, input_reset : :py:`In(1)`
        DDR3 SDRAM only: clock of the board and reset of the controller, which makes the clock.
    user_clock, user_reset : :py:`Out(1)`
        DDR3 SDRAM only: clock for the domain ``sync``, and whether it cannot be used yet.

    Attributes
    ----------
    makes_clock : bool
        Whether the memory makes the clock.
    """

    rx: Signal
    tx: Signal
    ready: Signal
    pads: Any
    rst: Signal
    input_clock: Signal
    input_reset: Signal
    user_clock: Signal
    user_reset: Signal

    def __init__(
        self,
        config: CoreConfig,
        memory: LiteDram | OnChipMemory,
        *,
        divisor: int,
        clock_hz: int,
    ) -> None:
        self.config, self.memory = config, memory
        self.link = HostLink(port_bytes=config.port_bytes, divisor=divisor, clock_hz=clock_hz)
        pads = {"pads": memory.signature.members["pads"]} if isinstance(memory, LiteDram) else {}
        self.makes_clock = isinstance(memory, LiteDram) and memory.core.kind == "ddr3"
        clocks = {"input_clock": In(1), "input_reset": In(1)}
        clocks |= {"user_clock": Out(1), "user_reset": Out(1)}
        super().__init__({
            "rx": In(1),
            "tx": Out(1),
            "ready": Out(1),
            "rst": In(1),
            **pads,
            **(clocks if self.makes_clock else {}),
        })

    def elaborate(self, platform):
        m = Module()

        data_bits = 8 * self.config.port_bytes
        memory, link = self.memory, self.link
        m.submodules.link = ResetInserter(self.rst)(link)
        arbiter = MemoryArbiter(2, data_bits=data_bits, address_bits=ADDRESS_BITS)
        m.submodules.arbiter = ResetInserter(self.rst)(arbiter)
        bus = axi4_signature(address_bits=ADDRESS_BITS, data_bits=data_bits).create(path=("core",))
        control = axi_lite_signature(REGISTER_ADDRESS_BITS).flip().create(path=("registers",))
        m.submodules.core = Instance(
            CORE,
            i_clk=ClockSignal(),
            i_rst=self.rst,
            o_interrupt=Signal(name="interrupt"),
            **_connections(bus, "memory"),
            **_connections(control, "control"),
        )
        wiring.connect(m, bus, arbiter.managers[0])
        wiring.connect(m, link.memory, arbiter.managers[1])
        wiring.connect(m, link.control, control)
        wiring.connect(m, arbiter.memory, memory.bus)
        m.d.comb += [link.rx.eq(self.rx), self.tx.eq(link.tx)]
        if isinstance(memory, LiteDram):
            m.submodules.memory = memory
            wiring.connect(m, link.controller, memory.controller)
            wiring.connect(m, memory.pads, wiring.flipped(self.pads))
            m.d.comb += self.ready.eq(memory.ready)
            if self.makes_clock:
                m.d.comb += [
                    memory.input_clock.eq(self.input_clock),
                    memory.input_reset.eq(self.input_reset),
                    self.user_clock.eq(memory.user_clk),
                    self.user_reset.eq(memory.user_rst),
                ]
            m.d.comb += memory.rst.eq(self.rst)
        else:
            m.submodules.memory = ResetInserter(self.rst)(memory)
            m.d.comb += self.ready.eq(1)

        return m


def _connections(interface: Any, name: str) -> dict[str, Any]:
    """Connect an interface, as the core has it, to the core's ports."""
    found = {}
    for path, member, value in interface.signature.flatten(interface):
        direction = "o" if member.flow is wiring.Out else "i"
        found[f"{direction}_{'__'.join((name, *map(str, path)))}"] = value
    return found
