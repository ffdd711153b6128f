"""Memory cells, and how many of them a memory takes.

Where a memory goes (block RAM, distributed RAM or flip-flops) follows the cost function of Yosys'
``memory_libmap`` with the cell costs of its libraries, so that the compiler refuses exactly what
would not fit after synthesis.
"""

from dataclasses import dataclass

__all__ = ["MemoryCell", "MemoryMapping"]

# Weights of the logic around the memory cells in Yosys' cost function, per multiplexer input bit or
# decoded write enable, and per point of emulated port behaviour.
SELECT_COST = 0.5
EMULATION_COST = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryCell:
    """A memory primitive with one write and one read port.

    Parameters
    ----------
    names : tuple of str
        Cell types in the netlist, which differ by ports and parity.
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
    cost_by_width : bool
        Whether the bits that are used count, not whole cells.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, int], ...]
    write_lane: int
    cost: int
    old_word: tuple[int, int]
    new_word: tuple[int, int]
    any_word: tuple[int, int]
    cost_by_width: bool = False

    @property
    def name(self) -> str:
        """The most common of the cell types."""
        return self.names[0]

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
            used = self.cost * cells
            if self.cost_by_width:
                used = self.cost * rows * width // cell_width * read_ports
            options.append((used + SELECT_COST * select, cells))
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
