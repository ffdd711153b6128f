"""A clock on a pin."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from mla_hw.errors import ConfigError

__all__ = ["ClockOutput"]

#: Cell of each family, and the names of its clock and output.
_CELLS = {"ecp5": ("ODDRX1F", "SCLK", "Q"), "gowin": ("ODDR", "CLK", "Q0")}


class ClockOutput(wiring.Component):
    """Drive a pin with a clock from the double-data-rate register at the pin.

    A clock net does not reach a pin without a detour of unknown delay. The register sends a 1 and a
    0 in each cycle, so that clock and data leave from cells of the same kind.

    Parameters
    ----------
    family : str
        FPGA family, ``"ecp5"`` or ``"gowin"``.
    domain : str
        Clock domain.
    inverted : bool
        Whether the pin rises with the domain's falling edge.

    Members
    -------
    pin : :py:`Out(1)`

    Raises
    ------
    ConfigError
        For an unknown family.
    """

    pin: Signal

    def __init__(self, family: str, *, domain: str = "sync", inverted: bool = False) -> None:
        if family not in _CELLS:
            raise ConfigError(f"family must be one of {', '.join(_CELLS)}, not {family!r}")
        self.family, self.domain, self.inverted = family, domain, inverted
        super().__init__({"pin": Out(1)})

    def elaborate(self, platform):
        m = Module()
        cell, clock, output = _CELLS[self.family]
        connections: dict = {
            f"i_{clock}": ClockSignal(self.domain),
            "i_D0": C(0 if self.inverted else 1, 1),
            "i_D1": C(1 if self.inverted else 0, 1),
            f"o_{output}": self.pin,
        }
        connections |= {"i_RST": C(0, 1)} if self.family == "ecp5" else {"i_TX": C(0, 1)}
        m.submodules.register = Instance(cell, **connections)
        return m
