"""What ends a run of the dispatcher before its HALT: broken programs, faults and aborts."""

import pytest

from mla_hw.cycles.dispatcher import (
    FAULT_LATENCY,
    NEXT_FETCH,
    RESTART_CYCLES,
)
from mla_hw.cycles.engine_queue import GIVE_LATENCY
from mla_hw.cycles.semaphores import OVERFLOW_TIMING
from mla_hw.errors import ProgramError
from mla_hw.golden.dispatcher import resolve
from mla_hw.program.instructions import Engine
from mla_hw.program.program import Instruction, Program
from mla_hw.registers import POSITION_BITS, ErrorCode
from rtl_gen.units.dispatcher import Dispatcher
from tests.configs import SMALL
from tests.dispatcher_bench import BASES, expected_entry, plain, run
from tests.streams import pause, simulate

make = Instruction.make


def nested(depth):
    return [make("LOOP", n=1)] * depth + [make("NEXT")] * depth


def stream(**values):
    return make("STREAM", **values)


#: Program, code, index of the culprit.
BROKEN = {
    "opcode": ([stream(n=1), 0xEE], ErrorCode.OPCODE, 1),
    "opcode 0": ([0], ErrorCode.OPCODE, 0),
    "too deep": ([*nested(4), make("HALT")], ErrorCode.NESTING, 3),
    "next alone": ([stream(), make("NEXT"), make("HALT")], ErrorCode.NESTING, 1),
    "halt in loop": ([make("LOOP", n=2), make("HALT")], ErrorCode.NESTING, 1),
    "tile_n": ([make("TILE", tile_n=1), make("HALT")], ErrorCode.TILE, 0),
    "tile_k": ([make("MATMUL", tile_k=1), make("HALT")], ErrorCode.TILE, 0),
    "left tile loop": (
        [make("LOOP", tile_n=1), make("NEXT"), make("MATMUL", tile_k=1), make("HALT")],
        ErrorCode.TILE,
        2,
    ),
    "tiles in tiles": ([make("LOOP", tile_n=1)] * 2, ErrorCode.TILE, 1),
    "no iteration": ([make("LOOP", n=0)], ErrorCode.COUNT, 0),
    "too many iterations": ([make("LOOP", n=1 << POSITION_BITS)], ErrorCode.COUNT, 0),
}


@pytest.mark.parametrize("case", BROKEN)
def test_stops_at_a_broken_program(case):
    items, code, culprit = BROKEN[case]
    words = []
    for item in items:
        number = item if isinstance(item, int) else item.encode()
        words += [number >> 32 * i & 0xFFFFFFFF for i in range(12)]
    result = run(SMALL, words, busy=[30, 0, 0, 0])
    assert result.error == (code, culprit, 0)
    assert result.cancelled
    assert len(result.pushed) == sum(
        isinstance(item, Instruction) and item.engine is not Engine.DISPATCHER
        for item in items[:culprit]
    )
    if all(isinstance(item, Instruction) for item in items):
        with pytest.raises(ProgramError, match=f"instruction {culprit}"):
            list(resolve(items, position=0, tile_tokens=16, bases=BASES, port_bytes=8))


def test_stops_at_the_end_of_the_program_memory():
    program = [stream(n=1)] * SMALL.program_depth
    result = run(SMALL, Program(tuple(program)).encode())
    assert result.error == (ErrorCode.END, SMALL.program_depth, 0)
    assert len(result.pushed) == len(program)
    with pytest.raises(ProgramError, match="ends without HALT"):
        list(resolve(program, position=0, tile_tokens=16, bases=BASES, port_bytes=8))


def test_golden_rejects_a_query_row_that_there_is_not():
    program = [make("LOOP", tile_n=1, query_row=2), make("NEXT"), make("HALT")]
    with pytest.raises(ProgramError, match=r"instruction 0 \(LOOP\): there is no query row 2"):
        list(resolve(program, position=(5, 3), tile_tokens=16, bases=BASES, port_bytes=8))


def test_golden_rejects_a_position_beyond_the_register():
    with pytest.raises(
        ProgramError, match=f"position must be from 0 to .*not {1 << POSITION_BITS}"
    ):
        next(
            resolve(
                [make("HALT")],
                position=1 << POSITION_BITS,
                tile_tokens=4,
                bases=BASES,
                port_bytes=8,
            )
        )


FAULTS = {
    "abort": ("abort", 1, ErrorCode.ABORT, 0),
    "overflow": ("overflow", 1, ErrorCode.OVERFLOW, 0),
    "read": ("read_error", {"en": 1, "address": 0xDEAD_BEE0}, ErrorCode.READ, 0xDEAD_BEE0),
    "write": ("write_error", {"en": 1, "address": 0x1234}, ErrorCode.WRITE, 0x1234),
}


