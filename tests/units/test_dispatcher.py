import random
from dataclasses import dataclass, field

import pytest

from mla_hw.cycles.dispatcher import (
    FAULT_LATENCY,
    HALT_LATENCY,
    LOAD_TO_FETCH,
    NEXT_FETCH,
    RESTART_CYCLES,
    START_TO_LOAD,
    issue_step,
)
from mla_hw.cycles.engine_queue import GIVE_LATENCY
from mla_hw.cycles.semaphores import OVERFLOW_TIMING
from mla_hw.errors import ProgramError
from mla_hw.golden.dispatcher import resolve
from mla_hw.program.instructions import FIELDS, INSTRUCTIONS, LOOP_DEPTH, Engine
from mla_hw.program.program import Instruction, Program
from mla_hw.registers import POSITION_BITS, ErrorCode
from rtl_gen.control_layouts import ENGINE_COMMANDS, PROGRAM_TARGET
from rtl_gen.units.dispatcher import Dispatcher
from tests.configs import EACH, ODD, SEVERAL, SMALL, WIDE, small_core
from tests.streams import convert, pause, simulate

CONFIGS = {"small": SMALL, "odd": ODD, "wide": WIDE, "wide_port": small_core(port_bytes=64)}
CONFIGS |= {"several_query_rows": SEVERAL, "as_many_query_rows": EACH}
BASES = (0x1000, 0x8000_0000, 0x123_4560, 0xFFFF_F000, 0x40, 0x7000_0040, 0x2000_0000)
make = Instruction.make


#: Of the caches of query rows 1, 2, …
CACHES = (0x1234_5600, 0x4000, 0xFEDC_BA80)


def random_instruction(rng, tiled, query_rows=1):
    """Any instruction of an engine, its fields over their whole range."""
    kind = rng.choice([k for k in INSTRUCTIONS.values() if k.engine is not Engine.DISPATCHER])
    values = {}
    for name in kind.fields:
        if name.startswith("tile_"):
            values[name] = rng.randrange(2) if tiled else 0
        elif name == "query_row":
            values[name] = rng.randrange(query_rows)
        elif choices := FIELDS[name].choices:
            values[name] = rng.randrange(len(choices))
        else:
            top = (1 << FIELDS[name].width) - 1
            values[name] = rng.choice([0, 1, top, rng.randrange(top), rng.randrange(top)])
    return make(kind.name, **values)


def random_body(rng, query_rows, depth=0, tiled=False):
    """Instructions and loops, as deep as they may be."""
    body = []
    for _ in range(rng.randint(1, 4)):
        body.append(random_instruction(rng, tiled, query_rows))
        if rng.random() < 0.2:
            body.append(make("POST", post=rng.randrange(1 << 16)))
        if depth < LOOP_DEPTH and rng.random() < 0.5:
            over_tiles = not tiled and rng.random() < 0.5
            loop = {"n": rng.randint(1, 3)}
            if over_tiles:
                loop = {"tile_n": 1, "query_row": rng.randrange(query_rows)}
            inner = random_body(rng, query_rows, depth + 1, tiled or over_tiles)
            body += [make("LOOP", **loop), *inner, make("NEXT")]
    return body


def random_program(seed, config):
    rng = random.Random(seed)
    while True:
        body = random_body(rng, config.query_rows)
        if len(body) < config.program_depth and any(item.name == "LOOP" for item in body):
            return [*body, make("HALT")]


def expected_entry(resolved):
    """What the engine's queue gets for a resolved instruction."""
    given = resolved.fields
    values = {
        **given,
        "opcode": INSTRUCTIONS[resolved.name].opcode,
        "beats": given.get("n", 0),
        "tokens": given.get("n", 0) & 0xFFFF,
        "elements": given.get("k", 0),
        "destination": given.get("c", 0),
        "address": given.get("address", BASES[0]),
    }
    layout = ENGINE_COMMANDS[resolved.engine]
    if resolved.engine is Engine.VECTOR and "n" in given:
        values["n"] &= 0xFFFF
    return {
        "command": {name: values[name] for name in layout.members if name in values},
        "wait": resolved.wait,
        "post": resolved.post,
        "tag": resolved.index,
    }


