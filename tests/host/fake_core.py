"""Registers of a core that runs its program by the golden model, in Python."""

from dataclasses import replace

import numpy as np

from mla_hw.golden.interpreter import Machine
from mla_hw.program.image import Region
from mla_hw.registers import (
    COUNTERS,
    REGISTERS,
    Access,
    ErrorCode,
    core_constants,
    position_register,
    register,
    registers,
)
from tests.host.fake_link import Registers

__all__ = ["CYCLES", "FakeCore"]

#: What the counter of cycles says of the first run; one more with each.
CYCLES = 1000
_DONE, _ERROR = 1, 2


class FakeCore(Registers):
    """A core for a design.

    Parameters
    ----------
    design : Design
    memory : bytearray
        Of the board.
    reads : int
        Reads of the interrupt status until a run has ended.
    """

    def __init__(self, design, memory, *, reads=300):
        super().__init__()
        self.design, self.memory, self.reads = design, memory, reads
        #: Error that runs end with.
        self.error = ErrorCode.NONE
        #: Layers' weights, and positions, of the runs.
        self.runs = []
        #: Reads that are left until the run has ended; None when there is none, or it never ends.
        self.running = False
        self._left = 0
        constants = core_constants(design.core, int(design.manifest["hash"], 16))
        for item in REGISTERS:
            value = constants.get(item.name, item.reset) or 0
            for word in range(item.words):
                self.values[item.address + 4 * word] = value >> 32 * word & 0xFFFF_FFFF
        idle = [item for item in registers(8) if item.access is Access.RW_IDLE]
        self._idle = {item.address for item in idle}

    def get(self, name):
        return self.values.get(register(name).address, 0)

    def set(self, name, value):
        self.values[register(name).address] = value

    def read(self, address):
        if address == register("interrupt_status").address and self.running:
            self._left -= 1
            if self._left == 0:
                self._end(self.error)
        return super().read(address)

    def write(self, address, value):
        if self.running:
            assert address not in self._idle, "written while the core runs"
        self.writes.append((address, value))
        if address == register("interrupt_status").address:
            self.set("interrupt_status", self.get("interrupt_status") & ~value)
        elif address == register("control").address:
            if value & 1:
                self._start()
            if value & 2 and self.running:
                self._end(ErrorCode.ABORT)
        else:
            self.values[address] = value

    def _start(self):
        self.running, self._left = True, self.reads
        self.set("status", 1)
        self.set("error_code", 0)

    def _end(self, error):
        self.running = False
        self.set("status", 4 if error else 2)
        self.set("error_code", error)
        self.set("interrupt_status", _ERROR if error else _DONE)
        if not error:
            self._run()

    def _run(self):
        """Do what the program does to the memory that the base registers point to."""
        design = self.design
        places = {
            name: Region(self.get(f"base_{name}"), region.size)
            for name, region in design.regions.items()
        }
        positions = tuple(self.get(position_register(row)) for row in range(design.core.query_rows))
        assert self.get("program_beats") * design.core.port_bytes >= places["program"].size
        place = replace(design.memory, regions=places)
        machine = Machine(design.core, design.program, place, b"", design.constants)
        machine.memory[:] = np.frombuffer(self.memory[: place.size], np.uint8)
        machine.run(positions)
        self.memory[: place.size] = machine.memory.tobytes()
        self.runs.append((places["weights"].offset, positions))
        for number, name in enumerate(COUNTERS):
            self.set(name, CYCLES + len(self.runs) - 1 if name == "cycles" else number)
