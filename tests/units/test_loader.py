from itertools import pairwise

import numpy as np
import pytest

from mla_hw.cycles.loader import (
    LOADER_COMMAND_LATENCY,
    LOADER_DONE_LATENCY,
    LOADER_WRITE_LATENCY,
    LoaderModel,
    elements_per_write,
    writes_per_beat,
)
from mla_hw.errors import ConfigError
from mla_hw.golden.activation_buffer import place_elements
from mla_hw.golden.loader import (
    ELEMENT_BYTES,
    LOAD_TARGETS,
    interleave_rows,
    load_elements,
    spread_places,
    x_elements,
)
from rtl_gen.units.loader import Loader
from tests.configs import EACH, ODD, PRODUCTS, SEVERAL, SMALL, TOKENS, WIDE, small_core
from tests.streams import convert, feed, simulate

CONFIGS = {
    "small": SMALL,
    "odd": ODD,
    "wide": WIDE,
    "one_lane": small_core(rows=1, accumulator_lanes=1, heads=1),
    "narrow_port": small_core(rows=12, accumulator_lanes=12, heads=12, port_bytes=4),
    "wide_port": small_core(rows=5, accumulator_lanes=5, heads=5, port_bytes=32),
    "several_rows": SEVERAL,
    "each_row": EACH,
    "products": PRODUCTS,
    "tokens": TOKENS,
    "products_wide_port": small_core(
        rows=5,
        accumulator_lanes=5,
        heads=5,
        port_bytes=32,
        product_blocks=1,
        product_words=1,
    ),
    "products_one_lane": small_core(
        rows=1, accumulator_lanes=1, heads=1, product_blocks=1, product_words=1
    ),
}
PAUSES = {"full_speed": [0], "throttled": [0, 1, 7, 0, 0, 3]}
ENTRIES = ("table", "constants", "program")


