"""Timing of an SDR SDRAM behind a simple controller, as ``--memory dram`` simulates it.

Bursts are served one after the other in the order in which they are accepted. The controller leaves
rows open, keeps the data pins busy across bursts of open rows, and refreshes all banks when the
interval is over. ``sim/models/axi_memory.v`` does the same, cycle by cycle.

Time is counted in ticks, of which core and memory cycle have whole numbers.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mla_hw.errors import ConfigError

__all__ = ["PARTS", "Sdram", "SdramTiming"]

#: Micron's data sheet of the 256 Mb SDR SDRAM, MT48LC16M16A2 in speed grade -75: nanoseconds,
#: latency at up to 100 MHz in cycles, columns of a row, and banks. All rows once in 64 ms.
PARTS: Mapping[str, Mapping[str, float]] = {
    "MT48LC16M16": {
        "t_rp": 20,
        "t_rcd": 20,
        "t_rfc": 66,
        "t_wr": 15,
        "t_refi": 64e6 / 8192,
        "cas_latency": 2,
        "columns": 512,
        "banks": 4,
    }
}
#: Memory cycles from an accepted address to the first command.
_COMMAND_CYCLES = 2
#: Ticks of a cycle at 1 MHz of the other clock: a clock in kHz is a whole number.
_TICKS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class SdramTiming:
    """Timing of a memory as seen by a core.

    Parameters
    ----------
    core_ticks, memory_ticks : int
        Ticks of a cycle of the core and of the memory.
    beat_cycles : int
        Memory cycles in which the data pins move a beat of the core's port.
    precharge, activate, cas, refresh, write_recovery, interval : int
        tRP, tRCD, CL, tRFC, tWR and the average refresh interval, in memory cycles.
    page_bytes : int
        Bytes of an open row.
    banks : int
    """

    core_ticks: int
    memory_ticks: int
    beat_cycles: int
    precharge: int
    activate: int
    cas: int
    refresh: int
    write_recovery: int
    interval: int
    page_bytes: int
    banks: int

    @classmethod
    def of(
        cls, *, part: str, width_bits: int, clock_mhz: float, core_mhz: float, port_bytes: int
    ) -> "SdramTiming":
        """Work out the timing of a part at a clock.

        Raises
        ------
        ConfigError
            For a part whose data sheet is not known.
        """
        if part not in PARTS:
            raise ConfigError(
                f"--memory: dram needs a part that is known ({', '.join(PARTS)}), not {part}"
            )
        values = PARTS[part]

        def cycles(name: str) -> int:
            return math.ceil(values[name] * clock_mhz / 1000 - 1e-9)

        return cls(
            core_ticks=round(clock_mhz * _TICKS),
            memory_ticks=round(core_mhz * _TICKS),
            beat_cycles=max(1, 8 * port_bytes // width_bits),
            precharge=cycles("t_rp"),
            activate=cycles("t_rcd"),
            cas=int(values["cas_latency"]),
            refresh=cycles("t_rfc"),
            write_recovery=cycles("t_wr"),
            interval=math.floor(values["t_refi"] * clock_mhz / 1000),
            page_bytes=int(values["columns"]) * width_bits // 8,
            banks=int(values["banks"]),
        )

    def plusargs(self) -> list[str]:
        """Return the arguments of ``sim/models/axi_memory.v``."""
        values: dict[str, Any] = {
            "core": self.core_ticks,
            "cycle": self.memory_ticks,
            "beat": self.beat_cycles * self.memory_ticks,
            "command": _COMMAND_CYCLES * self.memory_ticks,
            "rp": self.precharge * self.memory_ticks,
            "rcd": self.activate * self.memory_ticks,
            "cl": self.cas * self.memory_ticks,
            "rfc": self.refresh * self.memory_ticks,
            "wr": self.write_recovery * self.memory_ticks,
            "refi": self.interval * self.memory_ticks,
            "page": self.page_bytes,
            "banks": self.banks,
        }
        return [f"+dram_{name}={value}" for name, value in values.items()]


class Sdram:
    """Predict when the beats of read bursts come; bursts in the order of their addresses.

    Parameters
    ----------
    timing : SdramTiming
    beat_bytes : int
        Bytes of a beat of the core's port.
    """

    def __init__(self, timing: SdramTiming, beat_bytes: int) -> None:
        self.timing = timing
        self.beat_bytes = beat_bytes
        self._rows: dict[int, int] = {}  # open row by bank
        self._command = 0  # earliest next command
        self._pins = 0  # data pins are free
        self._refresh = timing.interval * timing.memory_ticks
        self._last = -1

    def read(self, cycle: int, beat: int, beats: int) -> list[int]:
        """Return the cycle of each beat of a burst.

        Parameters
        ----------
        cycle : int
            In which the address is accepted.
        beat : int
            Address of the first beat, in beats.
        beats : int
        """
        timing, tick = self.timing, self.timing.memory_ticks
        command = max(cycle * timing.core_ticks + _COMMAND_CYCLES * tick, self._command)
        if command >= self._refresh:
            # Those before have found the memory idle.
            interval = timing.interval * tick
            self._refresh += (command - self._refresh) // interval * interval
            pause = (timing.precharge + timing.refresh) * tick
            command = max(command, max(self._refresh, self._command) + pause)
            self._refresh += interval
            self._rows.clear()
        row, bank = divmod(beat * self.beat_bytes // timing.page_bytes, timing.banks)
        open_row = self._rows.get(bank)
        if open_row != row:
            command += timing.activate * tick
            if open_row is not None:
                command += timing.precharge * tick
            self._rows[bank] = row
        data = max(command + timing.cas * tick, self._pins)
        times = []
        for index in range(1, beats + 1):
            end = data + index * timing.beat_cycles * tick
            self._last = max(-(-end // timing.core_ticks), self._last + 1)
            times.append(self._last)
        self._pins = data + beats * timing.beat_cycles * tick
        self._command = self._pins - timing.cas * tick
        return times
