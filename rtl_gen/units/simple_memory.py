"""A memory with one write port and one read port."""

from typing import Any

from amaranth import *
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In

from mla_hw.cycles.simple_memory import SIMPLE_MEMORY_TIMING
from rtl_gen.layouts import read_port_signature

__all__ = ["SimpleMemory", "memory_write_layout"]


def memory_write_layout(shape: object, depth: int) -> data.StructLayout:
    """Write of one entry."""
    return data.StructLayout({"en": 1, "address": range(depth), "data": shape})


class SimpleMemory(wiring.Component):
    """Scratch, RoPE row and layer constants: ``depth`` entries, written and read one at a time.

    Data follow the read address by one cycle; an entry written in cycle t is seen by addresses from
    cycle t+1 on.

    Parameters
    ----------
    shape : shape-like
        Of an entry.
    depth : int

    Members
    -------
    w : :py:`In(memory_write_layout(shape, depth))`
    read : :py:`In(read_port_signature(shape, depth))`
    """

    w: Any
    read: Any

    def __init__(self, shape: object, depth: int) -> None:
        self.shape, self.depth = shape, depth
        self.timing = SIMPLE_MEMORY_TIMING
        super().__init__({
            "w": In(memory_write_layout(shape, depth)),
            "read": In(read_port_signature(shape, depth)),
        })

    def elaborate(self, platform):
        m = Module()

        storage: memory.Memory = memory.Memory(shape=self.shape, depth=self.depth, init=[])
        m.submodules.memory = storage
        w_port, r_port = storage.write_port(), storage.read_port()
        m.d.comb += [
            w_port.en.eq(self.w.en),
            w_port.addr.eq(self.w.address),
            w_port.data.eq(self.w.data),
            r_port.addr.eq(self.read.address),
            self.read.data.eq(r_port.data),
        ]

        return m
