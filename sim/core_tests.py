"""Coroutine inside the simulator: runs the tokens of job.json; see :mod:`sim.runner`."""

import json
import os
import time
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge

from sim.axi_lite import AxiLite, AxiLiteError

__all__ = ["run_job"]

#: Folder with job.json; results are written beside it.
FOLDER_VARIABLE = "MLA_HW_SIM_FOLDER"
_RESET_CYCLES = 4


class _Core:
    """The simulation's top: strobes and registers."""

    def __init__(self, dut) -> None:
        self.dut = dut
        for name in (
            *("load", "flip", "flip_word", "flip_mask", "dump", "arm", "limit"),
            *("refuse", "refuse_first", "refuse_last"),
        ):
            getattr(dut, name).value = 0
        dut.rst.value = 1
        self.registers = AxiLite(dut, dut.clk)
        Clock(dut.clk, 10, unit="ns", impl="gpi").start()

    async def reset(self) -> None:
        await ClockCycles(self.dut.clk, _RESET_CYCLES)
        self.dut.rst.value = 0
        await RisingEdge(self.dut.clk)

    async def strobe(self, name: str) -> None:
        """Raise an input for one cycle, and wait until it has taken effect."""
        signal = getattr(self.dut, name)
        signal.value = 1
        await RisingEdge(self.dut.clk)
        signal.value = 0
        await RisingEdge(self.dut.clk)

    async def run(self, token: dict) -> str | None:
        """Run one token; return what went wrong, or None."""
        if token["patch"]:
            await self.strobe("load")
        for word, mask in token["flips"]:
            self.dut.flip_word.value = word
            self.dut.flip_mask.value = mask
            await self.strobe("flip")
        self.dut.refuse.value = token["refused"] is not None
        self.dut.refuse_first.value, self.dut.refuse_last.value = token["refused"] or (0, 0)
        self.dut.limit.value = token["limit"]
        await self.strobe("arm")
        await self.write_all(token["writes"])
        if token["later"]:
            cycles, writes = token["later"]
            await ClockCycles(self.dut.clk, cycles)
            await self.write_all(writes)
        if self.dut.attention.value != 1:
            await RisingEdge(self.dut.attention)
        await RisingEdge(self.dut.clk)
        if self.dut.violated.value == 1:
            return "violation"
        return None if self.dut.interrupt.value == 1 else "overtime"

    async def read(self, addresses: list[int]) -> int:
        """Read a register of one or more words, low word first."""
        words = [await self.registers.read(address) for address in addresses]
        return sum(word << 32 * index for index, word in enumerate(words))

    async def write_all(self, writes: list[list[int]]) -> None:
        for address, value in writes:
            await self.registers.write(address, value)


@cocotb.test()
async def run_job(dut) -> None:
    """Run all tokens; a result file after each is complete when it has its name."""
    folder = Path(os.environ[FOLDER_VARIABLE])
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    core = _Core(dut)
    await core.reset()
    await core.write_all(job["setup"])
    for index, token in enumerate(job["tokens"]):
        started = time.perf_counter()
        registers = {}
        try:
            stopped = await core.run(token)
            await core.write_all(job["latch"])
            for name, addresses in job["reads"].items():
                registers[name] = await core.read(addresses)
            await core.write_all(job["acknowledge"])
            if stopped is None and dut.interrupt.value == 1:
                stopped = "the interrupt stays after it was acknowledged"
        except AxiLiteError as error:
            stopped = str(error)
        await core.strobe("dump")
        unfinished = folder / "token.part"
        unfinished.write_text(
            json.dumps({
                "stopped": stopped,
                "registers": registers,
                "seconds": time.perf_counter() - started,
            }),
            encoding="utf-8",
        )
        unfinished.rename(folder / f"token_{index}.json")
        if stopped:
            break
