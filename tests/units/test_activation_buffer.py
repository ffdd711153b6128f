from collections import deque

import numpy as np
import pytest

from mla_hw.cycles.activation_buffer import ACTIVATION_READ_LATENCY, ACTIVATION_WRITE_LATENCY
from mla_hw.cycles.latent_ring import LATENT_READ_LATENCY
from mla_hw.golden.activation_buffer import place_elements, row_offset
from mla_hw.program.instructions import FIELDS
from rtl_gen.units.activation_buffer import ActivationBuffer
from tests.configs import EACH, ODD, SEVERAL, SMALL, WIDE, small_core
from tests.streams import convert, simulate

CONFIGS = {
    "small": SMALL,
    "odd": ODD,
    "wide": WIDE,
    "one_row": small_core(rows=1, accumulator_lanes=1, activation_depth=37),
    "five_rows": small_core(rows=5, accumulator_lanes=5, heads=5, activation_depth=48),
    "several_query_rows": SEVERAL,
    "as_many_query_rows": EACH,
}
TARGETS = FIELDS["target"].choices
IDLE = {"en": 0}


class Model:
    """Both halves as they will be read: writes appear after the write latency."""

    def __init__(self, config):
        self.config = config
        self.halves = np.zeros((2, config.rows, config.activation_depth), np.int64)
        self.pending = deque([[] for _ in range(ACTIVATION_WRITE_LATENCY)])

    def advance(self, writes):
        self.pending.append(writes)
        for half, lane, address, value in self.pending.popleft():
            self.halves[half, lane, address] = value

    def read(self, request):
        values = self.halves[request["half"], :, request["address"]]
        if not request["single"]:
            return values.tolist()
        rows = range(self.config.query_rows)
        own = [int(values[(row << self.config.spread_bits) + request["lane"]]) for row in rows]
        return own + [0] * (self.config.rows - len(own))


def random_writes(config, rng):
    """One cycle of writes on the three ports, and what they mean."""
    load, requantized, vector, writes = IDLE, IDLE, IDLE, []

    def element(lanes):
        count = 1 << (config.lane_bits if lanes else config.spread_bits)
        while True:
            index = int(rng.integers(config.activation_depth * count))
            if not lanes:
                row = int(rng.integers(config.query_rows))
                index += row_offset(config.query_rows, row)
            (lane, address), value = place_elements(config, index, lanes=lanes), value16(rng)
            if lane < config.rows:
                return index, int(lane), int(address), value

    choice = rng.integers(4)
    if choice == 0:
        en, address = (
            int(rng.integers(1 << config.rows)),
            int(rng.integers(config.activation_depth)),
        )
        values = [value16(rng) for _ in range(config.rows)]
        load = {"en": en, "address": address, "data": values}
        writes += [
            (0, lane, address, values[lane]) for lane in range(config.rows) if en >> lane & 1
        ]
    elif choice == 1:
        target = int(rng.integers(len(TARGETS)))
        lanes = TARGETS[target] == "lanes"
        index, lane, address, value = element(lanes)
        requantized = {"en": 1, "target": target, "element": index, "data": value}
        if TARGETS[target] in ("spread", "lanes"):
            writes.append((0, lane, address, value))
    if rng.integers(2):
        lanes = bool(rng.integers(2))
        index, lane, address, value = element(lanes)
        vector = {"en": 1, "lanes": lanes, "element": index, "data": value}
        writes.append((1, lane, address, value))
    return load, requantized, vector, writes


def value16(rng):
    return int(rng.choice([-32768, 32767, 0, rng.integers(-32768, 32768)]))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_matches_model(config):
    """Random writes and reads in every cycle, addresses of recent writes preferred."""
    dut = ActivationBuffer(config)

    async def testbench(ctx):
        rng = np.random.default_rng(config.rows)
        model, expected = Model(config), deque([None] * ACTIVATION_READ_LATENCY)
        recent = deque([(0, 0, 0, 0)], maxlen=3 * ACTIVATION_WRITE_LATENCY)
        for _ in range(1500):
            load, requantized, vector, writes = random_writes(config, rng)
            ctx.set(dut.load, load)
            ctx.set(dut.requantized, requantized)
            ctx.set(dut.vector, vector)
            recent.extend(writes)
            half, lane, address, _ = recent[rng.integers(len(recent))]
            if config.query_rows > 1:
                lane &= (1 << config.spread_bits) - 1
            if rng.integers(4) == 0:
                half, address = rng.integers(2), rng.integers(config.activation_depth)
            request = {
                "half": int(half),
                "address": int(address),
                "lane": lane,
                "single": int(rng.integers(2)),
            }
            model.advance(writes)
            ctx.set(dut.read, request)
            expected.append(model.read(request))
            due = expected.popleft()
            assert due is None or list(ctx.get(dut.a)) == due
            await ctx.tick()

    simulate(dut, testbench)


@pytest.mark.parametrize("port", ["load", "requantized", "vector"])
def test_write_latency(port):
    """The first read that sees a write, to the cycle; the read before sees the old value."""
    config = SMALL
    dut = ActivationBuffer(config)
    write = {
        "load": {"en": 1, "address": 3, "data": [-5, 0]},
        "requantized": {"en": 1, "target": TARGETS.index("lanes"), "element": 6, "data": -5},
        "vector": {"en": 1, "lanes": 1, "element": 6, "data": -5},
    }[port]

    async def testbench(ctx):
        ctx.set(dut.read, {"half": port == "vector", "address": 3, "lane": 0, "single": 0})
        ctx.set(getattr(dut, port), write)
        for cycle in range(ACTIVATION_WRITE_LATENCY + ACTIVATION_READ_LATENCY + 2):
            visible = cycle >= ACTIVATION_WRITE_LATENCY + ACTIVATION_READ_LATENCY
            assert list(ctx.get(dut.a)) == [-5 * visible, 0]
            await ctx.tick()
            ctx.set(getattr(dut, port), IDLE)

    simulate(dut, testbench)


def test_operands_of_the_array_come_together():
    assert ACTIVATION_READ_LATENCY == LATENT_READ_LATENCY


def test_golden_layouts():
    lane, address = place_elements(ODD, np.arange(8), lanes=False)
    assert lane.tolist() == [0, 1] * 4
    assert address.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    lane, address = place_elements(ODD, np.arange(8), lanes=True)
    assert lane.tolist() == [0, 1, 2, 3] * 2
    assert address.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    lane, address = place_elements(SEVERAL, row_offset(3, 2) + np.arange(5), lanes=False)
    assert lane.tolist() == [4, 5, 4, 5, 4]
    assert address.tolist() == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_converts(config):
    verilog = convert(ActivationBuffer(config))
    for lane in range(config.rows):
        assert f"projection_{lane}" in verilog
        assert f"vector_{lane}" in verilog
