"""A memory with one write port and one read port."""

from functools import reduce
from itertools import accumulate
from operator import or_
from typing import Any

from amaranth import *
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In

from mla_hw.cycles.simple_memory import SIMPLE_MEMORY_TIMING
from mla_hw.hardware import memory_slices
from rtl_gen.layouts import read_port_signature
from rtl_gen.pipeline import KEEP

__all__ = ["SimpleMemory", "memory_write_layout"]


def memory_write_layout(shape: object, depth: int, parts: int = 1) -> data.StructLayout:
    """Write of one entry, or of those of its equal parts whose bit of ``en`` is set."""
    return data.StructLayout({"en": parts, "address": range(depth), "data": shape})


class SimpleMemory(wiring.Component):
    """``depth`` entries, written and read one at a time, with a register behind the memory.

    Data follow the read address by :py:`timing.latency` cycles; an entry written in cycle t is
    seen by addresses from cycle t+1 on. What is read in the cycle of its write has no meaning.
    Throughput is one write and one read per cycle; nothing stalls.

    Parameters
    ----------
    shape : shape-like
        Of an entry.
    depth : int
    parts : int
        Equal parts of an entry that can be written by themselves.

    Members
    -------
    w : :py:`In(memory_write_layout(shape, depth, parts))`
    read : :py:`In(read_port_signature(shape, depth))`
    """

    w: Any
    read: Any

    def __init__(self, shape: object, depth: int, *, parts: int = 1) -> None:
        self.shape, self.depth, self.parts = shape, depth, parts
        self.timing = SIMPLE_MEMORY_TIMING
        super().__init__({
            "w": In(memory_write_layout(shape, depth, parts)),
            "read": In(read_port_signature(shape, depth)),
        })

    def elaborate(self, platform):
        m = Module()

        data_o = Value.cast(self.read.data)
        # Nobody reads what is being written, so synthesis need not care about collisions.
        attrs: dict = {"no_rw_check": 1}
        slices = memory_slices(self.depth, len(data_o))
        if len(slices) > 1:
            # The rest, too: in look-up tables it would be slower than the slices beside it.
            attrs["ram_style"] = "block"
        chosen = _slice_of(self.read.address, slices)
        writes = _slice_of(self.w.address, slices)
        held = []
        for number, depth in enumerate(slices):
            storage: memory.Memory = memory.Memory(
                shape=len(data_o), depth=depth, init=[], attrs=attrs
            )
            m.submodules["memory" if number == 0 else f"memory_{number}"] = storage
            granularity = len(data_o) // self.parts if self.parts > 1 else None
            w_port, r_port = storage.write_port(granularity=granularity), storage.read_port()
            m.d.comb += [
                w_port.en.eq(self.w.en & writes[number].replicate(self.parts)),
                w_port.addr.eq(self.w.address),
                w_port.data.eq(self.w.data),
                r_port.addr.eq(self.read.address),
            ]
            held.append(Signal(len(data_o), name=f"held_{number}", reset_less=True))
            m.d.sync += held[-1].eq(r_port.data)
        which = Signal(len(slices), name="which", reset_less=True)
        # Memories that are read together have it each, as they may lie far apart.
        which_held = Signal(len(slices), name="which_held", attrs=KEEP, reset_less=True)
        if len(slices) == 1:
            m.d.comb += data_o.eq(held[0])
        else:
            m.d.sync += [which.eq(chosen), which_held.eq(which)]
            masked = [word & which_held[i].replicate(len(word)) for i, word in enumerate(held)]
            m.d.comb += data_o.eq(reduce(or_, masked))

        return m


def _slice_of(address: Value, slices: list[int]) -> Value:
    """Return, one bit per slice, which one an address lies in."""
    ends = list(accumulate(slices))
    below = [address < end for end in ends[:-1]]
    return Cat(
        (below[i] if i < len(below) else C(1)) & ~(below[i - 1] if i else C(0))
        for i in range(len(slices))
    )