def loads_for(config, rng):
    """Return (target, destination, elements, memory) of short and long LOADs to each target."""
    capacity = {
        "spread": config.activation_depth << config.spread_bits,
        "table": config.table_entries,
        "constants": config.constants,
        "program": 12 * config.program_depth,
    }
    if config.product_blocks:
        capacity["lanes"] = config.activation_depth << config.lane_bits
    loads = []
    for target, size in capacity.items():
        width = elements_per_write(config, target)
        per_beat = config.port_bytes // ELEMENT_BYTES[target]
        for elements in (1, per_beat, per_beat + 1, min(size, 3 * per_beat - 1), min(size, 47)):
            elements = min(elements, size)
            beats = -(-elements // per_beat)
            room = (size - elements) // width
            destination = width * int(rng.integers(room + 1))
            if target == "spread" and config.query_rows > 1:
                beats = -(-x_elements(config, elements) // per_beat)
                room = size - elements >> config.spread_bits
                destination = int(rng.integers(room + 1)) << config.load_bits
            loads.append((target, destination, elements, rng.bytes(beats * config.port_bytes)))
    return [loads[index] for index in rng.permutation(len(loads))]


def expected_writes(config, load):
    """Return what is written, in order: (port, address, lane, value)."""
    target, destination, elements, memory = load
    if target == "spread":
        source, address, lane = spread_places(config, destination, elements)
        values = load_elements(memory, target, int(source.max()) + 1)[source]
        order = np.argsort(source)
        writes = zip(address[order], lane[order], values[order], strict=True)
        return [(target, *write) for write in writes]
    values = load_elements(memory, target, elements)
    if target == "lanes":
        places = zip(
            *place_elements(config, destination + np.arange(elements), lanes=True), strict=True
        )
        return [
            ("spread", address, lane, value)
            for (lane, address), value in zip(places, values, strict=True)
            if lane < config.rows
        ]
    return [(target, destination + index, None, value) for index, value in enumerate(values)]


def write_cycles(config, load):
    """Return how many cycles of writes a LOAD has."""
    target, destination, elements, _ = load
    width = elements_per_write(config, target)
    if target == "spread":
        return len({int(place) // width for place in spread_places(config, 0, elements)[0]})
    writes = range(0, elements, width)
    if target != "lanes":
        return len(writes)
    # Nothing is written where all lanes are beyond the array's rows.
    lanes = 1 << config.lane_bits
    return sum((destination + first) % lanes < config.rows for first in writes)


def beats_of(config, load):
    memory = load[3]
    count = len(memory) // config.port_bytes
    for index in range(count):
        word = memory[index * config.port_bytes : (index + 1) * config.port_bytes]
        yield {"data": int.from_bytes(word, "little"), "last": index == count - 1}


class Run:
    """Simulate the loader and note every event with its cycle."""

    def __init__(self, config, loads, command_pauses=(0,), beat_pauses=(0,)):
        self.config, self.dut = config, Loader(config)
        self.commands, self.beats, self.ends, self.writes = [], [], [], []
        commands = [
            {"target": LOAD_TARGETS[target], "destination": destination, "elements": elements}
            for target, destination, elements, _ in loads
        ]
        beats = [beat for load in loads for beat in beats_of(config, load)]

        async def give_commands(ctx):
            await feed(ctx, self.dut.command, commands, command_pauses)

        async def give_beats(ctx):
            await feed(ctx, self.dut.i, beats, beat_pauses)

        async def watch(ctx):
            while len(self.ends) < len(loads):
                await self._cycle(ctx)

        self.cycle = 0
        simulate(self.dut, give_commands, give_beats, watch)

    async def _cycle(self, ctx):
        dut = self.dut
        ports = [getattr(dut, name) for name in ENTRIES]
        _, _, command, beat, done, lanes, *entries = await ctx.tick().sample(
            dut.command.valid & dut.command.ready,
            dut.i.valid & dut.i.ready,
            dut.done,
            dut.activation,
            *ports,
        )
        if command:
            self.commands.append(self.cycle)
        if beat:
            self.beats.append(self.cycle)
        if done:
            self.ends.append(self.cycle)
        for lane in range(self.config.rows):
            if lanes.en >> lane & 1:
                place = ("spread", lanes.address, lane, lanes.data[lane])
                self.writes.append((self.cycle, place))
        for name, entry in zip(ENTRIES, entries, strict=True):
            if entry.en:
                self.writes.append((self.cycle, (name, entry.address, None, entry.data)))
        self.cycle += 1


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("pauses", PAUSES.values(), ids=PAUSES)
def test_matches_golden(config, pauses):
    loads = loads_for(config, np.random.default_rng(1))
    run = Run(config, loads, pauses, pauses[::-1])
    expected = [write for load in loads for write in expected_writes(config, load)]
    assert [write for _, write in run.writes] == expected
    assert len({cycle for cycle, _ in run.writes}) == sum(
        write_cycles(config, load) for load in loads
    )


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_cycles_follow_the_model(config):
    """Commands and beats are always there."""
    loads = loads_for(config, np.random.default_rng(2))
    run = Run(config, loads)
    model, beats, command = LoaderModel(config), iter(run.beats), -1
    for load, start, end in zip(loads, run.commands, run.ends, strict=True):
        command = model.begin(load[0], command + 1)
        assert command == start
        taken = model.take([0] * len(list(beats_of(config, load))))
        assert taken == [next(beats) for _ in taken]
        assert model.finish() == end


@pytest.mark.parametrize("target", LOAD_TARGETS)
def test_latency_and_throughput(target):
    config = CONFIGS["products_wide_port"]
    per_beat = config.port_bytes // ELEMENT_BYTES[target]
    elements = min(3 * per_beat, 3 if target == "table" else 16)
    memory = bytes(range(config.port_bytes)) * -(-elements // per_beat)
    run = Run(config, [(target, 0, elements, memory)])
    assert run.beats[0] == run.commands[0] + LOADER_COMMAND_LATENCY
    assert run.writes[0][0] == run.beats[0] + LOADER_WRITE_LATENCY
    interval = writes_per_beat(config, target)
    assert all(later - earlier == interval for earlier, later in pairwise(run.beats))
    last_write = run.beats[-1] + LOADER_WRITE_LATENCY + interval - 1
    assert run.ends == [last_write + LOADER_DONE_LATENCY]


def test_end_does_not_depend_on_what_is_dropped():
    config = CONFIGS["wide_port"]
    memory = bytes(config.port_bytes)
    ends = {Run(config, [("constants", 0, elements, memory)]).ends[0] for elements in (1, 5, 8)}
    assert len(ends) == 1


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_loaded_rows_are_those_that_were_interleaved(config):
    rows = np.random.default_rng(3).integers(-(1 << 15), 1 << 15, (config.query_rows, 45))
    memory = interleave_rows(config, rows)
    assert len(memory) == x_elements(config, 45)
    source, address, lane = spread_places(config, 5 << config.load_bits, 45)
    assert np.array_equal(memory[source].reshape(rows.shape), rows)
    assert len(set(zip(address.tolist(), lane.tolist(), strict=True))) == rows.size
    own = lane.reshape(rows.shape) >> config.spread_bits
    assert (own == np.arange(config.query_rows)[:, None]).all()
    assert lane.max() < config.rows


def test_rejects_too_few_beats():
    message = "elements = 5 to table needs 20 bytes, its beats hold 16"
    with pytest.raises(ConfigError, match=message):
        load_elements(bytes(16), "table", 5)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_converts(config):
    assert "activation" in convert(Loader(config))