@pytest.mark.parametrize("case", FAULTS)
def test_stops_at_a_fault(case):
    port, value, code, address = FAULTS[case]
    program = [make("LOOP", n=1000), stream(n=1), make("NEXT"), make("HALT")]
    words = Program(tuple(program)).encode()
    running = run(SMALL, words, stimulus=lambda ctx, dut, now: ctx.set(dut.abort, now == 400))
    cut = len(running.pushed) - 5
    when = running.pushed[cut][1] + NEXT_FETCH

    def stimulus(ctx, dut, now):
        if now >= when:
            ctx.set(getattr(dut, port), value)

    # The engines may never become idle again: bursts are what has to end.
    result = run(SMALL, words, busy=[0, 1 << 20, 0, 0], on_bus=25, stimulus=stimulus)
    # The instruction that is fetched at that moment is NEXT.
    assert result.error == (code, 2, address)
    assert result.cancelled
    assert len(result.pushed) == cut + 1
    assert result.halted == result.pushed[-1][1] + 25 + 1 + RESTART_CYCLES


def test_overflow_by_the_last_instruction_that_ends():
    """It is known a few cycles later, and the run is not over before."""
    words = Program((stream(n=1), make("HALT"))).encode()
    (_, pushed, _, _), *_ = run(SMALL, words, busy=[50, 0, 0, 0]).pushed
    overflow = pushed + 50 + GIVE_LATENCY + OVERFLOW_TIMING.latency
    result = run(
        SMALL,
        words,
        busy=[50, 0, 0, 0],
        stimulus=lambda ctx, dut, now: ctx.set(dut.overflow, now == overflow),
    )
    # The program counter is that behind HALT.
    assert result.error == (ErrorCode.OVERFLOW, 2, 0)
    assert result.cancelled


@pytest.mark.parametrize(
    "after", [0, 1, 10, RESTART_CYCLES - 1, RESTART_CYCLES, RESTART_CYCLES + 3]
)
def test_abort_of_a_start_ahead_of_the_first_run(after):
    """Whether the units are still being reset or the program is being loaded."""
    dut = Dispatcher(SMALL)

    async def testbench(ctx):
        await ctx.tick().repeat(3)
        ctx.set(dut.reader.ready, 1)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        await pause(ctx, after)
        ctx.set(dut.abort, 1)
        for _ in range(FAULT_LATENCY):
            assert not ctx.get(dut.error.en)
            await ctx.tick()
            ctx.set(dut.abort, 0)
        assert ctx.get(dut.error.en)
        assert ctx.get(dut.error.code) == ErrorCode.ABORT
        await ctx.tick()
        # Two cycles until the restart begins, and as many from its end to here.
        for _ in range(RESTART_CYCLES + 2):
            assert ctx.get(dut.running)
            if ctx.get(dut.halted):
                break
            await ctx.tick()
        await ctx.tick()
        assert not ctx.get(dut.running)
        assert not ctx.get(dut.cancel)
        # What is started then is loaded.
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        await ctx.tick().until(dut.reader.valid)
        assert ctx.get(dut.running)

    simulate(dut, testbench)


def test_read_error_while_loading():
    def stimulus(ctx, dut, now):
        if now >= 20:
            ctx.set(dut.read_error, {"en": 1, "address": 0x80})

    result = run(SMALL, [0] * 200, stimulus=stimulus)
    assert result.error == (ErrorCode.READ, 0, 0x80)
    assert not result.pushed


def test_a_run_after_an_abort_starts_afresh():
    """All state of a run that was aborted within loops is forgotten."""
    config = SMALL
    dut = Dispatcher(config)
    program = [
        make("LOOP", n=3),
        make("LOOP", tile_n=1),
        make("TILE", tile_n=1, once=1, final=2, a=5, a_stride0=7, a_stride1=11),
        make("NEXT"),
        make("NEXT"),
        make("HALT"),
    ]
    expected = [
        item
        for item in resolve(
            program,
            position=20,
            tile_tokens=config.tile_tokens,
            bases=BASES,
            port_bytes=config.port_bytes,
        )
        if item.engine is Engine.READER
    ]

    async def once(ctx, abort_after):
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        await ctx.tick().until(dut.reader.valid)
        for address, word in enumerate(Program(tuple(program)).encode()):
            ctx.set(dut.program_w, {"en": 1, "address": address, "data": int(word)})
            await ctx.tick()
        ctx.set(dut.program_w, {"en": 0})
        ctx.set(dut.reader_done, 1)
        await ctx.tick()
        ctx.set(dut.reader_done, 0)
        taken = []
        while not ctx.get(dut.halted):
            if ctx.get(dut.reader.valid):
                taken.append(ctx.get(dut.reader.payload))
            ctx.set(dut.abort, len(taken) == abort_after)
            await ctx.tick()
        await ctx.tick()
        ctx.set(dut.abort, 0)
        return taken

    async def testbench(ctx):
        for i, base in enumerate(BASES):
            ctx.set(dut.bases[i], base)
        ctx.set(dut.position, 20)
        ctx.set(dut.reader.ready, 1)
        # A start while the reset of the units is under way is kept.
        await ctx.tick().repeat(5)
        assert len(await once(ctx, abort_after=3)) == 3
        taken = await once(ctx, abort_after=None)
        entries = [expected_entry(item) for item in expected]
        assert [
            plain(payload, entry) for payload, entry in zip(taken, entries, strict=True)
        ] == entries

    simulate(dut, testbench)
