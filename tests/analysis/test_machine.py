"""Machines, and what follows from them for the rows that share a stream."""

import pytest

from mla_hw.analysis.machine import BF16, STORED, Machine
from mla_hw.errors import ConfigError
from mla_hw.hardware import HardwareConfig


def test_core():
    hardware = HardwareConfig(rows=8, columns=16, port_bytes=16)
    machine = Machine.of_core(hardware, clock_mhz=80)
    assert (machine.macs_per_cycle, machine.bytes_per_cycle, machine.balance) == (128, 16, 8)
    # 0.2 GB/s at 80 MHz are 2.5 bytes per cycle; more than the port has are not used.
    slow = Machine.of_core(hardware, clock_mhz=80, memory_bytes_per_second=0.2e9)
    assert slow.bytes_per_cycle == 2.5
    fast = Machine.of_core(hardware, clock_mhz=80, memory_bytes_per_second=1e12)
    assert fast.bytes_per_cycle == 16


@pytest.mark.parametrize(
    ("rows", "share", "reads"), [(1, 1 / 8, 1), (8, 1, 1), (9, 9 / 16, 2), (20, 20 / 24, 3)]
)
def test_rows_of_an_array(rows, share, reads):
    machine = Machine.of_core(HardwareConfig(rows=8, columns=16), clock_mhz=80)
    assert machine.array_share(rows) == share
    assert machine.weight_reads(rows) == reads
    free = Machine(name="m", macs_per_cycle=128, bytes_per_cycle=16, clock_mhz=80)
    assert (free.array_share(rows), free.weight_reads(rows)) == (1, 1)


def test_formats():
    assert (STORED.weight, STORED.constant, STORED.cache, STORED.scale, STORED.activation) == (
        *(1, 2, 1, 2, 2),
    )
    assert (BF16.weight, BF16.constant, BF16.cache, BF16.scale) == (2, 0, 2, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clock_mhz": 0}, "clock_mhz must be finite and above 0, not 0"),
        ({"bytes_per_cycle": float("nan")}, "bytes_per_cycle must be finite"),
        ({"array_rows": 0}, "array_rows must be a positive integer, not 0"),
    ],
)
def test_impossible_machines(change, message):
    numbers = {"macs_per_cycle": 1, "bytes_per_cycle": 1, "clock_mhz": 1}
    with pytest.raises(ConfigError, match=message):
        Machine(name="m", **(numbers | change))
