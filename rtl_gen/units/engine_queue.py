"""Queue of instructions in front of an engine."""

from amaranth import *
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from mla_hw.cycles.engine_queue import STARTED_DEPTH
from mla_hw.errors import ConfigError
from mla_hw.hardware import QUEUE_DEPTH, SEMAPHORES, TAG_BITS
from rtl_gen.control_layouts import entry_layout
from rtl_gen.units.queue import Queue, has_room

__all__ = ["EngineQueue"]


class EngineQueue(wiring.Component):
    """Hold back instructions until their semaphores are there; give others at their end.

    Instructions start in order and end in order, several may be under way.
    :mod:`mla_hw.cycles.engine_queue` states when an instruction starts. The decision is
    registered, so that neither semaphores nor queue lie in a path with the engine.

    Parameters
    ----------
    command : data.Layout
        What the engine takes.
    depth : int
        Instructions that wait, a power of two.

    Members
    -------
    i : :py:`In(stream.Signature(entry_layout(command)))`
        Instructions.
    command : :py:`Out(stream.Signature(command))`
        The oldest instruction, offered as soon as all semaphores that it waits for are available.
    done : :py:`In(1)`
        The oldest instruction that is under way ends in this cycle, ``LEAST_DURATION`` cycles after
        its start at the earliest.
    available : :py:`In(SEMAPHORES)`
        Semaphores that can be taken.
    take, give : :py:`Out(SEMAPHORES)`
        Semaphores taken when an instruction is first offered, and given at the end of one.
    cancel : :py:`In(1)`
        Nothing starts; what waits is dropped.
    busy : :py:`Out(1)`
        Instructions wait or are under way.
    active : :py:`Out(1)`
        Instructions are under way.
    waiting : :py:`Out(1)`
        Nothing is under way, and the next instruction lacks a semaphore.
    start, end : :py:`Out(1)`
        An instruction starts or ends in this cycle.
    start_tag, end_tag : :py:`Out(TAG_BITS)`
        Which one.

    Raises
    ------
    ConfigError
        If the depth is not a power of two.
    """

    i: stream.Interface
    command: stream.Interface
    done: Signal
    available: Signal
    take: Signal
    give: Signal
    cancel: Signal
    busy: Signal
    active: Signal
    waiting: Signal
    start: Signal
    start_tag: Signal
    end: Signal
    end_tag: Signal

    def __init__(self, command: data.Layout, *, depth: int = QUEUE_DEPTH) -> None:
        if depth < 2 or depth & (depth - 1):
            raise ConfigError(f"depth of an engine queue must be a power of two, not {depth}")
        self.depth = depth
        super().__init__({
            "i": In(stream.Signature(entry_layout(command))),
            "command": Out(stream.Signature(command)),
            "done": In(1),
            "available": In(SEMAPHORES),
            "take": Out(SEMAPHORES),
            "give": Out(SEMAPHORES),
            "cancel": In(1),
            "busy": Out(1),
            "active": Out(1),
            "waiting": Out(1),
            "start": Out(1),
            "start_tag": Out(TAG_BITS),
            "end": Out(1),
            "end_tag": Out(TAG_BITS),
        })

    def elaborate(self, platform):
        m = Module()

        storage: memory.Memory = memory.Memory(
            shape=self.i.payload.shape(), depth=self.depth, init=[]
        )
        m.submodules.memory = storage
        ending = data.StructLayout({"post": SEMAPHORES, "tag": TAG_BITS})
        m.submodules.started = started = Queue(ending, STARTED_DEPTH)
        w_port, r_port = storage.write_port(), storage.read_port()

        level = Signal(range(self.depth + 1))
        newest, oldest = Signal(range(self.depth)), Signal(range(self.depth))
        head, head_valid = r_port.data, Signal()
        push = self.i.valid & self.i.ready
        ready = Signal(init=1)
        m.d.comb += [
            self.i.ready.eq(ready),
            # The free place is written in every cycle, which keeps valid out of the wide enable.
            w_port.en.eq(self.i.ready),
            w_port.addr.eq(newest),
            w_port.data.eq(self.i.payload),
            r_port.addr.eq(oldest),
        ]
        m.d.sync += [
            newest.eq(newest + push),
            oldest.eq(oldest + self.start),
            level.eq(level + push - self.start),
            ready.eq(has_room(level, self.depth, push, self.start)),
            head_valid.eq((level != 0) & ~self.start),
        ]

        # An offer stays until it is taken: nobody else takes its semaphores.
        met, offered, taken = Signal(), Signal(), Signal()
        m.d.comb += met.eq((head.wait & ~self.available) == 0)
        with m.If(offered):
            m.d.sync += offered.eq(~self.command.ready)
        with m.Else():
            m.d.sync += offered.eq(head_valid & met & started.i.ready)
        with m.If(self.cancel):
            m.d.sync += [signal.eq(0) for signal in (newest, oldest, level, head_valid, offered)]
            m.d.sync += ready.eq(1)
        m.d.comb += [
            self.command.payload.eq(head.command),
            self.command.valid.eq(offered & ~self.cancel),
            self.start.eq(self.command.valid & self.command.ready),
            self.start_tag.eq(head.tag),
            # With the offer, which comes from a register; a start comes late in the cycle.
            self.take.eq(Mux(offered & ~taken, head.wait, 0)),
        ]
        m.d.sync += [
            taken.eq(offered),
            started.i.valid.eq(self.start),
            started.i.p.post.eq(head.post),
            started.i.p.tag.eq(head.tag),
        ]
        m.d.comb += [
            started.o.ready.eq(self.done),
            self.end.eq(self.done),
            self.end_tag.eq(started.o.p.tag),
        ]
        m.d.sync += self.give.eq(Mux(self.done, started.o.p.post, 0))
        m.d.comb += [
            self.active.eq(started.i.valid | started.o.valid),
            self.waiting.eq(~self.active & head_valid & ~met),
            self.busy.eq(self.active | (level != 0)),
        ]

        return m
