"""An FPGA as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mla_hw.devices.memory import MemoryCell, MemoryMapping
from mla_hw.errors import ConfigError

__all__ = ["MEMORY_STYLES", "UNBOUNDED", "Device", "MultiplierSites"]

MEMORY_STYLES = ("block", "distributed", "registers")
"""Kinds of memory that a design can ask for."""

UNBOUNDED = 1 << 30
"""What a device has of everything that is not known of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MultiplierSites:
    """Where the multipliers of an ECP5 are.

    Parameters
    ----------
    rows : tuple of int
        Rows of the device that have multipliers.
    blocks : tuple of int
        First columns of the blocks of four in such a row.
    """

    rows: tuple[int, ...]
    blocks: tuple[int, ...]

    @property
    def columns(self) -> tuple[tuple[int, int], ...]:
        """Column of each multiplier of a row, and its number in the block."""
        return tuple((block + place, place) for block in self.blocks for place in (0, 1, 4, 5))

    def name(self, index: int, row: int) -> str:
        """Return nextpnr's name of the multiplier ``index`` of a row."""
        column, place = self.columns[index]
        return f"X{column}/Y{row}/MULT18_{place}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """Resources of one FPGA.

    Parameters
    ----------
    name : str
        Vendor's name without package and speed grade, for example ``"LFE5U-85F"``.
    family : str
        Family, which selects the tools and the form of multipliers: ``"ecp5"``, ``"ice40"``,
        ``"gowin"``, ``"nexus"``; ``"portable"``: any, and no tools.
    lut, ff : int
        Four-input look-up tables; flip-flops.
    bram : int
        Block RAMs.
    bram_bits : int
        Bits of one block RAM, parity bits included.
    dsp : int
        Multipliers of 18×18 bits, of iCE40 16×16.
    die : str
        What nextpnr and the packer call it.
    part : str
        Full name with ``{package}`` and ``{speed_grade}``, where nextpnr wants it.
    block_cell, distributed_cell : MemoryCell
        The two kinds of memory; not all families have the latter.
    distributed_lut : int
        Look-up tables that a distributed RAM cell takes.
    logic_factor : float
        Look-up tables of a core's logic over those that it takes on ECP5.
    wide_memory : int or None
        Bits of a row from which on the project's own flow puts a memory into block RAM.
    on_chip : mapping of str to int
        Bytes of each kind of large memory, ``"spram"`` or ``"lram"``.
    multiplier_sites : MultiplierSites or None
        Where the multipliers are, if that is known.
    pll_site : str or None
        nextpnr's name of the PLL that a board's top takes, where not any will do.
    clock_buffer_sites : tuple of str
        nextpnr's names of the clock buffers of a design whose clock comes from a pin, where not any
        will do: one that makes the clock, and others that drive nothing.
    """

    name: str
    family: str
    lut: int
    ff: int
    bram: int
    bram_bits: int
    dsp: int
    die: str
    part: str = ""
    block_cell: MemoryCell = field(repr=False)
    distributed_cell: MemoryCell | None = field(repr=False)
    distributed_lut: int
    logic_factor: float = 1.0
    wide_memory: int | None = None
    on_chip: Mapping[str, int] = field(default_factory=dict)
    multiplier_sites: MultiplierSites | None = field(default=None, repr=False)
    pll_site: str | None = None
    clock_buffer_sites: tuple[str, ...] = ()

    def map_memory(
        self,
        width: int,
        depth: int,
        *,
        lane_width: int | None = None,
        read_ports: int = 1,
        transparent: bool = False,
        unchecked: bool = False,
        combinational: bool = False,
        style: str | None = None,
    ) -> MemoryMapping:
        """Predict how synthesis maps a memory with one write port.

        Parameters
        ----------
        width, depth : int
            Bits of a row; rows.
        lane_width : int, optional
            Bits behind one write enable; the whole row by default.
        read_ports : int
            Independent read ports; each has its own copy of the contents.
        transparent : bool
            Whether a read returns the word that is being written in the same cycle.
        unchecked : bool
            Whether a read that is not transparent may return anything then (attribute
            ``no_rw_check``); otherwise it returns the old word.
        combinational : bool
            Whether a read port has no register, which block RAM cannot offer. Where there is no
            other RAM it is taken for one with a register right behind it, which synthesis moves
            into the port.
        style : str, optional
            Kind of memory that the design asks for (attribute ``ram_style``), one of
            :data:`MEMORY_STYLES`; the cheapest by default.

        Raises
        ------
        ConfigError
            If a size is not positive, `lane_width` does not divide `width`, or `style` is unknown
            or ``"block"`` for a combinational read.
        """
        lane_width = width if lane_width is None else lane_width
        if min(width, depth, lane_width, read_ports) < 1 or width % lane_width:
            raise ConfigError(
                "A memory needs positive sizes and a row of whole lanes, not width "
                f"{width}, depth {depth}, lane_width {lane_width}, read_ports {read_ports}"
            )
        if style is not None and style not in MEMORY_STYLES:
            raise ConfigError(f"style must be one of {', '.join(MEMORY_STYLES)}, not {style!r}")
        if style == "block" and combinational:
            raise ConfigError("style block cannot have a combinational read port")
        collision = "new" if transparent else "any" if unchecked else "old"
        memory = (width, depth, lane_width, read_ports, collision)
        block_cost, blocks = self.block_cell.fit(*memory)
        cost, distributed = float("inf"), 0
        if self.distributed_cell:
            cost, distributed = self.distributed_cell.fit(*memory)
        else:
            combinational = False
            # Synthesis leaves the choice open, then.
            style = None if style == "distributed" else style
        if style is None and self.wide_memory and width >= self.wide_memory and not combinational:
            style = "block"
        if style == "registers":
            return MemoryMapping()
        if style == "distributed":
            return MemoryMapping(distributed=distributed)
        if style == "block":
            return MemoryMapping(blocks=blocks)
        # The synthesiser truncates the best cost so far before it compares the next candidate.
        best, mapping = width * depth, MemoryMapping()
        if cost < best:
            best, mapping = int(cost), MemoryMapping(distributed=distributed)
        if block_cost < best and not combinational:
            mapping = MemoryMapping(blocks=blocks)
        return mapping
