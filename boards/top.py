"""What a bitstream of a board holds: clocks, reset, and the system behind its pins."""

from typing import Any

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, Signature

from boards import INVERTED, Board
from boards.clocks import add_clock_buffers, add_pll
from boards.litedram_core import board_controller
from boards.pins import Pin
from boards.pll import PllSettings, find_pll
from mla_hw.errors import ConfigError
from mla_hw.hardware import CoreConfig
from mla_hw.host.protocol import DEFAULT_BAUD
from rtl_gen.host.uart import uart_divisor
from rtl_gen.memory.litedram import LiteDram
from rtl_gen.memory.litedram_core import LiteDramCore
from rtl_gen.memory.on_chip_memory import OnChipMemory
from rtl_gen.system import System

__all__ = ["BoardTop", "board_top", "top_pins"]

#: Form of the memory on the FPGA by the kind of a board's memory.
_FORMS = {"spram": "ice40", "lram": "nexus"}
#: Pins that are pairs.
_PAIRS = ("clk_p", "dqs_p")


class BoardTop(wiring.Component):
    """A :class:`~rtl_gen.system.System` at a board's clock and pins.

    The PLL makes the clock of core, link and memory controller of the crystal's, and for an SDR
    SDRAM a second one behind it, which the chip gets, if the board wants another phase than half a
    cycle. With DDR3 SDRAM it is the controller that makes the clock. The reset is let go when the
    PLL has locked.

    Parameters
    ----------
    system : System
    board : Board
        With pins for a top.
    pll : PllSettings or None
        None uses the crystal's clock as it is, or that of the controller.

    Members
    -------
    clk, rst, rx : :py:`In(1)`
        Crystal, button, serial line.
    tx, led : :py:`Out(1)`
        Serial line; whether the memory can be used. Button and light are inverted where the board
        has them so.
    pads : :py:`Out(...)`
        Those of the system that the board has not tied.
    high, low : :py:`Out(...)`
        Pins that the board wants driven.
    """

    clk: Signal
    rst: Signal
    rx: Signal
    tx: Signal
    led: Signal
    pads: Any
    high: Signal
    low: Signal

    def __init__(self, system: System, board: Board, *, pll: PllSettings | None) -> None:
        assert board.top is not None
        self.system, self.board, self.pll = system, board, pll
        self.active_low, self.clock_phase = board.top.active_low, board.top.clock_phase
        members = system.signature.members
        pads: dict[str, Any] = {}
        if "pads" in members:
            listed = members["pads"].signature.members.items()
            wired = {name: member for name, member in listed if name in board.top.memory}
            pads = {"pads": Out(Signature(wired))}
        super().__init__({
            "clk": In(1),
            "rst": In(1),
            "rx": In(1),
            "tx": Out(1),
            "led": Out(1),
            **pads,
            **{level: Out(len(pins)) for level, pins in board.top.tied.items()},
        })

    def elaborate(self, platform):
        m = Module()

        m.submodules.system = system = self.system
        pressed, locked = Signal(), Signal(init=1)
        m.d.comb += pressed.eq(self.rst ^ ("rst" in self.active_low))
        m.domains.sync = ClockDomain(reset_less=True)
        if system.makes_clock:
            m.d.comb += [
                system.input_clock.eq(self.clk),
                system.input_reset.eq(pressed),
                ClockSignal().eq(system.user_clock),
                locked.eq(~system.user_reset),
            ]
        elif self.pll is None and (sites := self.board.device.clock_buffer_sites):
            add_clock_buffers(m, self.clk, sites)
        elif self.pll is None:
            m.d.comb += ClockSignal().eq(self.clk)
        else:
            memory = system.memory
            chip = memory.chip_clock if isinstance(memory, LiteDram) else None
            if chip:
                m.domains += ClockDomain(chip, reset_less=True)
            site = self.board.device.pll_site
            m.d.comb += locked.eq(add_pll(m, self.pll, self.clk, chip, self.clock_phase, site))
        # Held for some cycles after the clock is there.
        held = Signal(6, init=0b111111)
        m.d.sync += held.eq(Cat(pressed | ~locked, held[:-1]))

        m.d.comb += [
            # The first two only synchronise.
            system.rst.eq(held[2:].any()),
            system.rx.eq(self.rx),
            self.tx.eq(system.tx),
            self.led.eq(system.ready ^ ("led" in self.active_low)),
        ]
        if hasattr(self, "pads"):
            for name in self.pads.signature.members:
                m.d.comb += getattr(self.pads, name).eq(getattr(system.pads, name))
        if hasattr(self, "high"):
            m.d.comb += self.high.eq(~0)

        return m


