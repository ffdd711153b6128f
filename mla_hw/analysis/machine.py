"""What an analysis needs to know of a machine: its multipliers, its memory, its formats."""

from dataclasses import dataclass

from mla_hw.cycles.figures import CONSTANT_BYTES
from mla_hw.fields import check_number, check_positive_int
from mla_hw.hardware import SCALE_BYTES, HardwareConfig

__all__ = ["BF16", "DRAM_PJ_PER_BIT", "ELEMENTS", "MAC_PJ", "STORED", "Machine", "Storage"]

#: Energy of a multiply-accumulate: 5 TOPS/W, where arXiv 2506.02523 normalises its Fig 6.
MAC_PJ = 0.2
#: Energy of moving a bit of off-chip memory, as arXiv 2506.02523 takes it.
DRAM_PJ_PER_BIT = 8.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Storage:
    """Bytes of what lies in memory.

    Parameters
    ----------
    name : str
    weight, cache, activation : int
        Of a weight, an element of a cached row, and an element of hidden state or result.
    constant : int
        Of the requantise constant of an output channel; 0 where there is none.
    scale : int
        Of the scale of a cached vector; 0 where there is none.
    """

    name: str
    weight: int
    cache: int
    activation: int
    constant: int = 0
    scale: int = 0


#: As the core stores them: int8 weights and latents, int16 activations.
STORED = Storage(
    name="int8",
    weight=1,
    cache=1,
    activation=2,
    constant=CONSTANT_BYTES,
    scale=SCALE_BYTES,
)
#: As checkpoints have them.
BF16 = Storage(name="bf16", weight=2, cache=2, activation=2)
#: One byte per element, as arXiv 2506.02523 plots.
ELEMENTS = Storage(name="elements", weight=1, cache=1, activation=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """A machine with one kind of multipliers and one memory.

    Parameters
    ----------
    name : str
    macs_per_cycle : float
        Multiply-accumulates per cycle.
    bytes_per_cycle : float
        Bytes of off-chip memory per cycle.
    clock_mhz : float
    array_rows : int or None
        Rows of a systolic array, which work only where as many rows share what is streamed
        (:class:`~mla_hw.graph.ProductWork`), and which tokens beyond their number need the weights
        streamed again for. None keeps all multipliers busy in any product.
    mac_pj, pj_per_bit : float
        Energy of a multiply-accumulate, and of a bit to or from memory, in picojoules.
    storage : Storage

    Raises
    ------
    ConfigError
        For numbers that are not positive.
    """

    name: str
    macs_per_cycle: float
    bytes_per_cycle: float
    clock_mhz: float
    array_rows: int | None = None
    mac_pj: float = MAC_PJ
    pj_per_bit: float = DRAM_PJ_PER_BIT
    storage: Storage = STORED

    def __post_init__(self) -> None:
        for name in ("macs_per_cycle", "bytes_per_cycle", "clock_mhz", "mac_pj", "pj_per_bit"):
            check_number(name, getattr(self, name))
        if self.array_rows is not None:
            check_positive_int("array_rows", self.array_rows)

    @classmethod
    def of_core(
        cls,
        hardware: HardwareConfig,
        *,
        clock_mhz: float,
        memory_bytes_per_second: float | None = None,
        name: str | None = None,
    ) -> "Machine":
        """Return the machine that a core is.

        Parameters
        ----------
        hardware : HardwareConfig
        clock_mhz : float
            Clock of the core.
        memory_bytes_per_second : float or None
            What the memory delivers at best; None is as much as the port takes.
        name : str or None
        """
        port = float(hardware.port_bytes)
        if memory_bytes_per_second is not None:
            port = min(port, memory_bytes_per_second / (clock_mhz * 1e6))
        return cls(
            name=name or f"{hardware.rows}×{hardware.columns} core",
            macs_per_cycle=hardware.rows * hardware.columns,
            bytes_per_cycle=port,
            clock_mhz=clock_mhz,
            array_rows=hardware.rows,
        )

    @property
    def balance(self) -> float:
        """MACs per byte from which on multipliers, not memory, are the limit."""
        return self.macs_per_cycle / self.bytes_per_cycle

    def array_share(self, rows: int) -> float:
        """Return the share of the multipliers that work when so many rows share a stream."""
        if self.array_rows is None:
            return 1.0
        return rows / (-(-rows // self.array_rows) * self.array_rows)

    def weight_reads(self, tokens: int) -> int:
        """Return how often the weights are streamed for so many tokens of all sequences."""
        return 1 if self.array_rows is None else -(-tokens // self.array_rows)
