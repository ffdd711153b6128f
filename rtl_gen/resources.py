"""What a core takes of a device, counted from the elaborated design."""

from collections.abc import Iterator, Mapping
from typing import Any

from amaranth.hdl._ir import Fragment
from amaranth.hdl._mem import MemoryInstance

from mla_hw.devices import Device, MemoryMapping
from mla_hw.errors import CapacityError, ConfigError
from mla_hw.hardware import CoreConfig
from rtl_gen.accelerator import Accelerator

__all__ = [
    "LUT_COSTS",
    "OUTSIDE_MULTIPLIERS",
    "check_device",
    "count_multipliers",
    "estimate_luts",
    "lut_terms",
    "map_memories",
]

#: Multipliers outside the array: requantiser 1, score unit 2, vector engine 2, dispatcher 1.
OUTSIDE_MULTIPLIERS = 6

#: Look-up tables per unit of each of :func:`lut_terms`, from ``benchmarks/fit_luts.py``.
LUT_COSTS: Mapping[str, float] = {
    "core": 11770.0,
    "accumulator bits": 2.042,
    "rows": 139.4,
    "lanes": 375.5,
    "rotator bytes": 28.89,
    "port bytes": 27.13,
}


def count_multipliers(core: CoreConfig) -> int:
    """Count multipliers, exactly: one per processing element, and those around the array."""
    return core.rows * core.columns + OUTSIDE_MULTIPLIERS


def map_memories(core: CoreConfig, device: Device) -> MemoryMapping:
    """Map every memory of the elaborated core and add up.

    Block RAMs are those of synthesis, exactly. Distributed RAM is an upper bound: synthesis drops
    bits of a memory that nothing reads.
    """
    blocks = distributed = 0
    for memory in _memories(Fragment.get(Accelerator(core), None)):
        mapping = _map_memory(memory, device)
        blocks += mapping.blocks
        distributed += mapping.distributed
    return MemoryMapping(blocks=blocks, distributed=distributed)


def lut_terms(core: CoreConfig) -> dict[str, int]:
    """Return the sizes that the number of look-up tables grows with, besides memory.

    ``core``
        What every core has: 1.
    ``accumulator bits``
        Adder and shadow register of the processing elements.
    ``rows``
        Operands, drain and activation lane of an array row.
    ``lanes``
        Shifter and adder of the context accumulator.
    ``rotator bytes``
        Bytes in the log2 C stages of a rotator of the latent ring.
    ``port bytes``
        Everything that is as wide as the memory port.
    """
    return {
        "core": 1,
        "accumulator bits": core.rows * core.columns * core.acc_width,
        "rows": core.rows,
        "lanes": core.accumulator_lanes,
        "rotator bytes": core.columns * (core.columns.bit_length() - 1),
        "port bytes": core.port_bytes,
    }


def estimate_luts(core: CoreConfig, device: Device, distributed: int) -> int:
    """Estimate look-up tables, within 10 % on ECP5 (on the others as :mod:`mla_hw.devices` says).

    Parameters
    ----------
    core : CoreConfig
    device : Device
    distributed : int
        Distributed RAM cells, from :func:`map_memories`.

    Returns
    -------
    int
        Those of distributed RAM and a sum over :func:`lut_terms` with :data:`LUT_COSTS`, which were
        fitted to synthesised cores (``benchmarks/lut_fit.json``).
    """
    logic = sum(LUT_COSTS[name] * size for name, size in lut_terms(core).items())
    return round(device.logic_factor * logic) + device.distributed_lut * distributed


def check_device(core: CoreConfig, device: Device, board: str) -> None:
    """Refuse a core that the device has no room for.

    Raises
    ------
    ConfigError
        For multipliers of another family.
    CapacityError
        Says by how much and which keys mend it.
    """
    where = f"{device.name} of {board}"
    if device.family != "portable" and core.multiplier not in ("portable", device.family):
        raise ConfigError(
            f"multiplier must be auto, portable or {device.family} for {where}, not "
            f"{core.multiplier!r} (--hardware)"
        )

    def check(demand: int, bound: int, unit: str, hint: str) -> None:
        if demand > bound:
            raise CapacityError(demand, bound, unit, where, hint)

    # Before the elaboration, which takes long for an array that is far too large.
    size = "lower rows or columns (--hardware)"
    check(count_multipliers(core), device.dsp, "multipliers", size)
    memories = map_memories(core, device)
    buffers = "lower activation_bytes or tile_tokens (--hardware)"
    if core.query_rows > 1:
        buffers += " or --rows"
    check(memories.blocks, device.bram, "block RAMs", buffers)
    luts = estimate_luts(core, device, memories.distributed)
    check(luts, device.lut, "look-up tables (estimated)", size)


# Fragments are private to Amaranth, and the stubs describe those of another version: hence Any.


def _memories(fragment: Any) -> Iterator[Any]:
    if isinstance(fragment, MemoryInstance):
        yield fragment
    for child, _, _ in fragment.subfragments:
        yield from _memories(child)


def _map_memory(memory: Any, device: Device) -> MemoryMapping:
    readers, (writer,) = memory._read_ports, memory._write_ports
    width, depth = len(writer._data), memory._data.depth
    if not (readers and width and depth):
        return MemoryMapping()
    return device.map_memory(
        width,
        depth,
        lane_width=writer._granularity,
        read_ports=len(readers),
        transparent=any(reader._transparent_for for reader in readers),
        unchecked=bool(memory._attrs.get("no_rw_check")),
        combinational=any(reader._domain == "comb" for reader in readers),
        style=memory._attrs.get("ram_style"),
    )
