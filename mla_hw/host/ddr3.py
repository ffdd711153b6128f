"""Initialisation and read leveling of a DDR3 SDRAM behind LiteDRAM's controller on an ECP5.

The chip's side is JEDEC's JESD79-3. That of the controller is seen in the sources of LiteDRAM:
``dfii.py``, whose registers issue single commands, and ``phy/ecp5ddrphy.py``. None of this has been
tried on a board.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from mla_hw.errors import ConfigError, ToolError
from mla_hw.host.controller import Command, Control, MemoryController
from mla_hw.host.link import CYCLES_PER_READ, Link
from mla_hw.host.operation import Operation
from mla_hw.host.protocol import WORD_BYTES, Space
from mla_hw.host.steps import Writes

__all__ = ["Leveling", "prepare_ddr3"]

_BURST = 8
#: Bursts of random bytes that have to come back, all of them, for a setting to be good.
_PATTERNS = 4
#: Delays next to each other that a lane needs; one alone has no margin on either side.
_NARROWEST = 2
_ACTIVATE = Command.CS | Command.RAS
_PRECHARGE = Command.CS | Command.RAS | Command.WE
_WRITE = Command.CS | Command.CAS | Command.WE | Command.WRDATA
_READ = Command.CS | Command.CAS | Command.RDDATA
_PULSES = (
    *("ddrphy_rdly_dq_rst", "ddrphy_rdly_dq_inc"),
    *("ddrphy_rdly_dq_bitslip_rst", "ddrphy_rdly_dq_bitslip"),
)
_REGISTERS = (
    *("ddrctrl_init_done", "sdram_dfii_control", "ddrphy_dly_sel", *_PULSES),
    *("ddrphy_burstdet_clr", "ddrphy_burstdet_seen"),
)
_PHASE_REGISTERS = ("command", "command_issue", "address", "baddress", "wrdata", "rddata")


@dataclass(frozen=True, kw_only=True, slots=True)
class Leveling:
    """What was found of a lane, and set; its text is a line of a table.

    Parameters
    ----------
    lane : int
        Eight data pins, the lowest ones first.
    good : tuple of tuple of bool
        [bitslips, delays]: with which settings it has read right.
    bitslip : int
        The one with the most good delays next to each other.
    first, last : int
        These delays; ``last`` is below ``first`` if there is none.
    """

    lane: int
    good: tuple[tuple[bool, ...], ...]
    bitslip: int
    first: int
    last: int

    @property
    def window(self) -> int:
        """Good delays next to each other."""
        return self.last - self.first + 1

    @property
    def delay(self) -> int:
        """The one in the middle of the window; of two, the lower one."""
        return (self.first + self.last) // 2

    @classmethod
    def choose(cls, lane: int, good: NDArray[np.bool_]) -> "Leveling":
        """Find the widest window; of several, that of the lowest bitslip and delay.

        Parameters
        ----------
        lane : int
        good : [bitslips, delays] bool
        """
        windows = [(0, 0, 0, -1)]
        for bitslip, row in enumerate(good):
            for works, group in groupby(enumerate(row), key=lambda item: bool(item[1])):
                delays = [delay for delay, _ in group]
                if works:
                    windows.append((len(delays), bitslip, delays[0], delays[-1]))
        _, bitslip, first, last = max(windows, key=lambda window: window[0])
        table = tuple(map(tuple, good.tolist()))
        return cls(lane=lane, good=table, bitslip=bitslip, first=first, last=last)

    def __str__(self) -> str:
        rows = ("".join("#" if works else "." for works in row) for row in self.good)
        found = "no delay reads right"
        if self.window > 0:
            found = f"bitslip {self.bitslip}, delay {self.delay} ({self.first} to {self.last})"
        return f"lane {self.lane}: |{'|'.join(rows)}| {found}"


def prepare_ddr3(link: Link, controller: MemoryController) -> Operation[tuple[Leveling, ...]]:
    """Make a DDR3 SDRAM ready for use: initialise it, level its reads, hand it to the controller.

    If it is ready, it stays as it is, and nothing is returned.

    Parameters
    ----------
    link : Link
        Identified; the core behind it must not run.
    controller : MemoryController
        Of a DDR3 SDRAM, as it is in the bitstream.

    Returns
    -------
    tuple of Leveling
        Of each lane.

    Raises
    ------
    ConfigError
        If the controller lacks a register; names it.
    ToolError
        If a lane has no window; names it, with the widest one found.
    """
    memory = _Ddr3(link, controller)
    if (yield from memory.is_ready()):
        return ()
    yield from memory.initialise()
    lanes = yield from memory.level()
    yield from memory.hand_over()
    return lanes


class _Ddr3:
    def __init__(self, link: Link, controller: MemoryController) -> None:
        assert controller.phy is not None
        self.link, self.controller, self.phy = link, controller, controller.phy
        names = [
            *_REGISTERS,
            *(
                f"sdram_dfii_pi{phase}_{name}"
                for phase in range(self.phy.phases)
                for name in _PHASE_REGISTERS
            ),
        ]
        if missing := [name for name in names if name not in controller.registers]:
            raise ConfigError(
                f"the memory controller has no register {missing[0]!r}: read leveling needs that "
                "of LiteDRAM with ECP5DDRPHY"
            )
        self.all_lanes = (1 << self.phy.lanes) - 1
        rng = np.random.default_rng(0)
        shape = (_PATTERNS, _BURST, self.phy.lanes)
        self.patterns = rng.integers(0, 256, shape, dtype=np.uint8)

    def is_ready(self) -> Operation[bool]:
        """Whether somebody has prepared the memory since the bitstream was loaded."""
        address = self.controller.registers["ddrctrl_init_done"]
        (done,) = yield from self.link.read_registers(Space.CONTROLLER, address, 1)
        return bool(done)

    def initialise(self) -> Operation[None]:
        """Write the initialisation, with its waits."""
        writes: Writes = []
        for write in self.controller.initialisation:
            writes.append((write.address, write.value))
            if write.wait:
                yield from self._write(writes)
                writes = []
                # A register that is 0 until the end.
                address = self.controller.registers["ddrctrl_init_done"]
                reads = -(-write.wait // CYCLES_PER_READ)
                yield from self.link.wait_register(Space.CONTROLLER, address, reads)
        yield from self._write(writes)

    def level(self) -> Operation[tuple[Leveling, ...]]:
        """Try every setting on all lanes at once, and set each lane to the middle of its window."""
        phy = self.phy
        good = np.zeros((phy.bitslips, phy.delays, phy.lanes), np.bool_)
        for bitslip in range(phy.bitslips):
            for delay in range(phy.delays):
                yield from self._set_lanes(self.all_lanes, bitslip, delay)
                good[bitslip, delay] = yield from self._read_right()
        found = tuple(Leveling.choose(lane, good[..., lane]) for lane in range(phy.lanes))
        for lane in found:
            if lane.window < _NARROWEST:
                raise ToolError(
                    f"the DDR3 SDRAM cannot be read: {lane}; the widest window has {lane.window} "
                    f"of the {_NARROWEST} delays needed"
                )
        for lane in found:
            yield from self._set_lanes(1 << lane.lane, lane.bitslip, lane.delay)
        right = yield from self._read_right()
        for lane in found:
            if not right[lane.lane]:
                raise ToolError(f"the DDR3 SDRAM reads wrong after read leveling: {lane}")
        return found

    def hand_over(self) -> Operation[None]:
        """Let the controller command the chip, and open its port."""
        registers = self.controller.registers
        yield from self._write([
            (registers["sdram_dfii_control"], Control.SEL),
            (registers["ddrctrl_init_done"], 1),
        ])

    def _set_lanes(self, lanes: int, bitslip: int, delay: int) -> Operation[None]:
        """Set lanes, given as a mask."""
        select = self.controller.registers["ddrphy_dly_sel"]
        reset, increment, bitslip_reset, slip = (self.controller.registers[p] for p in _PULSES)
        yield from self._write([
            (select, lanes),
            (bitslip_reset, 1),
            (reset, 1),
            *[(slip, 1)] * bitslip,
            *[(increment, 1)] * delay,
            # The strobes' logic stands still while selected; all of it has to start at once.
            (select, 0),
            (select, self.all_lanes),
            (select, 0),
        ])

    def _read_right(self) -> Operation[NDArray[np.bool_]]:
        """Return which lanes read all patterns right, [lanes]."""
        right = np.ones(self.phy.lanes, np.bool_)
        for pattern in self.patterns:
            burst, detected = yield from self._write_and_read(pattern)
            right &= (burst == pattern).all(axis=0) & detected
        return right

    def _write_and_read(
        self, pattern: NDArray[np.uint8]
    ) -> Operation[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
        """Write a burst [8, lanes] and read it; also return where a strobe was seen, [lanes]."""
        phy, registers = self.phy, self.controller.registers
        # One request, as a row must not be open for more than 70 µs; within it a command takes four
        # writes of more than ten cycles each, longer than anything in the chip.
        yield from self._write([
            *self._data_writes(pattern),
            *self._command(0, _ACTIVATE),
            *self._command(phy.write_phase, _WRITE),
            (registers["ddrphy_burstdet_clr"], 1),
            *self._command(phy.read_phase, _READ),
            *self._command(0, _PRECHARGE),
        ])
        words = self._data_words()
        *parts, seen = yield from self.link.exchange([
            *(
                self.link.register_read(
                    Space.CONTROLLER, registers[f"sdram_dfii_pi{phase}_rddata"], words
                )
                for phase in range(phy.phases)
            ),
            self.link.register_read(Space.CONTROLLER, registers["ddrphy_burstdet_seen"], 1),
        ])
        data = b"".join(np.array(part.words[::-1], "<u4").tobytes() for part in parts)
        detected = np.array([seen.words[0] >> lane & 1 for lane in range(phy.lanes)], np.bool_)
        return np.frombuffer(data, np.uint8).reshape(_BURST, phy.lanes), detected

    def _data_words(self) -> int:
        """Return the words of a phase's data: an equal share of the burst."""
        return _BURST * self.phy.lanes // self.phy.phases // WORD_BYTES

    def _data_writes(self, pattern: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
        for phase, part in enumerate(np.split(pattern, self.phy.phases)):
            address = self.controller.registers[f"sdram_dfii_pi{phase}_wrdata"]
            # The first beat is in the lowest bits, and these are in the last word.
            words = np.frombuffer(part.tobytes(), "<u4")[::-1]
            for index, word in enumerate(words):
                yield address + WORD_BYTES * index, int(word)

    def _command(self, phase: int, command: Command) -> Writes:
        """Return the writes that issue a command to row or column 0 of bank 0."""
        values = {"address": 0, "baddress": 0, "command": int(command), "command_issue": 1}
        registers = self.controller.registers
        return [(registers[f"sdram_dfii_pi{phase}_{key}"], v) for key, v in values.items()]

    def _write(self, writes: Writes) -> Operation[None]:
        yield from self.link.write_registers(Space.CONTROLLER, writes)
