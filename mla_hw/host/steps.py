"""What a host does with a core, step by step: writes of registers, and bytes in memory.

Simulation and driver start the core by the same steps, whatever carries them.
"""

import numpy as np
from numpy.typing import NDArray

from mla_hw.golden.loader import interleave_rows
from mla_hw.hardware import CoreConfig
from mla_hw.program.image import MemoryMap
from mla_hw.registers import cache_register, position_register, register

__all__ = [
    "Writes",
    "abort_writes",
    "acknowledge_writes",
    "bit",
    "hidden_bytes",
    "latch_writes",
    "setup_writes",
    "start_writes",
    "word_addresses",
]

#: Addresses of registers and values, in order.
Writes = list[tuple[int, int]]


def setup_writes(core: CoreConfig, memory: MemoryMap) -> Writes:
    """Say where a layer lies; its run can start from there on. The interrupt is enabled.

    Parameters
    ----------
    core : CoreConfig
    memory : MemoryMap
        Of the layer. Layers that share a program differ in the places of other regions.
    """
    regions = memory.regions
    return [
        *((register(f"base_{name}").address, region.offset) for name, region in regions.items()),
        *(
            (register(cache_register(row)).address, base)
            for row, base in enumerate(memory.cache_bases[1:], 1)
        ),
        (register("program_beats").address, -(-regions["program"].size // core.port_bytes)),
        (register("capacity").address, memory.context),
        (register("interrupt_enable").address, register("interrupt_enable").mask),
    ]


def start_writes(positions: tuple[int, ...]) -> Writes:
    """Start a run with the position of each query row."""
    return [
        *(
            (register(position_register(row)).address, position)
            for row, position in enumerate(positions)
        ),
        (register("control").address, bit("control", "start")),
    ]


def latch_writes() -> Writes:
    """Sample the counters."""
    return [(register("control").address, bit("control", "latch"))]


def abort_writes() -> Writes:
    """End a run."""
    return [(register("control").address, bit("control", "abort"))]


def acknowledge_writes() -> Writes:
    """Clear the interrupt."""
    return [(register("interrupt_status").address, register("interrupt_status").mask)]


def word_addresses(name: str) -> list[int]:
    """Return the addresses of a register's words, the least significant one first."""
    item = register(name)
    return [item.address + 4 * word for word in range(item.words)]


def bit(name: str, field: str) -> int:
    """Return the value of a register in which one bit is set."""
    return next(1 << item.lsb for item in register(name).fields if item.name == field)


def hidden_bytes(core: CoreConfig, rows: NDArray[np.int64]) -> bytes:
    """Return what the region x holds for hidden states [query_rows, hidden_size]; whole beats."""
    data = interleave_rows(core, rows).astype("<i2").tobytes()
    return data + bytes(-len(data) % core.port_bytes)
