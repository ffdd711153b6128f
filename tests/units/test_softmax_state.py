from dataclasses import astuple, fields

import numpy as np
import pytest
from amaranth import Elaboratable, Module
from amaranth.lib.memory import Memory

from mla_hw.cycles.simple_memory import MEMORY_READ_LATENCY
from mla_hw.cycles.softmax_state import LEAST_TOTAL_DELAY
from mla_hw.errors import ConfigError
from mla_hw.golden.score_unit import SCORE_FRACTION
from mla_hw.golden.softmax import SUM_BITS, ShiftControl, softmax_tile
from rtl_gen.pipeline import delay
from rtl_gen.units.softmax_state import SoftmaxState, head_state_layout
from tests.configs import ODD, SMALL, WIDE
from tests.streams import convert, simulate

CONFIGS = {"small": SMALL, "odd": ODD, "wide": WIDE}
SPREADS = [0, 1, 3, 30, 60, 70, 8000]


class StateBench(Elaboratable):
    """The unit and the memory of the state."""

    def __init__(self, dut):
        self.dut = dut
        depth = 1 << len(dut.held.address)
        self.state = Memory(shape=head_state_layout(), depth=depth, init=[])

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = self.dut
        m.submodules.state = self.state
        read, write = self.state.read_port(), self.state.write_port()
        m.d.comb += [
            read.addr.eq(self.dut.held.address),
            self.dut.held.data.eq(delay(m, read.data, MEMORY_READ_LATENCY - 1, "held")),
            write.en.eq(self.dut.write.en),
            write.addr.eq(self.dut.write.address),
            write.data.eq(self.dut.write.data),
        ]
        return m


def tiles(config, spread):
    """Head, first and scores of tiles whose exponents move about by ``spread``."""
    rng = np.random.default_rng(spread)
    heads = [g << config.lane_bits | r for g in range(config.groups) for r in range(config.rows)]
    scores = iter(rng.integers(-spread, spread + 1, 1000) << SCORE_FRACTION)
    for head in heads:
        yield head, True, next(scores) - rng.integers(1, 900, 256)
    for head in rng.choice(heads, 120).tolist():
        tokens, depth = rng.choice([1, 16, 256]), rng.choice([9, 900])
        yield head, False, next(scores) - rng.integers(1, depth, tokens)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("total_delay", [LEAST_TOTAL_DELAY, 9])
def test_matches_golden(name, total_delay):
    config = CONFIGS[name]
    dut = SoftmaxState(config, total_delay=total_delay)
    bench = StateBench(dut)
    latency = dut.timing.latency
    assert dut.timing.interval == latency
    seen = set()

    async def testbench(ctx):
        for spread in SPREADS:
            states, before = {}, None
            for head, first, scores in tiles(config, spread):
                own = softmax_tile(scores, scores, None)[1]
                _, states[head], control = softmax_tile(
                    scores, scores, None if first else states[head]
                )
                seen.add((first, control.swap, control.halve))
                # The next one starts as this one ends, unless it is the same head.
                if head == before:
                    await ctx.tick()
                before = head
                for cycle in range(latency):
                    begin = {"en": 1, "first": first, "head": head, "exponent": own.exponent}
                    ctx.set(dut.i, {} if cycle else begin)
                    # Only one cycle's sum counts.
                    ctx.set(dut.total, own.total if cycle == total_delay else 12345)
                    assert not cycle or not ctx.get(dut.control.en)
                    await ctx.tick()
                assert ctx.get(dut.control.en)
                assert ctx.get(dut.control.head) == head
                written = ctx.get(dut.control.control)
                assert [written[field.name] for field in fields(ShiftControl)] == list(
                    astuple(control)
                )
            ctx.set(dut.i, {})
            await ctx.tick()
            for head, state in states.items():
                held = ctx.get(bench.state.data[head])
                assert (held.exponent, held.total) == (state.exponent, state.total)
                assert state.total < 1 << SUM_BITS

    simulate(bench, testbench, max_cycles=60_000)
    assert {(True, False, False), (False, True, True), (False, False, True)} <= seen
    assert {(False, True, False), (False, False, False)} <= seen


def test_rejects_a_sum_that_comes_too_early():
    with pytest.raises(ConfigError, match="total_delay must be at least 5, not 4"):
        SoftmaxState(SMALL, total_delay=4)


@pytest.mark.parametrize("name", CONFIGS)
def test_converts(name):
    assert "held__address" in convert(SoftmaxState(CONFIGS[name], total_delay=9))
