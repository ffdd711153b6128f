"""Parts of the dispatcher: the loops around an instruction, and the sums that are its operands."""

from functools import reduce
from operator import and_, or_
from typing import Any

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from mla_hw.cycles.dispatcher import FIRST_ISSUE, issue_step, product_steps
from mla_hw.hardware import CoreConfig
from mla_hw.program.instructions import (
    ADDRESS_OFFSET_BITS,
    FIELDS,
    INSTRUCTION_WORDS,
    INSTRUCTIONS,
    LOOP_DEPTH,
    Engine,
)
from mla_hw.registers import POSITION_BITS
from rtl_gen.control_layouts import ENGINE_COMMANDS, bases_layout, place_layout
from rtl_gen.layouts import ADDRESS_BITS
from rtl_gen.pipeline import delay
from rtl_gen.units.multiplier import Multiplier

__all__ = ["STEPS", "LoopStack", "OperandSums", "decode", "field"]

#: Steps within an instruction.
STEPS = max(map(issue_step, INSTRUCTIONS.values())) + 1
_LOCAL_BITS = ADDRESS_OFFSET_BITS
_STRIDE_BITS = FIELDS["a_stride0"].width


def field(instruction: Value, name: str) -> Value:
    """Return the bits of a field."""
    entry = FIELDS[name]
    return instruction[entry.lsb : entry.lsb + entry.width]


def decode(m: Module, instruction: Value) -> Any:
    """Return what the opcode says, one cycle after it has arrived.

    Bits: ``legal``; ``in_memory``, operand a is in memory; the engine, or ``own`` and the name of
    the dispatcher's own instruction. ``step`` is the one in which it is issued.
    """
    own = [kind.name for kind in INSTRUCTIONS.values() if kind.engine is Engine.DISPATCHER]
    layout = data.StructLayout({
        "step": range(STEPS),
        "legal": 1,
        "in_memory": 1,
        "own": 1,
        **{engine.value: 1 for engine in ENGINE_COMMANDS},
        **dict.fromkeys(own, 1),
    })
    kind: Any = Signal(layout, reset_less=True)
    m.d.sync += kind.eq(layout.const({"step": FIRST_ISSUE}))
    with m.Switch(field(instruction, "opcode")):
        for item in INSTRUCTIONS.values():
            entry: dict[int | str, Any] = {
                "step": issue_step(item),
                "legal": 1,
                "in_memory": "base" in item.fields,
                "own": item.name in own,
                item.name if item.name in own else item.engine.value: 1,
            }
            with m.Case(item.opcode):
                m.d.sync += kind.eq(layout.const(entry))
    return kind


