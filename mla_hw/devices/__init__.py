"""FPGA devices as data, and the number of memory cells that a memory takes on them."""

import difflib

from mla_hw.devices.device import MEMORY_STYLES, UNBOUNDED, Device, MultiplierSites
from mla_hw.devices.families import FAMILIES
from mla_hw.devices.memory import MemoryCell, MemoryMapping
from mla_hw.errors import ConfigError

__all__ = [
    "DEVICES",
    "MEMORY_STYLES",
    "UNBOUNDED",
    "Device",
    "MemoryCell",
    "MemoryMapping",
    "MultiplierSites",
    "find_device",
]

DEVICES = {device.name: device for device in FAMILIES}


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