def plain(entry, wanted):
    """Turn a sampled payload into numbers; what the instruction does not have is left out."""
    return {
        "command": {name: int(entry.command[name]) for name in wanted["command"]},
        **{name: int(entry[name]) for name in ("wait", "post", "tag")},
    }


@dataclass
class Run:
    """What a simulated run did: cycles count from the start pulse."""

    pushed: list = field(default_factory=list)  # (first offered, taken, engine, payload)
    credits: list = field(default_factory=list)
    load: tuple | None = None
    loaded: int | None = None
    halted: int | None = None
    error: tuple | None = None
    cancelled: bool = False


def run(
    config, words, *, position=0, pause=0.0, busy=(), on_bus=-1, stimulus=None, max_cycles=40_000
):
    """Run a program; the engines take commands at random, ``pause`` is how often they do not.

    ``busy`` are the cycles after the last push for which each engine is at work, ``on_bus`` those
    for which bursts are under way; ``stimulus`` is called with (ctx, dut, cycle) in every cycle.
    """
    dut = Dispatcher(config)
    out = Run()
    rng = random.Random(1)
    ports = {engine: getattr(dut, engine.value) for engine in ENGINE_COMMANDS}

    async def reader(ctx):
        """Take the load and write the program."""
        port = dut.reader
        await ctx.tick().until(port.valid & port.ready)
        for address, word in enumerate(words):
            ctx.set(dut.program_w, {"en": 1, "address": address, "data": int(word)})
            await ctx.tick()
        ctx.set(dut.program_w, {"en": 0})
        await ctx.tick().repeat(3)
        ctx.set(dut.reader_done, 1)
        await ctx.tick()
        ctx.set(dut.reader_done, 0)

    async def testbench(ctx):
        for i, base in enumerate((*BASES, *CACHES)[: len(BASES) + config.query_rows - 1]):
            ctx.set(dut.bases[i], base)
        ctx.set(dut.position, position)
        ctx.set(dut.program_beats, 77)
        await ctx.tick().repeat(RESTART_CYCLES + 1)
        ctx.set(dut.start, 1)
        offered, work, done = {}, 0, False
        for now in range(max_cycles):
            for port in ports.values():
                ctx.set(port.ready, rng.random() >= pause)
            ctx.set(dut.busy, sum((now <= work + n) << i for i, n in enumerate(busy)))
            ctx.set(dut.on_bus, now <= work + on_bus)
            if stimulus:
                stimulus(ctx, dut, now)
            for engine, port in ports.items():
                if not ctx.get(port.valid):
                    offered.pop(engine, None)
                    continue
                first = offered.setdefault(engine, now)
                if ctx.get(port.ready):
                    offered.pop(engine)
                    payload = ctx.get(port.payload)
                    if out.load is None:
                        out.load = (first, payload)
                    else:
                        out.pushed.append((first, now, engine, payload))
                        work = now
            if ctx.get(dut.reader_done):
                out.loaded = now
            if ctx.get(dut.credit):
                out.credits.append((now, ctx.get(dut.credit)))
            out.cancelled |= bool(ctx.get(dut.cancel))
            if ctx.get(dut.error.en):
                assert out.error is None
                out.error = tuple(
                    int(ctx.get(getattr(dut.error, name)))
                    for name in ("code", "program_counter", "address")
                )
            assert ctx.get(dut.running) == (now > 0)
            done = ctx.get(dut.halted)
            await ctx.tick()
            ctx.set(dut.start, 0)
            if done:
                out.halted = now
                break
        assert not ctx.get(dut.running)

    simulate(dut, reader, testbench, max_cycles=max_cycles + 10)
    return out


