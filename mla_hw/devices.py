"""FPGA devices as data, and the number of memory cells that a memory takes on them.

The resource counts are the vendor's, as nextpnr knows them. Where a memory goes (block RAM,
distributed RAM or flip-flops) follows the cost function of Yosys' ``memory_libmap`` with the cell
costs of its Lattice libraries, so that the compiler refuses exactly what would not fit after
synthesis.
"""

import difflib
from dataclasses import dataclass, field

from mla_hw.errors import ConfigError

__all__ = ["DEVICES", "MEMORY_STYLES", "Device", "MemoryCell", "MemoryMapping", "find_device"]

# Weights of the logic around the memory cells in Yosys' cost function, per multiplexer input bit or
# decoded write enable, and per point of emulated port behaviour.
SELECT_COST = 0.5
EMULATION_COST = 2

MEMORY_STYLES = ("block", "distributed", "registers")
"""Kinds of memory that a design can ask for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryCell:
    """A memory primitive with one write and one read port.

    Parameters
    ----------
    name : str
        Cell name in the netlist.
    shapes : tuple of tuple of int
        (depth, width) of each configuration, deepest first.
    write_lane : int
        Bits behind one write enable, in configurations that are at least this wide.
    cost : int
        Cost of a cell in the synthesiser's comparison.
    old_word : tuple of int
        Emulation points of the write port and of each read port, for reads that return the old word
        when it is being written.
    new_word : tuple of int
        The same for transparent reads, which return the new word.
    any_word : tuple of int
        The same for reads that may return anything.
    """

    name: str
    shapes: tuple[tuple[int, int], ...]
    write_lane: int
    cost: int
    old_word: tuple[int, int]
    new_word: tuple[int, int]
    any_word: tuple[int, int]

    def fit(
        self, width: int, depth: int, lane_width: int, read_ports: int, collision: str
    ) -> tuple[float, int]:
        """Return cost and number of cells of the cheapest configuration.

        `collision` is what a read returns of a word that is being written: ``"old"``, ``"new"`` or
        ``"any"``.
        """
        lanes = width // lane_width
        options = []
        for cell_depth, cell_width in self.shapes:
            rows = -(-depth // cell_depth)
            # A lane ends at a boundary of the cell's own write enables.
            step = min(self.write_lane, cell_width)
            padded = lanes * (-(-lane_width // step) * step)
            cells = -(-rows * padded // cell_width) * read_ports
            decode = rows * lanes if rows > 1 else 0
            select = (rows - 1) * width * read_ports + decode
            options.append((self.cost * cells + SELECT_COST * select, cells))
        cost, cells = min(options, key=lambda option: option[0])
        points = {"old": self.old_word, "new": self.new_word, "any": self.any_word}
        write_points, read_points = points[collision]
        return cost + EMULATION_COST * (write_points + read_points * read_ports), cells


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryMapping:
    """What one memory is made of; all zero where flip-flops are cheapest.

    Parameters
    ----------
    blocks : int
        Block RAM cells.
    distributed : int
        Distributed RAM cells.
    """

    blocks: int = 0
    distributed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """Resources of one FPGA.

    Parameters
    ----------
    name : str
        Vendor's name without package and speed grade, for example ``"LFE5U-85F"``.
    family : str
        Family, which selects the tools: ``"ecp5"``.
    lut, ff : int
        Four-input look-up tables; flip-flops.
    bram : int
        Block RAMs.
    bram_bits : int
        Bits of one block RAM, parity bits included.
    dsp : int
        18×18 multipliers.
    place_option : str
        Option that selects the device in nextpnr.
    block_cell, distributed_cell : MemoryCell
        The two kinds of memory.
    distributed_lut : int
        Look-up tables that a distributed RAM cell takes.
    """

    name: str
    family: str
    lut: int
    ff: int
    bram: int
    bram_bits: int
    dsp: int
    place_option: str
    block_cell: MemoryCell = field(repr=False)
    distributed_cell: MemoryCell = field(repr=False)
    distributed_lut: int

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
            Whether a read port has no register, which block RAM cannot offer.
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
        cost, distributed = self.distributed_cell.fit(*memory)
        block_cost, blocks = self.block_cell.fit(*memory)
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

    def bram_blocks(
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
    ) -> int:
        """Count the block RAMs of a memory; 0 for one that is too small for them.

        Parameters and errors are those of :meth:`map_memory`.
        """
        return self.map_memory(
            width,
            depth,
            lane_width=lane_width,
            read_ports=read_ports,
            transparent=transparent,
            unchecked=unchecked,
            combinational=combinational,
            style=style,
        ).blocks


ECP5_BLOCK = MemoryCell(
    name="DP16KD",
    shapes=((16384, 1), (8192, 2), (4096, 4), (2048, 9), (1024, 18), (512, 36)),
    write_lane=9,
    cost=128,
    old_word=(3, 4),
    new_word=(0, 4),
    any_word=(0, 1),
)
ECP5_DISTRIBUTED = MemoryCell(
    name="TRELLIS_DPR16X4",
    shapes=((16, 4),),
    write_lane=4,
    cost=4,
    old_word=(0, 1),
    new_word=(0, 4),
    any_word=(0, 1),
)


def _ecp5(name: str, size: str, lut: int, bram: int, dsp: int) -> Device:
    return Device(
        name=name,
        family="ecp5",
        lut=lut,
        ff=lut,
        bram=bram,
        bram_bits=18 * 1024,
        dsp=dsp,
        place_option=f"--{size}",
        block_cell=ECP5_BLOCK,
        distributed_cell=ECP5_DISTRIBUTED,
        # Four for the contents; the write port blocks the two of its own slice.
        distributed_lut=6,
    )


DEVICES = {
    device.name: device
    for device in (
        _ecp5("LFE5U-12F", "12k", 24288, 56, 28),
        _ecp5("LFE5U-25F", "25k", 24288, 56, 28),
        _ecp5("LFE5U-45F", "45k", 43848, 108, 72),
        _ecp5("LFE5U-85F", "85k", 83640, 208, 156),
    )
}


def find_device(name: str) -> Device:
    """Return the device of this name.

    Raises
    ------
    ConfigError
        If there is none; the message lists the known ones.
    """
    if name in DEVICES:
        return DEVICES[name]
    close = difflib.get_close_matches(name, DEVICES, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise ConfigError(f"Unknown device {name!r}: {hint}known are {', '.join(DEVICES)}")
