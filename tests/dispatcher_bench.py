"""Test bench of the dispatcher: the engines around it, and a log of what it gives them."""

import random
from dataclasses import dataclass, field

from mla_hw.cycles.dispatcher import RESTART_CYCLES
from mla_hw.program.instructions import INSTRUCTIONS, Engine
from rtl_gen.control_layouts import ENGINE_COMMANDS
from rtl_gen.units.dispatcher import Dispatcher
from tests.streams import simulate

__all__ = ["BASES", "CACHES", "Run", "check_pushes", "expected_entry", "plain", "run"]

BASES = (0x1000, 0x8000_0000, 0x123_4560, 0xFFFF_F000, 0x40, 0x7000_0040, 0x2000_0000)
#: Of the caches of query rows 1, 2, …
CACHES = (0x1234_5600, 0x4000, 0xFEDC_BA80)


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


def check_pushes(result, expected):
    wanted = [item for item in expected if item.engine in ENGINE_COMMANDS]
    assert len(result.pushed) == len(wanted)
    for (_, _, engine, payload), resolved in zip(result.pushed, wanted, strict=True):
        assert engine is resolved.engine
        entry = expected_entry(resolved)
        assert plain(payload, entry) == entry, resolved
    credits = [mask for _, mask in result.credits]
    assert credits == [item.post for item in expected if item.name == "POST" and item.post]
