"""A DDR3 SDRAM behind LiteDRAM's registers and the PHY of an ECP5, as the host sees them.

Written from JESD79-3 and from LiteDRAM's sources, without the code under test: registers are found
by name, their bits are LiteDRAM's. Every rule that is broken is an assertion.
"""

import math
from dataclasses import dataclass, field

import numpy as np

__all__ = ["Chip", "Ddr3Model", "Lane"]

#: Cycles of the controller that an access takes at least, by the gateware of the host link.
READ_CYCLES, WRITE_CYCLES = 3, 13
_BURST = 8
_COMMANDS = {
    # RAS, CAS, WE
    (1, 1, 1): "mode",
    (1, 1, 0): "refresh",
    (1, 0, 1): "precharge",
    (1, 0, 0): "activate",
    (0, 1, 1): "write",
    (0, 1, 0): "read",
    (0, 0, 1): "calibrate",
}


@dataclass
class Lane:
    """What is true of a lane.

    Parameters
    ----------
    windows : dict of int to tuple of int
        First and last delay that read right, by bitslip.
    marginal : set of tuple of int
        Bitslips and delays at which it reads right most of the times.
    strobe : bool
        Whether its strobe is ever seen.
    """

    windows: dict[int, tuple[int, int]]
    marginal: set[tuple[int, int]] = field(default_factory=set)
    strobe: bool = True


