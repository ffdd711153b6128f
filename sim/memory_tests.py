"""Coroutine inside the simulator: bursts of job.json; see :mod:`sim.memory_bench`.

The result has the cycle in which the memory was ``ready``, the chip's count of ``errors``, and per
phase the ``data`` of every read burst, ``offered`` and ``beats`` with the cycle in which each
address was first offered and each beat was taken, and ``answers`` with that of each response.
"""

import json
import os
import random
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.simtime import get_sim_time
from cocotb.triggers import ClockCycles, RisingEdge

__all__ = ["run_memory_job"]

_PERIOD_NS = 10
_RESET_CYCLES = 4
#: Cycles without anything happening after which a phase is given up.
_PATIENCE = 20_000


class _Bus:
    """Manager of the AXI4 bus: one step per cycle."""

    def __init__(self, dut, seed: int) -> None:
        self.dut = dut
        self.draw = random.Random(seed).random
        self.cycle = 0
        self.beat_bytes = len(dut.bus__w__strb)
        for channel in ("ar", "aw"):
            size = self.beat_bytes.bit_length() - 1
            self.drive(channel, addr=0, len=0, size=size, burst=1, cache=3, prot=0, valid=0)
        self.drive("w", data=0, strb=0, last=0, valid=0)
        self.drive("r", ready=0)
        self.drive("b", ready=0)

    def drive(self, channel: str, **values: int) -> None:
        for name, value in values.items():
            getattr(self.dut, f"bus__{channel}__{name}").value = value

    def value(self, channel: str, name: str) -> int:
        return int(getattr(self.dut, f"bus__{channel}__{name}").value)

    async def edge(self) -> None:
        await RisingEdge(self.dut.clk)
        self.cycle += 1

    async def run(self, phase: dict) -> dict:
        """Run one phase; return what happened and when."""
        reads, stall = phase["reads"], phase["stall"]
        payloads = {
            "ar": [{"addr": address, "len": beats - 1} for address, beats in reads],
            "aw": [{"addr": address, "len": len(beats) - 1} for address, beats in phase["writes"]],
            "w": [
                {"data": data, "strb": strobes, "last": int(index == len(beats) - 1)}
                for _, beats in phase["writes"]
                for index, (data, strobes) in enumerate(beats)
            ],
        }
        following = dict.fromkeys(payloads, 0)
        valid = dict.fromkeys(payloads, False)
        ready = {"r": False, "b": False}
        result: dict = {
            "data": [[] for _ in reads],
            "offered": [],
            "beats": [[] for _ in reads],
            "answers": [],
        }
        burst, quiet = 0, 0
        while burst < len(reads) or len(result["answers"]) < len(phase["writes"]):
            for channel, items in payloads.items():
                if valid[channel] or following[channel] == len(items) or self.draw() < stall:
                    continue
                if channel == "ar" and following["ar"] - burst >= phase["outstanding"]:
                    continue
                self.drive(channel, **items[following[channel]], valid=1)
                valid[channel] = True
                if channel == "ar":
                    result["offered"].append(self.cycle)
            for channel in ready:
                ready[channel] = self.draw() >= stall
                self.drive(channel, ready=int(ready[channel]))
            await self.edge()
            moved = False
            for channel in payloads:
                if valid[channel] and self.value(channel, "ready"):
                    self.drive(channel, valid=0)
                    valid[channel], moved = False, True
                    following[channel] += 1
            if ready["r"] and self.value("r", "valid"):
                result["data"][burst].append(self.value("r", "data"))
                result["beats"][burst].append(self.cycle - 1)
                moved, last = True, self.value("r", "last")
                assert last == (len(result["beats"][burst]) == reads[burst][1]), "RLAST is wrong"
                assert not self.value("r", "resp")
                burst += last
            if ready["b"] and self.value("b", "valid"):
                result["answers"].append(self.cycle - 1)
                moved = True
                assert not self.value("b", "resp")
            quiet = 0 if moved else quiet + 1
            assert quiet < _PATIENCE, "nothing happens any more"
        self.drive("r", ready=0)
        self.drive("b", ready=0)
        return result


@cocotb.test()
async def run_memory_job(dut) -> None:
    """Run all phases of the job."""
    folder = Path(os.environ["MLA_HW_SIM_FOLDER"])
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    dut.rst.value = 1
    bus = _Bus(dut, job["seed"])
    for name in ("ar__valid", "aw__valid", "w__valid", "r__ready", "b__ready"):
        getattr(dut, f"controller__{name}").value = 0
    Clock(dut.clk, _PERIOD_NS, unit="ns", impl="gpi").start()
    await ClockCycles(dut.clk, _RESET_CYCLES)
    dut.rst.value = 0
    started = get_sim_time("ns")
    if dut.ready.value != 1:
        await RisingEdge(dut.ready)
    waited = round((get_sim_time("ns") - started) / _PERIOD_NS)
    await RisingEdge(dut.clk)
    phases = [await bus.run(phase) for phase in job["phases"]]
    result = {"ready": waited, "errors": int(dut.errors.value), "phases": phases}
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
