"""What a bitstream of a board holds: clocks, reset, and the system behind its pins."""

from typing import Any

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from boards import Board
from boards.litedram_core import generate_litedram
from boards.pll import PLLS, PllSettings, find_pll
from mla_hw.errors import ConfigError
from mla_hw.hardware import CoreConfig
from rtl_gen.host.uart import uart_divisor
from rtl_gen.memory.litedram import LiteDram
from rtl_gen.memory.litedram_core import LiteDramCore
from rtl_gen.memory.on_chip_memory import OnChipMemory
from rtl_gen.system import System

__all__ = ["DEFAULT_BAUD", "BoardTop", "board_top", "top_pins"]

#: What the USB bridges of the boards reach.
DEFAULT_BAUD = 3_000_000
#: Form of the memory on the FPGA by the kind of a board's memory.
_FORMS = {"spram": "ice40", "lram": "nexus", "bram": "portable"}
#: Fractions of a cycle of the oscillator that an ECP5's PLL shifts an output by.
_FINE = 8


class BoardTop(wiring.Component):
    """A :class:`~rtl_gen.system.System` at a board's clock and pins.

    The PLL makes the clock of core, link and memory controller of the crystal's, and for an SDRAM
    a second one a quarter of a cycle behind, which the chip gets. The reset is let go when the PLL
    has locked.

    Parameters
    ----------
    system : System
    board : Board
    pll : PllSettings or None
        None uses the crystal's clock as it is.

    Members
    -------
    clk, rst, rx : :py:`In(1)`
        Crystal, button, serial line.
    tx, led : :py:`Out(1)`
    pads : :py:`Out(...)`
        As of the system.
    """

    clk: Signal
    rst: Signal
    rx: Signal
    tx: Signal
    led: Signal
    pads: Any

    def __init__(self, system: System, board: Board, *, pll: PllSettings | None) -> None:
        self.system, self.board, self.pll = system, board, pll
        members = system.signature.members
        pads = {"pads": members["pads"]} if "pads" in members else {}
        super().__init__({
            "clk": In(1),
            "rst": In(1),
            "rx": In(1),
            "tx": Out(1),
            "led": Out(1),
            **pads,
        })

    def elaborate(self, platform):
        m = Module()

        m.domains.sync = ClockDomain(reset_less=True)
        locked = Signal(init=1)
        if self.pll is None:
            m.d.comb += ClockSignal().eq(self.clk)
        else:
            m.d.comb += locked.eq(self._pll(m))
        # Held for some cycles after the clock is there.
        held = Signal(4, init=0b1111)
        m.d.sync += held.eq(Cat(self.rst | ~locked, held[:-1]))

        m.submodules.system = system = self.system
        m.d.comb += [
            system.rst.eq(held.any()),
            system.rx.eq(self.rx),
            self.tx.eq(system.tx),
            self.led.eq(system.ready),
        ]
        if hasattr(self, "pads"):
            wiring.connect(m, system.pads, wiring.flipped(self.pads))

        return m

    def _pll(self, m: Module) -> Value:
        """Add the PLL; return whether it has locked."""
        assert self.pll is not None
        lock = Signal()
        parameters: dict[str, Any] = {f"p_{k}": v for k, v in self.pll.parameters.items()}
        memory = self.system.memory
        chip = memory.chip_clock if isinstance(memory, LiteDram) else None
        if chip:
            m.domains += ClockDomain(chip, reset_less=True)
        if self.pll.primitive == "EHXPLLL":
            parameters |= _ehxplll_settings(self.pll, second=bool(chip))
            zeros = (
                *("RST", "STDBY", "PHASESEL0", "PHASESEL1", "PHASEDIR", "PHASESTEP"),
                *("PHASELOADREG", "PLLWAKESYNC", "ENCLKOP"),
            )
            m.submodules.pll = Instance(
                "EHXPLLL",
                **parameters,
                i_CLKI=self.clk,
                i_CLKFB=ClockSignal(),
                o_CLKOP=ClockSignal(),
                **({"o_CLKOS": ClockSignal(chip)} if chip else {}),
                o_LOCK=lock,
                **{f"i_{name}": C(0, 1) for name in zeros},
            )
        else:
            raise ConfigError(
                f"{self.board.name}: no top is known with the PLL {self.pll.primitive}"
            )
        return lock