#: Cached tokens and the own one, from the tokens of a tile and of the longest tile.
TOKENS = {
    "one, and more than two tiles": lambda tile, longest: [1, 2 * tile + tile // 2, tile + longest],
    "borders of a tile": lambda tile, longest: [tile, longest + 1],
}


@pytest.mark.parametrize("pause", [0.0, 0.9], ids=["ready", "paused"])
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize(
    "tokens_of",
    [
        TOKENS["one, and more than two tiles"],
        pytest.param(TOKENS["borders of a tile"], marks=pytest.mark.slow),
    ],
    ids=TOKENS,
)
def test_matches_golden(name, pause, tokens_of):
    config = CONFIGS[name]
    for seed, tokens in enumerate(tokens_of(config.tile_tokens, config.tile_limit)):
        program = random_program(f"{name}{seed}", config)
        # Other rows have fewer tokens, down to none.
        positions = [(tokens - 1) // (1 + row) for row in range(config.query_rows)]
        position = sum(own << row * POSITION_BITS for row, own in enumerate(positions))
        result = run(config, Program(tuple(program)).encode(), position=position, pause=pause)
        expected = list(
            resolve(
                program,
                position=positions,
                tile_tokens=config.tile_tokens,
                bases=BASES,
                port_bytes=config.port_bytes,
                caches=(BASES[FIELDS["base"].choices.index("cache")], *CACHES),
            )
        )
        assert result.error is None
        check_pushes(result, expected)
        check_timing(result, expected)


def check_pushes(result, expected):
    wanted = [item for item in expected if item.engine in ENGINE_COMMANDS]
    assert len(result.pushed) == len(wanted)
    for (_, _, engine, payload), resolved in zip(result.pushed, wanted, strict=True):
        assert engine is resolved.engine
        entry = expected_entry(resolved)
        assert plain(payload, entry) == entry, resolved
    credits = [mask for _, mask in result.credits]
    assert credits == [item.post for item in expected if item.name == "POST" and item.post]


def check_timing(result, expected):
    """Every instruction is offered at the cycle that the kinds before it and the pauses give."""
    assert result.load[0] == START_TO_LOAD
    fetch = result.loaded + LOAD_TO_FETCH
    pushes, credits = iter(result.pushed), iter(result.credits)
    last = 0
    for item in expected:
        issue = left = fetch + issue_step(INSTRUCTIONS[item.name])
        if item.engine in ENGINE_COMMANDS:
            offered, left, _, _ = next(pushes)
            assert offered == issue, item
        elif item.name == "POST" and item.post:
            assert next(credits)[0] == issue
        fetch, last = left + NEXT_FETCH, issue
    assert result.halted == last + HALT_LATENCY


def test_largest_position():
    config, position = SMALL, (1 << POSITION_BITS) - 1
    program = [
        make("LOAD", n=1, base="rope", a=3, a_stride2=0xFFFF),
        make("LOOP", n=2),
        make("STORE", n=1, base="cache", a_stride0=0xFFFF, a_stride2=0xABCD, target="row"),
        make("NEXT"),
        make("LOOP", tile_n=1),
        make("SOFTMAX", tile_n=1, a_stride0=1),
        make("NEXT"),
        make("HALT"),
    ]
    words = Program(tuple(program)).encode()
    tile = [item.name for item in program].index("SOFTMAX")
    stop = {}

    def stimulus(ctx, dut, now):
        if ctx.get(dut.vector.valid):
            stop.setdefault("at", now + 300)
        ctx.set(dut.abort, now == stop.get("at"))

    result = run(config, words, position=position, stimulus=stimulus)
    expected = [
        item
        for item in resolve(
            program, position=position, tile_tokens=16, bases=BASES, port_bytes=config.port_bytes
        )
        if item.engine in ENGINE_COMMANDS
    ]
    assert len(expected) == 3 + (1 << POSITION_BITS) // config.tile_tokens
    check_pushes(result, expected[: len(result.pushed)])
    assert sum(payload.tag == tile for *_, payload in result.pushed) > 5


def test_loads_the_program():
    for config in (SMALL, WIDE):
        result = run(config, Program((make("HALT"),)).encode())
        command = result.load[1].command
        assert command.opcode == INSTRUCTIONS["LOAD"].opcode
        assert command.target == PROGRAM_TARGET
        assert command.address == BASES[0]
        assert command.beats == 77
        assert command.elements == 77 * config.port_bytes // 4
        assert result.load[1].wait == result.load[1].post == 0


@pytest.mark.parametrize("engine", range(4))
def test_halts_when_all_engines_are_idle(engine):
    program = Program((make("STREAM", n=1), make("HALT")))
    busy = [0, 0, 0, 0]
    busy[engine] = 50
    result = run(SMALL, program.encode(), busy=busy)
    assert result.halted == result.pushed[0][1] + 50 + HALT_LATENCY


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


def test_verilog():
    for config in CONFIGS.values():
        assert "module top" in convert(Dispatcher(config))
