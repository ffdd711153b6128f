"""A small design in the form that ``generate`` leaves, for the tests of synthesis."""

import json

from amaranth import Array, Module, Signal, signed
from amaranth.back import verilog
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

CONFIGURATION_HASH = "00112233aabbccdd"


class MacBank(wiring.Component):
    """Lanes of multiply-accumulate whose operands come out of one memory.

    Each lane has a 16 × 8 bit product, an accumulator of 32 bits and nothing that synthesis could
    leave out, so that every count of cells is known beforehand.
    """

    def __init__(self, lanes, rows=1024):
        self.lanes = lanes
        self.rows = rows
        super().__init__({
            "write_data": In(18),
            "write_addr": In(range(rows)),
            "write_en": In(1),
            "read_addr": In(range(rows)),
            "operand": In(signed(8)),
            "select": In(range(lanes)),
            "total": Out(signed(32)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.storage = storage = memory.Memory(shape=18, depth=self.rows, init=[])
        w_port, r_port = storage.write_port(), storage.read_port()
        m.d.comb += [
            w_port.addr.eq(self.write_addr),
            w_port.data.eq(self.write_data),
            w_port.en.eq(self.write_en),
            r_port.addr.eq(self.read_addr),
            r_port.en.eq(1),
        ]
        totals = []
        left, right = r_port.data[:16].as_signed(), self.operand
        for lane in range(self.lanes):
            # Operands move on from lane to lane: no two lanes can share a multiplier.
            next_left, next_right = Signal.like(left), Signal.like(right)
            total = Signal(signed(32), name=f"total_{lane}")
            m.d.sync += [next_left.eq(left), next_right.eq(right), total.eq(total + left * right)]
            left, right = next_left, next_right
            totals.append(total)
        m.d.sync += self.total.eq(Array(totals)[self.select])
        return m


def write_design(directory, *, board="ulx3s-25f", lanes=2):
    """Write manifest and Verilog of a :class:`MacBank`; return the number of its port bits."""
    dut = MacBank(lanes)
    ports = {
        name: {"direction": "input" if member.flow is In else "output", "width": width}
        for name, member in dut.signature.members.items()
        for width in [Signal(member.shape).shape().width]
    }
    manifest = {
        "board": board,
        "hash": CONFIGURATION_HASH,
        "hardware": {},
        "verilog": ["accelerator.v"],
        "ports": ports | {"clk": {"direction": "input", "width": 1}},
    }
    (directory / "verilog").mkdir(parents=True)
    (directory / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    text = verilog.convert(dut, name="accelerator", emit_src=False)
    (directory / "verilog" / "accelerator.v").write_text(text, encoding="utf-8")
    return {
        direction: sum(port["width"] for port in ports.values() if port["direction"] == direction)
        for direction in ("input", "output")
    }
