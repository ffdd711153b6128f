"""Timing of an SDR SDRAM behind a controller like LiteDRAM, as ``--memory dram`` simulates it.

Bursts are served one after the other in the order in which they are accepted. The controller leaves
rows open, keeps the data pins busy across bursts of an open row, lets a bank run empty before it
serves another one, and refreshes all banks when the interval is over. ``sim/models/axi_memory.v``
does the same, cycle by cycle.

Time is counted in ticks, of which core and memory cycle have whole numbers.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mla_hw.errors import ConfigError

__all__ = ["PARTS", "Sdram", "SdramTiming", "part_bytes"]

#: Nanoseconds, latency in cycles, columns of a row, rows of a bank, banks; words that the pins move
#: in a cycle, and cycles of the bus in one of the controller. All rows once in 64 ms.
PARTS: Mapping[str, Mapping[str, float]] = {
    # Micron's data sheet of the 256 Mb SDR SDRAM, MT48LC16M16A2 in speed grade -75, up to 100 MHz.
    "MT48LC16M16": {
        "t_rp": 20,
        "t_rcd": 20,
        "t_rfc": 66,
        "t_wr": 15,
        "t_refi": 64e6 / 8192,
        "cas_latency": 2,
        "columns": 512,
        "rows": 8192,
        "banks": 4,
        "words": 1,
        "ratio": 1,
    },
    # ESMT's 64 Mb, 2M × 32, as LiteDRAM has it.
    "M12L64322A": {
        "t_rp": 15,
        "t_rcd": 15,
        "t_rfc": 55,
        "t_wr": 15,
        "t_refi": 64e6 / 4096,
        "cas_latency": 2,
        "columns": 256,
        "rows": 2048,
        "banks": 4,
        "words": 1,
        "ratio": 1,
    },
    # Etron's 64 Mb, 2M × 32, as in boards/litedram_driver.py.
    "EM638325": {
        "t_rp": 21,
        "t_rcd": 21,
        "t_rfc": 70,
        "t_wr": 30,
        "t_refi": 64e6 / 4096,
        "cas_latency": 2,
        "columns": 256,
        "rows": 2048,
        "banks": 4,
        "words": 1,
        "ratio": 1,
    },
    # Micron's data sheet of the 4 Gb DDR3L SDRAM; the latency is that of LiteDRAM's PHY of an ECP5,
    # whose controller has one cycle for two of the bus.
    "MT41K256M16": {
        "t_rp": 13.75,
        "t_rcd": 13.75,
        "t_rfc": 260,
        "t_wr": 15,
        "t_refi": 64e6 / 8192,
        "cas_latency": 13,
        "columns": 1024,
        "rows": 32768,
        "banks": 8,
        "words": 4,
        "ratio": 2,
    },
}
# What the controller takes in memory cycles: LiteDRAM with its chip in `benchmarks/litedram.py`.
#: From an accepted address to the first command. What the data take from the pins to the core is in
#: it as well, because no other burst waits for that.
_COMMAND_CYCLES = 9
#: From the last command of a bank to the first one of another bank, beyond the cycle that there is
#: between any two.
_BANK_CYCLES = 3
#: Until it is seen that the row of a command is closed.
_ROW_CYCLES = 1
#: Until all banks have stopped for a refresh and go on after it.
_REFRESH_CYCLES = 4
#: From reads to writes and back.
_TURN_CYCLES = 4
#: Ticks of a cycle at 1 MHz of the other clock: a clock in kHz is a whole number.
_TICKS = 1000


def part_bytes(part: str, width_bits: int) -> int | None:
    """Return the size of a memory of such chips in bytes; None for a part that is not known."""
    values = PARTS.get(part)
    if values is None:
        return None
    return int(values["columns"] * values["rows"] * values["banks"]) * width_bits // 8


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
        """Work out the timing of a part at a clock, that of its bus.

        Cycles of the memory are those of its controller.

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
        clock_mhz /= values["ratio"]

        def cycles(name: str) -> int:
            return math.ceil(values[name] * clock_mhz / 1000 - 1e-9)

        return cls(
            core_ticks=round(clock_mhz * _TICKS),
            memory_ticks=round(core_mhz * _TICKS),
            beat_cycles=max(1, math.ceil(8 * port_bytes / (width_bits * values["words"]))),
            precharge=cycles("t_rp"),
            activate=cycles("t_rcd"),
            cas=int(values["cas_latency"]),
            refresh=cycles("t_rfc"),
            write_recovery=cycles("t_wr"),
            interval=math.floor(values["t_refi"] * clock_mhz / 1000),
            page_bytes=int(values["columns"]) * width_bits // 8,
            banks=int(values["banks"]),
        )

    @property
    def opening(self) -> int:
        """Memory cycles by which a command waits for a row to be opened."""
        return self.activate + _ROW_CYCLES

    @property
    def pause(self) -> int:
        """Memory cycles that a refresh takes."""
        return self.precharge + self.refresh + _REFRESH_CYCLES

    @property
    def interruption(self) -> int:
        """Memory cycles that a refresh costs at most: the rows of all banks are opened again."""
        return self.pause + self.banks * (self.opening + _BANK_CYCLES)

    def plusargs(self) -> list[str]:
        """Return the arguments of ``sim/models/axi_memory.v``."""
        values: dict[str, Any] = {
            "core": self.core_ticks,
            "beat": self.beat_cycles * self.memory_ticks,
            "command": _COMMAND_CYCLES * self.memory_ticks,
            "bank": _BANK_CYCLES * self.memory_ticks,
            "rp": self.precharge * self.memory_ticks,
            "open": self.opening * self.memory_ticks,
            "cl": self.cas * self.memory_ticks,
            "pause": self.pause * self.memory_ticks,
            "turn": (self.write_recovery + _TURN_CYCLES) * self.memory_ticks,
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
        self._bank = 0  # of the last command
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
        row, bank = divmod(beat * self.beat_bytes // timing.page_bytes, timing.banks)
        if bank != self._bank:
            self._bank, self._command = bank, self._command + _BANK_CYCLES * tick
        command = max(cycle * timing.core_ticks + _COMMAND_CYCLES * tick, self._command)
        if command >= self._refresh:
            # Those before have found the memory idle.
            interval = timing.interval * tick
            self._refresh += (command - self._refresh) // interval * interval
            pause = timing.pause * tick
            command = max(command, max(self._refresh, self._command) + pause)
            self._refresh += interval
            self._rows.clear()
        open_row = self._rows.get(bank)
        if open_row != row:
            command += timing.opening * tick
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
