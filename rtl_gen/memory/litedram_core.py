"""What LiteDRAM's generator has made, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mla_hw.host.controller import MemoryController

__all__ = ["LiteDramCore", "Port"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Port:
    """A port of the generated module.

    Parameters
    ----------
    direction : str
        ``"input"``, ``"output"`` or ``"inout"``.
    width : int
        Bits.
    """

    direction: str
    width: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LiteDramCore(MemoryController):
    """A memory controller with its PHY as one Verilog module.

    Parameters
    ----------
    name : str
        Name of the module.
    kind : str
        ``"sdr"`` or ``"ddr3"``.
    family : str
        FPGA family whose I/O cells it has.
    verilog : str
        Text of the module.
    ports : mapping of str to Port
        All ports.
    registers, initialisation, phy
        See :class:`~mla_hw.host.controller.MemoryController`.
    """

    name: str
    kind: str
    family: str
    verilog: str = field(repr=False)
    ports: Mapping[str, Port] = field(repr=False)

    @property
    def data_bits(self) -> int:
        """Width of the user port."""
        return self.ports["user_port_0_rdata"].width

    @property
    def pads(self) -> dict[str, Port]:
        """Ports for the memory chip, by LiteDRAM's names without the prefix."""
        return {
            name.split("_", 1)[1]: port
            for name, port in self.ports.items()
            if name.startswith(("sdram_", "ddram_"))
        }