class Chip:
    """The SDRAM: rules of initialisation and banks, times in ns, and bank 0's data."""

    def __init__(self, *, clock_ns, refresh_ns=260):
        self.clock_ns = clock_ns
        self.x_pr = max(5 * clock_ns, refresh_ns + 10)
        self.mod = max(12 * clock_ns, 15)
        self.zq_init = max(512 * clock_ns, 640)
        #: Time from which commands of a kind are allowed.
        self.earliest = dict.fromkeys(_COMMANDS.values(), math.inf)
        self.reset_n, self.cke, self.odt = True, True, True
        self.changed = dict.fromkeys(("reset_n", "cke"), 0.0)
        self.modes: list[tuple[int, int]] = []
        self.calibrated = math.inf
        self.open_row, self.opened, self.data = None, 0.0, {}

    def pins(self, now, *, cke, odt, reset_n):
        """See what is common to all commands."""
        if reset_n and not self.reset_n:
            assert now - self.changed["reset_n"] >= 200e3, "reset for less than 200 µs"
            assert not self.cke, "clock enabled while in reset"
            assert now - self.changed["cke"] >= 10, "clock enabled until the end of the reset"
        if not reset_n and self.reset_n:
            self.modes, self.calibrated, self.open_row = [], math.inf, None
            self.earliest = dict.fromkeys(self.earliest, math.inf)
        if cke and not self.cke:
            assert self.reset_n, "clock enabled while in reset"
            assert now - self.changed["reset_n"] >= 500e3, (
                "clock enabled less than 500 µs after the reset"
            )
            self.earliest["mode"] = now + self.x_pr
        if odt and self.reset_n:
            assert now >= self.calibrated, "termination before the initialisation has ended"
        for name, old, new in (("cke", self.cke, cke), ("reset_n", self.reset_n, reset_n)):
            if old != new:
                self.changed[name] = now
        self.cke, self.odt, self.reset_n = cke, odt, reset_n

    def command(self, now, kind, bank, address):
        """Take a command; return what a read reads."""
        assert self.reset_n, f"{kind} in reset"
        assert self.cke, f"{kind} without clock"
        assert now >= self.earliest[kind], f"{kind} too soon, or before the initialisation"
        return getattr(self, f"_{kind}")(now, bank, address)

    def _mode(self, now, bank, address):
        order = (2, 3, 1, 0)
        assert len(self.modes) < len(order), "mode register set again"
        assert bank == order[len(self.modes)], f"mode register {bank} out of order"
        self.modes.append((bank, address))
        self.earliest["mode"] = now + 4 * self.clock_ns
        if len(self.modes) == len(order):
            self.earliest["calibrate"] = now + self.mod
            assert self.mode_field(0, 8), "DLL is not reset"
            self.earliest["read"] = now + 512 * self.clock_ns

    def _calibrate(self, now, bank, address):
        assert address >> 10 & 1, "short calibration"
        self.calibrated = now + self.zq_init
        self.earliest["activate"] = self.calibrated
        self.earliest["precharge"] = self.earliest["write"] = self.calibrated

    def _activate(self, now, bank, address):
        assert bank == 0
        assert self.open_row is None, "activate in an open bank"
        self.open_row, self.opened = address, now
        for kind in ("read", "write"):
            self.earliest[kind] = max(self.earliest[kind], now + 13.75)
        self.earliest["precharge"] = now + 37.5

    def _precharge(self, now, bank, address):
        assert self.open_row is not None, "precharge of a closed bank"
        assert now - self.opened <= 9 * 7800, "row open for too long"
        self.open_row = None
        self.earliest["activate"] = now + 13.75

    def _write(self, now, bank, address):
        assert self.open_row is not None, "write to a closed bank"
        assert not address & 7
        assert not address >> 10 & 1, "precharges by itself"
        end = now + (self.write_latency + _BURST // 2) * self.clock_ns
        self.earliest["read"] = max(self.earliest["read"], end + max(4 * self.clock_ns, 7.5))
        self.earliest["precharge"] = max(self.earliest["precharge"], end + 15)
        return self.open_row, address

    def _read(self, now, bank, address):
        assert self.open_row is not None, "read from a closed bank"
        assert not address & 7
        assert not address >> 10 & 1, "precharges by itself"
        end = now + max(4 * self.clock_ns, 7.5)
        self.earliest["precharge"] = max(self.earliest["precharge"], end)
        return self.open_row, address

    def mode_field(self, register, *bits):
        """Return bits of a mode register, the most significant one first."""
        value = dict(self.modes)[register]
        return int("".join(str(value >> bit & 1) for bit in bits), 2)

    @property
    def read_latency(self):
        code, high = self.mode_field(0, 6, 5, 4), self.mode_field(0, 2)
        assert code or high, "reserved read latency"
        return code + (12 if high else 4)

    @property
    def write_latency(self):
        return self.mode_field(2, 5, 4, 3) + 5

    @property
    def write_recovery(self):
        return (16, 5, 6, 7, 8, 10, 12, 14)[self.mode_field(0, 11, 10, 9)]


class Ddr3Model:
    """Registers of the controller; in the place of :class:`tests.host.fake_link.Registers`.

    Parameters
    ----------
    registers : dict of str to int
        Byte addresses, as generated.
    clock_mhz : float
        Of the controller; the chip has twice as much.
    lanes : list of Lane
    seed : int
        Of what is read where nothing is right.
    """

    PHASES, DELAYS, BITSLIPS = 2, 8, 4

    def __init__(self, registers, *, clock_mhz, lanes, seed=0):
        self.clock_ns = 1e3 / clock_mhz
        self.chip = Chip(clock_ns=self.clock_ns / 2)
        self.lanes, self.rng = lanes, np.random.default_rng(seed)
        #: Words of a phase's data: half a burst.
        self.words = _BURST // self.PHASES * len(lanes) // 4
        self.names = {
            address + 4 * word: (name, word)
            for name, address in registers.items()
            for word in range(self.words if name.endswith(("wrdata", "rddata")) else 1)
        }
        self.now, self.refused = 0.0, set()
        self.values = dict.fromkeys(self.names.values(), 0)
        self.values["sdram_dfii_control", 0] = 1
        self.settings = [[0, 0] for _ in lanes]
        #: Whether all lanes' strobes have been started together.
        self.in_step = True
        self.memory = {}
        self.reads = 0

    @property
    def ready(self):
        return bool(self.values["ddrctrl_init_done", 0])

    def read(self, address):
        self.now += READ_CYCLES * self.clock_ns
        return self.values[self.names[address]]

    def write(self, address, value):
        self.now += WRITE_CYCLES * self.clock_ns
        name, word = self.names[address]
        self.values[name, word] = value
        unit, _, action = name.partition("_")
        if unit == "sdram":
            self._dfii(action.removeprefix("dfii_"), value)
        elif unit == "ddrphy":
            self._phy(action, value)
        elif name == "ddrctrl_init_done":
            assert self._software is False, "ready while the host commands the chip"
            assert self.chip.open_row is None, "ready with an open row"
            assert self.now >= self.chip.calibrated, "ready before the initialisation"

    @property
    def _software(self):
        return not self.values["sdram_dfii_control", 0] & 1

    def _dfii(self, action, value):
        if action == "control":
            # The controller has all of them set.
            pins = value if self._software else 0b1110
            self.chip.pins(self.now, cke=bool(pins & 2), odt=bool(pins & 4), reset_n=bool(pins & 8))
        elif action.endswith("command_issue"):
            assert self._software, "command while the controller has the chip"
            self._command(int(action[2]))

    def _command(self, phase):
        command = self._value(f"pi{phase}_command")
        select, we, cas, ras, write_data, read_data = (command >> bit & 1 for bit in range(6))
        assert select, "command that selects no chip"
        kind = _COMMANDS[ras, cas, we]
        place = self.chip.command(
            self.now, kind, self._value(f"pi{phase}_baddress"), self._value(f"pi{phase}_address")
        )
        assert write_data == (kind == "write")
        assert read_data == (kind == "read")
        if kind == "write":
            # The PHY has a whole cycle's data begin in its first phase.
            aligned = (phase + self.chip.write_latency) % self.PHASES == 0
            self.memory[place] = self._written() if aligned else self._noise()
        if kind == "read":
            aligned = (phase + self.chip.read_latency) % self.PHASES == 0
            self._read_back(self.memory.get(place, self._noise()) if aligned else self._noise())

    def _value(self, name, word=0):
        return self.values[f"sdram_dfii_{name}", word]

    def _written(self):
        """Beats of a burst, [8, lanes]."""
        value = 0
        for phase in reversed(range(self.PHASES)):
            for word in range(self.words):
                value = value << 32 | self._value(f"pi{phase}_wrdata", word)
        size = _BURST * len(self.lanes)
        return np.frombuffer(value.to_bytes(size, "little"), np.uint8).reshape(_BURST, -1)

    def _noise(self):
        return self.rng.integers(0, 256, (_BURST, len(self.lanes)), np.uint8)

    def _read_back(self, burst):
        assert not self.values["ddrphy_dly_sel", 0], "read while the strobes' logic stands still"
        self.reads += 1
        seen, found = 0, burst.copy()
        for number, (lane, (bitslip, delay)) in enumerate(
            zip(self.lanes, self.settings, strict=True)
        ):
            first, last = lane.windows.get(bitslip, (1, 0))
            right = first <= delay <= last and self.in_step
            if (bitslip, delay) in lane.marginal:
                right = self.reads % 3 != 0
            if not right:
                found[:, number] = self._wrong(lane, bitslip, burst[:, number])
            seen |= lane.strobe << number
        value = int.from_bytes(found.tobytes(), "little")
        for phase in range(self.PHASES):
            for word in reversed(range(self.words)):
                self.values[f"sdram_dfii_pi{phase}_rddata", word] = value & 0xFFFF_FFFF
                value >>= 32
        self.values["ddrphy_burstdet_seen", 0] |= seen

    def _wrong(self, lane, bitslip, beats):
        """Beats too early or too late, or a bit that is wrong."""
        found = np.roll(beats, bitslip - min(lane.windows, default=0))
        bit = self.rng.integers(0, 8)
        found[self.rng.integers(0, _BURST)] ^= np.uint8(1 << bit)
        if (found == beats).all():
            found[0] ^= 1
        return found

    def _phy(self, action, value):
        selected = self.values["ddrphy_dly_sel", 0]
        if action == "burstdet_clr":
            self.values["ddrphy_burstdet_seen", 0] = 0
        elif action == "dly_sel":
            everyone = (1 << len(self.lanes)) - 1
            assert value <= everyone
            if value:
                self.in_step = value == everyone
        else:
            for number, setting in enumerate(self.settings):
                if selected >> number & 1:
                    self._set(setting, action)

    def _set(self, setting, action):
        if action == "rdly_dq_rst":
            setting[1] = 0
        elif action == "rdly_dq_inc":
            setting[1] = (setting[1] + 1) % self.DELAYS
        elif action == "rdly_dq_bitslip_rst":
            setting[0] = 0
        else:
            assert action == "rdly_dq_bitslip"
            setting[0] = (setting[0] + 1) % self.BITSLIPS