def board_top(
    board: Board, config: CoreConfig, *, divisor: int | None = None
) -> tuple[BoardTop, LiteDramCore | None]:
    """Return a board's top, and the memory controller that it instantiates, if there is one.

    Parameters
    ----------
    board : Board
        With pins for a top.
    config : CoreConfig
    divisor : int, optional
        Clocks per bit of the serial line; by default that of
        :data:`~mla_hw.host.protocol.DEFAULT_BAUD`.

    Raises
    ------
    ConfigError
        If the board has no top, or its clock or baud rate cannot be made.
    """
    if board.top is None:
        raise ConfigError(f"{board.name}: has no pins for a top (key top of its file)")
    clock_hz = round(board.core_mhz * 1e6)
    if divisor is None:
        divisor = uart_divisor(clock_hz, DEFAULT_BAUD)
    kind = board.memory.kind
    pll = None
    if kind != "ddr3" and board.core_mhz != board.clock_mhz:
        pll = find_pll(board.device.family, board.clock_mhz, board.core_mhz)
    data_bits = 8 * config.port_bytes
    controller = None
    memory: LiteDram | OnChipMemory
    if kind in ("sdr", "ddr3"):
        controller = board_controller(board)
        chip_clock = "chip" if board.top.clock_phase != INVERTED else None
        memory = LiteDram(controller, data_bits=data_bits, chip_clock=chip_clock)
        if memory.memory_bytes != board.memory.size_bytes:
            raise ConfigError(
                f"{board.name}: memory.size_mib is {board.memory.size_mib:g}, the controller of "
                f"{board.memory.part} reaches {memory.memory_bytes / 2**20:g} MiB"
            )
    elif kind in _FORMS:
        memory = OnChipMemory(
            data_bits=data_bits,
            size=board.memory.size_bytes,
            form=_FORMS[kind],
        )
    else:
        raise ConfigError(f"{board.name}: no top is known with memory of kind {kind}")
    system = System(config, memory, divisor=divisor, clock_hz=clock_hz)
    return BoardTop(system, board, pll=pll), controller


def top_pins(board: Board, top: BoardTop) -> dict[str, Pin]:
    """Return the pin of every bit of a top's ports.

    Raises
    ------
    ConfigError
        If the board has fewer pins for the memory chip than the controller drives. What it has
        more of, addresses of larger chips, stays unconnected.
    """
    listed = board.top
    assert listed is not None
    # A line that nothing is plugged into is idle, a button that is not there is not pressed.
    sites = {"clk": (board.pins["clk"], ""), "rx": (listed.uart["rx"], "up")}
    sites["rst"] = (board.pins["rst"], "up" if "rst" in listed.active_low else "down")
    sites |= {"tx": (listed.uart["tx"], ""), "led": (listed.led, "")}
    pins = {
        port: Pin(site=site, standard=board.io_standard, pull=pull)
        for port, (site, pull) in sites.items()
    }
    for level, tied in listed.tied.items():
        standard = listed.memory_io or board.io_standard
        options = listed.options.get("tied", {})
        pins |= _bits(level, [Pin(site=site, standard=standard, options=options) for site in tied])
    memory = top.system.memory
    if not isinstance(memory, LiteDram):
        return pins
    widths = {name: len(getattr(memory.pads, name)) for name in memory.pads.signature.members}
    widths |= {name: len(pad) for name, pad in memory.data_pads.items()}
    for name, width in widths.items():
        chosen = listed.memory.get(name)
        if chosen is None:
            # What the board has tied.
            continue
        if len(chosen) < width:
            raise ConfigError(
                f"{board.name}: top.memory.{name} has {len(chosen)} pins, the controller {width}"
            )
        port = f"{memory.prefix}_{name}" if name in memory.data_pads else f"pads__{name}"
        pins |= _bits(port, [_memory_pin(board, name, site) for site in chosen[:width]])
    return pins


def _memory_pin(board: Board, name: str, site: str) -> Pin:
    listed = board.top
    assert listed is not None
    standard = listed.memory_io or board.io_standard
    if name in _PAIRS:
        # SSTL15_I becomes SSTL15D_I.
        standard = standard.replace("_", "D_")
    options = {**listed.options.get("memory", {}), **listed.options.get(name, {})}
    return Pin(site=site, standard=standard, options=options)


def _bits(port: str, pins: list[Pin]) -> dict[str, Pin]:
    if len(pins) == 1:
        return {port: pins[0]}
    return {f"{port}[{bit}]": pin for bit, pin in enumerate(pins)}
