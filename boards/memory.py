"""The memory of a board."""

from dataclasses import dataclass

__all__ = [
    "BUS_CLOCKS",
    "MEMORY_KINDS",
    "MEMORY_PINS",
    "ON_CHIP_KINDS",
    "OPTIONAL_PINS",
    "ExternalMemory",
]

MEMORY_PINS: dict[str, tuple[str, ...]] = {
    "sdr": ("clk", "a", "ba", "dq", "ras_n", "cas_n", "we_n"),
    "ddr3": (
        *("clk_p", "cke", "a", "ba", "dq", "dqs_p", "dm"),
        *("ras_n", "cas_n", "we_n", "odt"),
    ),
}
"""Pins that a memory chip of each kind has; of a pair the positive one, the other follows."""

OPTIONAL_PINS: dict[str, tuple[str, ...]] = {
    "sdr": ("cke", "cs_n", "dqm"),
    "ddr3": ("cs_n", "reset_n"),
}
"""Those that a board may have tied."""

ON_CHIP_KINDS = ("spram", "lram")
"""Memory on the FPGA."""

MEMORY_KINDS = (*MEMORY_PINS, *ON_CHIP_KINDS, "axi")
"""SDRAM, DDR3 SDRAM, memory on the FPGA, and whatever is behind an AXI port."""

BUS_CLOCKS = {"sdr": 1, "ddr3": 2, "spram": 1, "lram": 1}
"""Clock of the memory's bus over that of the core."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExternalMemory:
    """The memory that holds program, weights and cache.

    Parameters
    ----------
    kind : str
        One of :data:`MEMORY_KINDS`.
    part : str
        Name of the chip as LiteDRAM spells it; on the FPGA, of its cells.
    size_mib : float
        Size in MiB.
    width_bits : int
        Data pins, or width of the port.
    clock_mhz : float
        Clock of the memory bus in MHz.
    """

    kind: str
    part: str
    size_mib: float
    width_bits: int
    clock_mhz: float

    @property
    def size_bytes(self) -> int:
        """Size in bytes."""
        return int(self.size_mib * 2**20)

    @property
    def peak_bytes_per_second(self) -> float:
        """Transfer rate of the data pins in bytes per second; DDR3 has two words per cycle."""
        words = 2 if self.kind == "ddr3" else 1
        return words * self.width_bits / 8 * self.clock_mhz * 1e6
