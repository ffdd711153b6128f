"""A memory chip behind AXI4: LiteDRAM's controller, its initialisation and the chip's pins."""

from typing import Any

from amaranth import *
from amaranth.hdl import IOPort
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, Signature

from mla_hw.errors import ConfigError
from rtl_gen.axi import axi4_signature, axi_lite_signature
from rtl_gen.memory.clock_output import ClockOutput
from rtl_gen.memory.controller_port import CONTROLLER_ADDRESS_BITS, ControllerPort
from rtl_gen.memory.litedram_core import LiteDramCore
from rtl_gen.memory.register_slice import RegisterSlice
from rtl_gen.memory.width_converter import WidthConverter

__all__ = ["LiteDram"]

_USER = "user_port_0_"
#: Members of each channel that LiteDRAM's port has; it has no cache and prot.
_OUTWARD = {"ar": ("addr", "len", "size", "burst"), "aw": ("addr", "len", "size", "burst")}
_MEMBERS = {
    **_OUTWARD,
    "w": ("data", "strb", "last"),
    "r": ("data", "resp", "last"),
    "b": ("resp",),
}


class LiteDram(wiring.Component):
    """A memory chip as an AXI4 subordinate, in order, through a controller made by LiteDRAM.

    Bursts may have any length that AXI4 knows on this width and the converter allows. Addresses
    beyond the memory wrap around; every response is OKAY. A write is answered when its data are at
    the chip, so that a read after the response sees them. Where `data_bits` is more than the
    memory moves in a cycle, a :class:`WidthConverter` keeps the memory busy. A
    :class:`RegisterSlice` cuts the paths between the controller and what is around it. Latency
    depends on open rows and refreshes; ``benchmarks/litedram.py`` measures it and the throughput.
    What is asked for before the memory is ready waits.

    SDR SDRAM is initialised by gateware after every reset, and all of this is in the domain
    ``sync``. Its clock comes from a register at the pin. It is that of ``sync``, inverted: commands
    are there half a cycle before and after the chip's edge, but data that are read must come within
    half a cycle (access time, the way to the chip and back, and set-up: about 10 ns by data sheets,
    so up to 50 MHz; boards that LiteX runs so are faster). For a faster clock give a domain
    `chip_clock` that runs between 90° and 180° behind ``sync``: the commands have the first part
    of a cycle and the data the rest.

    DDR3 SDRAM is initialised by the host over ``controller`` (:mod:`mla_hw.host.ddr3`). A PLL in
    the core makes the clock of the domain ``sync`` from ``input_clock``: the design around it has
    to drive the domain by ``user_clk``, and to set ``rst`` while ``user_rst`` is set. That may be
    more than once: the clock stands still for a while when the PHY's delays are calibrated.

    Parameters
    ----------
    core : LiteDramCore
        From ``boards.litedram_core.generate_litedram``.
    data_bits : int
        Width of the data channels, at least that of the core's port.
    chip_clock : str, optional
        Domain whose rising edge is the one of an SDR SDRAM's clock.

    Members
    -------
    bus : :py:`In(axi4_signature(data_bits=data_bits))`
    controller : :py:`In(axi_lite_signature(CONTROLLER_ADDRESS_BITS))`
        Registers of the core; may be left alone for SDR.
    ready : :py:`Out(1)`
        The memory is initialised, without an error.
    pads : :py:`Out(Signature(...))`
        Outputs to the chip, named as the pins in a board's file; ``clk`` for SDR. Bidirectional
        pins are in :attr:`data_pads`.
    rst : :py:`In(1)`
        Synchronous reset.
    input_clock, input_reset : :py:`In(1)`
        DDR3 only: the board's clock, and an asynchronous reset of all there is, PLL and registers
        of the core included, which ``rst`` leaves alone. It must not depend on ``user_rst``.
    user_clk, user_rst, locked : :py:`Out(1)`
        DDR3 only: clock for ``sync``, whether it cannot be used yet, and that of the PLL.

    Attributes
    ----------
    data_pads : dict of str to IOPort
        Bidirectional pins, ``dq`` and for DDR3 ``dqs_p``; they become ports of the top.

    Raises
    ------
    ConfigError
        If the widths do not fit.
    """

    bus: Any
    controller: Any
    ready: Signal
    pads: Any
    rst: Signal
    input_clock: Signal
    input_reset: Signal
    user_clk: Signal
    user_rst: Signal
    locked: Signal

    def __init__(
        self, core: LiteDramCore, *, data_bits: int, chip_clock: str | None = None
    ) -> None:
        if data_bits < core.data_bits:
            raise ConfigError(
                f"data_bits must be at least {core.data_bits}, as the port of {core.name}, not "
                f"{data_bits!r}: generate the core with data_bits"
            )
        self.core, self.data_bits, self.chip_clock = core, data_bits, chip_clock
        is_sdr = core.kind == "sdr"
        #: What the names of the core's pins begin with.
        self.prefix = "sdram" if is_sdr else "ddram"
        self._names = {"dm": "dqm"} if is_sdr else {}
        pads = {
            self._names.get(name, name): Out(port.width)
            for name, port in core.pads.items()
            if port.direction == "output"
        }
        self.data_pads = {
            name: IOPort(port.width, name=f"{self.prefix}_{name}")
            for name, port in core.pads.items()
            if port.direction == "inout"
        }
        own_clock = {name: In(1) for name in ("input_clock", "input_reset")}
        own_clock |= {name: Out(1) for name in ("user_clk", "user_rst", "locked")}
        super().__init__({
            "bus": In(axi4_signature(data_bits=data_bits)),
            "controller": In(axi_lite_signature(CONTROLLER_ADDRESS_BITS)),
            "ready": Out(1),
            "pads": Out(Signature(pads | ({"clk": Out(1)} if is_sdr else {}))),
            "rst": In(1),
            **({} if is_sdr else own_clock),
        })

    def elaborate(self, platform):
        m = Module()

        is_sdr = self.core.kind == "sdr"
        port = self._width(m)
        writes = self.core.initialisation if is_sdr else ()
        control = ControllerPort(writes)
        m.submodules.control = ResetInserter(self.rst)(control)
        wiring.connect(m, wiring.flipped(self.controller), control.host)

        init_done, init_error = Signal(), Signal()
        m.d.comb += self.ready.eq(init_done & ~init_error)
        connections: dict[str, Any] = {
            "o_init_done": init_done,
            "o_init_error": init_error,
            **self._bus_connections(port),
            **self._control_connections(control.registers),
        }
        for name, pad in self.core.pads.items():
            if pad.direction == "output":
                connections[f"o_{self.prefix}_{name}"] = getattr(
                    self.pads, self._names.get(name, name)
                )
            elif pad.direction == "inout":
                connections[f"io_{self.prefix}_{name}"] = self.data_pads[name]
        if is_sdr:
            connections |= {"i_clk": ClockSignal(), "i_rst": self.rst}
            m.submodules.chip_clock = clock = ClockOutput(
                self.core.family,
                domain=self.chip_clock or "sync",
                inverted=self.chip_clock is None,
            )
            m.d.comb += self.pads.clk.eq(clock.pin)
        else:
            connections |= {
                "i_clk": self.input_clock,
                "i_rst": self.input_reset,
                "o_user_clk": self.user_clk,
                "o_user_rst": self.user_rst,
                "o_pll_locked": self.locked,
            }
        m.submodules.core = Instance(self.core.name, **connections)

        return m

    def _width(self, m: Module) -> Any:
        """Return the bus in the width of the core's port, seen from the manager."""
        # Where the channels are narrow, registers are few.
        m.submodules.slice = registers = ResetInserter(self.rst)(
            RegisterSlice(data_bits=self.core.data_bits)
        )
        if self.data_bits == self.core.data_bits:
            wiring.connect(m, wiring.flipped(self.bus), registers.manager)
            return registers.memory
        converter = WidthConverter(data_bits=self.data_bits, memory_bits=self.core.data_bits)
        m.submodules.width = ResetInserter(self.rst)(converter)
        wiring.connect(m, wiring.flipped(self.bus), converter.manager)
        wiring.connect(m, converter.memory, registers.manager)
        return registers.memory

    def _bus_connections(self, port: Any) -> dict[str, Any]:
        connections: dict[str, Any] = {}
        for channel, members in _MEMBERS.items():
            to_core = channel in ("ar", "aw", "w")
            signals = getattr(port, channel)
            direction, back = ("i", "o") if to_core else ("o", "i")
            connections[f"{direction}_{_USER}{channel}valid"] = signals.valid
            connections[f"{back}_{_USER}{channel}ready"] = signals.ready
            for member in members:
                name = f"{_USER}{channel}{member}"
                value = Value.cast(getattr(signals, member))
                if to_core:
                    width = self.core.ports[name].width
                    # Addresses are cut, and LiteDRAM has a bit too many in the size.
                    value = value[:width] if len(value) >= width else Cat(value, C(0, 1))
                connections[f"{direction}_{name}"] = value
            if channel in _OUTWARD:
                connections[f"i_{_USER}{channel}id"] = C(0, 1)
        return connections

    def _control_connections(self, registers: Any) -> dict[str, Any]:
        width = self.core.ports["wb_ctrl_adr"].width
        connections: dict[str, Any] = {
            f"i_wb_ctrl_{name}": getattr(registers, name)
            for name in ("cyc", "stb", "we", "sel", "dat_w")
        }
        connections |= {
            f"o_wb_ctrl_{name}": getattr(registers, name) for name in ("dat_r", "ack", "err")
        }
        padding = C(0, width - len(registers.adr))
        return connections | {
            "i_wb_ctrl_adr": Cat(registers.adr, padding),
            "i_wb_ctrl_cti": C(0, 3),
            "i_wb_ctrl_bte": C(0, 2),
        }

    @property
    def memory_bytes(self) -> int:
        """Size of the memory that the addresses reach."""
        return 1 << self.core.ports[f"{_USER}araddr"].width