class LoopStack(wiring.Component):
    """The loops around the current instruction.

    Inputs change the stack at the end of the cycle; outputs follow up to three cycles later, before
    the next instruction has been fetched.

    Parameters
    ----------
    config : CoreConfig

    Members
    -------
    clear : :py:`In(1)`
        Leave all loops.
    position : :py:`In(POSITION_BITS)`
        Cached tokens; a loop over tiles covers one more.
    enter : :py:`In(...)`
        Begin a loop of ``count`` iterations, or over tiles; ``start`` is its body's first place.
    next : :py:`In(1)`
        End an iteration of the innermost loop.
    indices : :py:`Out(data.ArrayLayout(POSITION_BITS, LOOP_DEPTH))`
        Index of each loop, outermost first; 0 where there is none.
    depth : :py:`Out(range(LOOP_DEPTH + 1))`
        Number of loops.
    start : :py:`Out(place_layout(config))`
        Start of the innermost loop's body.
    first, last : :py:`Out(1)`
        All indices are 0; the innermost loop is in its last iteration. Both hold without a loop.
    tiled, first_tile : :py:`Out(1)`
        There is a loop over tiles; it is in its first iteration, or there is none.
    tokens : :py:`Out(range(config.tile_limit + 1))`
        Tokens of the current tile.
    """

    clear: Signal
    position: Signal
    enter: Any
    next: Signal
    indices: data.View
    depth: Signal
    start: Any
    first: Signal
    last: Signal
    tiled: Signal
    first_tile: Signal
    tokens: Signal

    def __init__(self, config: CoreConfig) -> None:
        self.tile_tokens, self.tile_limit = config.tile_tokens, config.tile_limit
        self.place = place_layout(config)
        super().__init__({
            "clear": In(1),
            "position": In(POSITION_BITS),
            "enter": In(
                data.StructLayout({
                    "en": 1,
                    "tiled": 1,
                    "count": POSITION_BITS,
                    "start": self.place,
                })
            ),
            "next": In(1),
            "indices": Out(data.ArrayLayout(POSITION_BITS, LOOP_DEPTH)),
            "depth": Out(range(LOOP_DEPTH + 1)),
            "start": Out(self.place),
            "first": Out(1),
            "last": Out(1),
            "tiled": Out(1),
            "first_tile": Out(1),
            "tokens": Out(range(config.tile_limit + 1)),
        })

    def elaborate(self, platform):
        m = Module()

        level = data.StructLayout({
            "index": POSITION_BITS,
            # Iterations, or tokens, from this iteration on; position + 1 takes one bit more.
            "left": POSITION_BITS + 1,
            "tiled": 1,
            "start": self.place,
        })
        levels: list[Any] = [Signal(level, name=f"level_{i}") for i in range(LOOP_DEPTH)]
        last = Signal()
        for i, loop in enumerate(levels):
            innermost = self.depth == i + 1
            with m.If(self.clear):
                m.d.sync += [loop.index.eq(0), loop.tiled.eq(0)]
            with m.Elif(self.enter.en & (self.depth == i)):
                m.d.sync += [
                    loop.left.eq(Mux(self.enter.tiled, self.position + 1, self.enter.count)),
                    loop.tiled.eq(self.enter.tiled),
                    loop.start.eq(self.enter.start),
                ]
            with m.Elif(self.next & innermost):
                m.d.sync += [
                    loop.index.eq(Mux(last, 0, loop.index + 1)),
                    loop.left.eq(loop.left - Mux(loop.tiled, self.tile_tokens, 1)),
                    loop.tiled.eq(loop.tiled & ~last),
                ]
            m.d.comb += self.indices[i].eq(loop.index)
            with m.If(innermost):
                m.d.sync += self.start.eq(loop.start)
        with m.If(self.clear):
            m.d.sync += self.depth.eq(0)
        with m.Elif(self.enter.en):
            m.d.sync += self.depth.eq(self.depth + 1)
        with m.Elif(self.next & last):
            m.d.sync += self.depth.eq(self.depth - 1)

        ends, last_tile, last_count = (
            Signal(LOOP_DEPTH, name=name) for name in ("ends", "last_tile", "last_count")
        )
        m.d.sync += [
            last_tile.eq(Cat(loop.left <= self.tile_limit for loop in levels)),
            last_count.eq(Cat(loop.left <= 1 for loop in levels)),
            ends.eq(
                Cat(
                    Mux(loop.tiled, tile, count)
                    for loop, tile, count in zip(levels, last_tile, last_count, strict=True)
                )
            ),
        ]
        with m.Switch(self.depth):
            m.d.sync += last.eq(1)
            for i, end in enumerate(ends):
                with m.Case(i + 1):
                    m.d.sync += last.eq(end)
        # At most one loop is tiled.
        tile_left = Signal(POSITION_BITS + 1, reset_less=True)
        m.d.sync += tile_left.eq(reduce(or_, (Mux(loop.tiled, loop.left, 0) for loop in levels)))
        m.d.comb += self.last.eq(last)
        m.d.sync += [
            self.first.eq(reduce(and_, (loop.index == 0 for loop in levels))),
            self.tiled.eq(reduce(or_, (loop.tiled for loop in levels))),
            self.first_tile.eq(reduce(and_, (~loop.tiled | (loop.index == 0) for loop in levels))),
            self.tokens.eq(Mux(tile_left <= self.tile_limit, tile_left, self.tile_tokens)),
        ]

        return m


