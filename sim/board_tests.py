"""Coroutine inside the simulator: the driver decodes tokens over the board's serial line.

It is the object that ``mla-hw run`` has, so what is tested is what a user runs; see
:mod:`sim.board_bench`.
"""

import json
import os
from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, Timer

from mla_hw.design import Design
from mla_hw.host.driver import Driver
from mla_hw.host.link import Link
from mla_hw.host.operation import perform_async
from mla_hw.host.pins import PinListener, PinTransport
from sim.core_tests import FOLDER_VARIABLE

__all__ = ["decode"]

_PERIOD_NS = 10
_RESET_CYCLES = 8


@cocotb.test()
async def decode(dut) -> None:
    """Run job.json; write result.json."""
    folder = Path(os.environ[FOLDER_VARIABLE])
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    design = Design.load(Path(job["design"]))
    Clock(dut.clk, _PERIOD_NS, unit="ns", impl="gpi").start()
    dut.rx.value = 1
    released = job["inverted_reset"]
    dut.rst.value = not released
    await ClockCycles(dut.clk, _RESET_CYCLES)
    dut.rst.value = released
    bit_ns = job["divisor"] * _PERIOD_NS

    def drive(bit: int) -> None:
        dut.rx.value = bit

    async def wait(bits: float) -> None:
        await Timer(round(bits * bit_ns), unit="ns")

    async def edge() -> None:
        await FallingEdge(dut.tx)

    dark = int(dut.led.value)
    listener = PinListener(sample=lambda: int(dut.tx.value), edge=edge, wait=wait)
    cocotb.start_soon(listener.listen())
    baud = 1e9 / bit_ns
    transport = PinTransport(drive=drive, wait=wait, listener=listener, baud=baud)
    driver = Driver(Link(baud=baud))
    await perform_async(driver.connect(), transport)
    await perform_async(driver.check_identity(design), transport)
    written = await perform_async(driver.load(design), transport)
    tokens = []
    for position, row in enumerate(job["x"]):
        operation = driver.run_token(design, np.array(row), (position,))
        tokens.append(await perform_async(operation, transport))
    result = {
        "y": [token.y.tolist() for token in tokens],
        "counters": [token.counters for token in tokens],
        "written": written,
        "clock_hz": driver.clock_hz,
        "errors": int(dut.errors.value),
        "led": [dark, int(dut.led.value)],
        "traffic": {name: getattr(driver.link.traffic, name) for name in ("requests", "repeated")},
    }
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