def _ehxplll_settings(pll: PllSettings, *, second: bool) -> dict[str, Any]:
    """Return what is the same for every clock, and the second output a quarter of a cycle late."""
    settings: dict[str, Any] = {
        "p_PLLRST_ENA": "DISABLED",
        "p_INTFB_WAKE": "DISABLED",
        "p_STDBY_ENABLE": "DISABLED",
        "p_DPHASE_SOURCE": "DISABLED",
        "p_CLKOP_ENABLE": "ENABLED",
        "p_OUTDIVIDER_MUXA": "DIVA",
        "p_OUTDIVIDER_MUXB": "DIVB",
        "p_OUTDIVIDER_MUXC": "DIVC",
        "p_OUTDIVIDER_MUXD": "DIVD",
        "p_CLKOP_FPHASE": 0,
        "a_FREQUENCY_PIN_CLKI": f"{pll.input_mhz:g}",
        "a_FREQUENCY_PIN_CLKOP": f"{pll.output_mhz:g}",
        "a_ICP_CURRENT": "12",
        "a_LPF_RESISTOR": "8",
        "a_MFG_ENABLE_FILTEROPAMP": "1",
        "a_MFG_GMCREF_SEL": "2",
    }
    if second:
        divider = int(pll.parameters["CLKOP_DIV"])
        late = round(_FINE * divider / 4)
        settings |= {
            "p_CLKOS_ENABLE": "ENABLED",
            "p_CLKOS_DIV": divider,
            "p_CLKOS_CPHASE": int(pll.parameters["CLKOP_CPHASE"]) + late // _FINE,
            "p_CLKOS_FPHASE": late % _FINE,
            "a_FREQUENCY_PIN_CLKOS": f"{pll.output_mhz:g}",
        }
    return settings


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
        Clocks per bit of the serial line; that of :data:`DEFAULT_BAUD` by default.

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
    pll = None
    if board.core_mhz != board.clock_mhz:
        pll = find_pll(board.device.family, board.clock_mhz, board.core_mhz)
    data_bits = 8 * config.port_bytes
    controller = None
    memory: LiteDram | OnChipMemory
    if board.memory.kind == "sdr":
        controller = generate_litedram(
            board.memory, family=board.device.family, clock_mhz=board.core_mhz
        )
        chip_clock = "chip" if board.device.family in PLLS and pll is not None else None
        memory = LiteDram(controller, data_bits=data_bits, chip_clock=chip_clock)
    elif board.memory.kind in _FORMS:
        memory = OnChipMemory(
            data_bits=data_bits,
            size=board.memory.size_bytes,
            form=_FORMS[board.memory.kind],
        )
    else:
        raise ConfigError(f"{board.name}: no top is known with memory of kind {board.memory.kind}")
    system = System(config, memory, divisor=divisor, clock_hz=clock_hz)
    return BoardTop(system, board, pll=pll), controller


def top_pins(board: Board, top: BoardTop) -> dict[str, str]:
    """Return the package pin of every bit of a top's ports.

    Raises
    ------
    ConfigError
        If the memory chip has more pins than the controller drives, or fewer.
    """
    assert board.top is not None
    pins = {"clk": board.pins["clk"], "rst": board.pins["rst"]}
    pins |= {name: board.top.uart[name] for name in ("rx", "tx")} | {"led": board.top.led}
    memory = top.system.memory
    if not isinstance(memory, LiteDram):
        return pins
    widths = {name: len(getattr(memory.pads, name)) for name in memory.pads.signature.members}
    widths |= {name: len(pad) for name, pad in memory.data_pads.items()}
    for name, width in widths.items():
        listed = board.top.memory.get(name)
        if listed is None:
            # What the board has tied.
            continue
        if len(listed) < width:
            raise ConfigError(
                f"{board.name}: top.memory.{name} has {len(listed)} pins, the controller {width}"
            )
        port = f"sdram_{name}" if name in memory.data_pads else f"pads__{name}"
        for bit, pin in enumerate(listed[:width]):
            pins[f"{port}[{bit}]" if width > 1 else port] = pin
    return pins
