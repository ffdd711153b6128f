import random

import pytest

from mla_hw.cycles.dispatcher import (
    HALT_LATENCY,
    LOAD_TO_FETCH,
    NEXT_FETCH,
    START_TO_LOAD,
    issue_step,
)
from mla_hw.golden.dispatcher import resolve
from mla_hw.program.instructions import FIELDS, INSTRUCTIONS, LOOP_DEPTH, Engine
from mla_hw.program.program import Instruction, Program
from mla_hw.registers import POSITION_BITS
from rtl_gen.control_layouts import ENGINE_COMMANDS, PROGRAM_TARGET
from rtl_gen.units.dispatcher import Dispatcher
from tests.configs import EACH, ODD, SEVERAL, SMALL, WIDE, small_core
from tests.dispatcher_bench import BASES, CACHES, check_pushes, run
from tests.streams import convert

CONFIGS = {"small": SMALL, "odd": ODD, "wide": WIDE, "wide_port": small_core(port_bytes=64)}
CONFIGS |= {"several_query_rows": SEVERAL, "as_many_query_rows": EACH}
make = Instruction.make


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


def test_verilog():
    for config in CONFIGS.values():
        assert "module top" in convert(Dispatcher(config))
