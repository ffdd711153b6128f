"""What a core takes of a device, counted from the elaborated design."""

from collections.abc import Iterator

from amaranth.hdl._ir import Fragment
from amaranth.hdl._mem import MemoryInstance

from mla_hw.devices import Device
from mla_hw.errors import CapacityError
from mla_hw.hardware import CoreConfig
from rtl_gen.accelerator import Accelerator

__all__ = ["OUTSIDE_MULTIPLIERS", "check_device", "count_block_rams", "estimate_luts"]

#: Multipliers outside the array: requantiser 1, score unit 2, vector engine 2, dispatcher 1.
OUTSIDE_MULTIPLIERS = 6


def multipliers(core: CoreConfig) -> int:
    """Count multipliers, exactly."""
    return core.rows * core.columns + OUTSIDE_MULTIPLIERS


def count_block_rams(core: CoreConfig, device: Device) -> int:
    """Count block RAMs, exactly: every memory of the elaborated core as the synthesiser maps it."""
    return sum(
        _blocks(memory, device) for memory in _memories(Fragment.get(Accelerator(core), None))
    )


def estimate_luts(core: CoreConfig) -> int:
    """Estimate look-up tables from a fit over synthesised cores (docs/decisions.md)."""
    element = 1.36 * core.acc_width + 8
    return round(
        9000
        + core.rows * core.columns * element
        + 330 * core.accumulator_lanes
        + 14 * core.columns * core.columns.bit_length() * 2
        + 20 * core.port_bytes
    )


def check_device(core: CoreConfig, device: Device, board: str) -> None:
    """Refuse a core that the device has no room for.

    Raises
    ------
    CapacityError
        Says by how much and which keys mend it.
    """
    where = f"{device.name} of {board}"
    needs = (
        (multipliers(core), device.dsp, "multipliers", "lower rows or columns"),
        (
            count_block_rams(core, device),
            device.bram,
            "block RAMs",
            "lower activation_bytes or tile_tokens",
        ),
        (estimate_luts(core), device.lut, "look-up tables (estimated)", "lower rows or columns"),
    )
    for demand, bound, unit, hint in needs:
        if demand > bound:
            raise CapacityError(demand, bound, unit, where, hint)


def _memories(fragment: Fragment) -> Iterator[MemoryInstance]:
    if isinstance(fragment, MemoryInstance):
        yield fragment
    for child, _, _ in fragment.subfragments:
        yield from _memories(child)


def _blocks(memory: MemoryInstance, device: Device) -> int:
    ports = memory._read_ports
    if any(port._domain == "comb" for port in ports) or not ports:
        return 0
    width = len(ports[0]._data)
    if not width or not memory._data.depth:
        return 0
    return device.bram_blocks(
        width,
        memory._data.depth,
        lane_width=memory._write_ports[0]._granularity if memory._write_ports else None,
        read_ports=len(ports),
        transparent=any(port._transparent_for for port in ports),
    )
