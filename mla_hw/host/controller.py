"""What a host has to know of a memory controller that LiteDRAM has made, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntFlag

__all__ = ["Command", "Control", "Ddr3Phy", "MemoryController", "RegisterWrite"]


class Control(IntFlag):
    """Bits of LiteDRAM's register ``sdram_dfii_control``: who commands the chip, and its pins."""

    SEL = 1
    CKE = 2
    ODT = 4
    RESET_N = 8


class Command(IntFlag):
    """Bits of LiteDRAM's registers ``sdram_dfii_pi<phase>_command``, active high."""

    CS = 1
    WE = 2
    CAS = 4
    RAS = 8
    WRDATA = 16
    RDDATA = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class RegisterWrite:
    """A step of the initialisation.

    Parameters
    ----------
    address : int
        Byte address behind the controller's port.
    value : int
        32 bits.
    wait : int
        Least cycles between this write and the next.
    """

    address: int
    value: int
    wait: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Ddr3Phy:
    """PHY of a DDR3 SDRAM, with what read leveling sets in it.

    Parameters
    ----------
    data_bits : int
        Data pins of the chip; every eight are a lane with a strobe of its own.
    phases : int
        Cycles of the chip in one of the controller; each has its command.
    read_phase, write_phase : int
        The one that a read or a write has to be in.
    delays, bitslips : int
        Settings of a lane, from 0.
    """

    data_bits: int
    phases: int
    read_phase: int
    write_phase: int
    delays: int
    bitslips: int

    @property
    def lanes(self) -> int:
        """Number of lanes."""
        return self.data_bits // 8


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryController:
    """Registers of a memory controller, and how they are set before it can be used.

    Parameters
    ----------
    registers : mapping of str to int
        Byte address of every register, by its name in LiteDRAM; that of the first word, which is
        the most significant one, where there are several.
    initialisation : tuple of RegisterWrite
        For SDR everything until the memory can be used; gateware does it. For DDR3 until the chip
        takes reads and writes; the host does it, and the rest by :mod:`mla_hw.host.ddr3`.
    phy : Ddr3Phy or None
        None for SDR.
    """

    registers: Mapping[str, int] = field(repr=False)
    initialisation: tuple[RegisterWrite, ...] = field(repr=False)
    phy: Ddr3Phy | None = None