class OperandSums(wiring.Component):
    """Offset plus strides × indices of the three operands, with one multiplier.

    Each stride is multiplied in the step in which :func:`mla_hw.cycles.dispatcher.product_steps`
    says that it has arrived; the sum holds it five cycles later, the byte address one more. An
    operand whose strides have not been fetched is 0.

    Parameters
    ----------
    config : CoreConfig
        ``port_bytes``, ``query_rows`` and ``multiplier``.

    Members
    -------
    step : :py:`In(range(STEPS))`
        Cycles since the first word of the instruction was addressed; may stay at the last step,
        where no stride of the instruction is multiplied.
    instruction : :py:`In(32 * INSTRUCTION_WORDS)`
        Its words, as far as they have arrived; 0 otherwise.
    in_memory : :py:`In(1)`
        Operand a counts beats in memory, and its third stride counts the position.
    indices, position, bases : :py:`In(...)`
        As in :class:`LoopStack` and the dispatcher; the position is that of the query row.
    a, b, c : :py:`Out(24)`
        Sums.
    address : :py:`Out(ADDRESS_BITS)`
        Base register plus operand a in beats.
    """

    step: Signal
    instruction: Signal
    in_memory: Signal
    indices: data.View
    position: Signal
    bases: data.View
    a: Signal
    b: Signal
    c: Signal
    address: Signal

    def __init__(self, config: CoreConfig) -> None:
        self.port_bytes, self.query_rows = config.port_bytes, config.query_rows
        self.kind = config.multiplier
        super().__init__({
            "step": In(range(STEPS)),
            "instruction": In(32 * INSTRUCTION_WORDS),
            "in_memory": In(1),
            "indices": In(data.ArrayLayout(POSITION_BITS, LOOP_DEPTH)),
            "position": In(POSITION_BITS),
            "bases": In(bases_layout(config)),
            "a": Out(_LOCAL_BITS),
            "b": Out(_LOCAL_BITS),
            "c": Out(_LOCAL_BITS),
            "address": Out(ADDRESS_BITS),
        })

    def elaborate(self, platform):
        m = Module()

        operands = ("a", "b", "c")
        m.submodules.multiplier = multiplier = Multiplier(
            a_width=_STRIDE_BITS, b_width=POSITION_BITS, kind=self.kind, is_signed=False
        )
        total = {name: Signal(ADDRESS_BITS, name=f"total_{name}") for name in operands}
        # Which sum the product belongs to.
        product_of = Signal(len(operands))

        for i, name in enumerate(operands):
            with m.If(product_of[i]):
                m.d.sync += total[name].eq(total[name] + multiplier.p)
        # One bit per product, in the cycle after its step, so that little chooses the factors.
        strides, factors, owners = [], [], []
        for (name, step), (i, level) in zip(
            product_steps().items(),
            ((i, level) for i in range(len(operands)) for level in range(LOOP_DEPTH)),
            strict=True,
        ):
            now = Signal(name=f"now_{name}")
            m.d.sync += now.eq(self.step == step)
            index = self.indices[level]
            if name == "a_stride2":
                index = Mux(self.in_memory, self.position, index)
            strides.append(Mux(now, field(self.instruction, name), 0))
            factors.append(Mux(now, index, 0))
            owners.append(Mux(now, 1 << i, 0))
            if level == 0:
                # The first product comes two cycles later at the earliest.
                operand = operands[i]
                with m.If(now):
                    m.d.sync += total[operand].eq(field(self.instruction, operand))
        # First within an operand, then among the three.
        ahead = [
            [
                delay(m, reduce(or_, chosen[i : i + LOOP_DEPTH]), 1, f"{name}_{operand}")
                for i, operand in zip(range(0, len(chosen), LOOP_DEPTH), operands, strict=True)
            ]
            for name, chosen in (("stride", strides), ("factor", factors), ("owner", owners))
        ]
        m.d.comb += [
            multiplier.a.eq(reduce(or_, ahead[0])),
            multiplier.b.eq(reduce(or_, ahead[1])),
            product_of.eq(
                delay(m, reduce(or_, ahead[2]), multiplier.timing.latency, "of", reset_less=False)
            ),
        ]
        with m.If(self.step == 0):
            m.d.sync += [total[name].eq(0) for name in operands]

        base = Signal(ADDRESS_BITS, reset_less=True)
        beat_bits = exact_log2(self.port_bytes)
        register = field(self.instruction, "base")
        if self.query_rows > 1:
            # Field and row arrive long before the sum.
            row, choices = field(self.instruction, "query_row"), FIELDS["base"].choices
            other = (register == choices.index("cache")) & (row != 0)
            behind = Signal(range(len(choices) + self.query_rows - 1), reset_less=True)
            m.d.sync += behind.eq(Mux(other, row + (len(choices) - 1), register))
            register = behind
        m.d.sync += [
            base.eq(self.bases[register]),
            self.address.eq(base + (total["a"] << beat_bits)),
        ]
        m.d.comb += [getattr(self, name).eq(total[name]) for name in operands]

        return m
