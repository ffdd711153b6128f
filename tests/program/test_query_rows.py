"""Query rows: a core for several decodes what one for one token at a time does, bit for bit."""

import re
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from mla_hw.compile_layer import compile_layer, instruction_phases, plan_layer
from mla_hw.cycles.drain_controller import drain_cycles
from mla_hw.cycles.matmul_sequencer import tile_spacing
from mla_hw.cycles.predict import predict
from mla_hw.errors import CapacityError, ConfigError, ProgramError
from mla_hw.hardware import HardwareConfig
from mla_hw.presets import find_preset
from mla_hw.program.hazards import verify_hazards
from tests.configs import small_core
from tests.program.programs import change, find, scheduled
from tests.reference_cases import load_case

CONTEXT = 48
HARDWARE = {
    "4x8": HardwareConfig(rows=4, columns=8, tile_tokens=16),
    "6x4": HardwareConfig(rows=6, columns=4, port_bytes=4, tile_tokens=16, accumulator_lanes=3),
    "8x16": HardwareConfig(rows=8, columns=16, port_bytes=16, tile_tokens=16),
    # Several passes; a word of y that two rows take turns in.
    "3x2": HardwareConfig(
        rows=3, columns=2, port_bytes=16, tile_tokens=16, accumulator_lanes=1, activation_bytes=4096
    ),
}
# Case, array, query rows.
SHAPES = [
    ("tiny-v3", "4x8", 2),
    ("tiny-v3", "4x8", 3),
    ("tiny-v3", "4x8", 4),
    ("odd-shape", "6x4", 2),
    ("odd-shape", "6x4", 5),
    ("odd-shape", "3x2", 2),
    ("small-v2lite", "8x16", 8),
]
shapes = pytest.mark.parametrize(("case", "array", "rows"), SHAPES)


@cache
def design(case, array, rows=1, *, same_sequence=False):
    return compile_layer(
        load_case(case).weights,
        HARDWARE[array],
        context=CONTEXT,
        query_rows=rows,
        same_sequence=same_sequence,
    ).design


def decode(made, tokens, position=0):
    """Return y of tokens [n, hidden_size], decoded one by one."""
    machine, out = made.machine(), []
    for number, row in enumerate(tokens):
        machine.write_hidden(row)
        machine.run(position + number)
        out.append(machine.y())
    return np.array(out)


def hidden(made, *shape):
    rng = np.random.default_rng(sum(shape))
    return made.quantize_hidden(rng.standard_normal((*shape, made.model.hidden_size)))[0]


@shapes
def test_sequences_are_decoded_as_each_alone(case, array, rows):
    """Those of later rows begin later, so that all positions and numbers of tiles differ."""
    several, one = design(case, array, rows), design(case, array)
    steps = 6
    x = hidden(several, rows, 20 + steps)
    expected = [decode(one, x[row, : 20 // (row + 1) + steps]) for row in range(rows)]
    machine, first = several.machine(), [20 // (row + 1) for row in range(rows)]
    for step in range(max(first)):
        tokens = [min(step, own) for own in first]
        machine.write_hidden(np.array([x[row, token] for row, token in enumerate(tokens)]))
        machine.run(tokens, attention=False)
    for step in range(steps):
        tokens = [own + step for own in first]
        machine.write_hidden(np.array([x[row, token] for row, token in enumerate(tokens)]))
        machine.run(tokens)
        for row, token in enumerate(tokens):
            assert np.array_equal(machine.y()[row], expected[row][token]), (step, row)


@shapes
def test_a_sequence_is_decoded_as_token_by_token(case, array, rows):
    """Over several tiles, with rows of one step on both sides of a tile's border."""
    several = design(case, array, rows, same_sequence=True)
    one = design(case, array)
    x = hidden(several, CONTEXT // rows, rows)
    machine, out = several.machine(), []
    for step, tokens in enumerate(x):
        machine.write_hidden(tokens)
        machine.run(several.memory.positions(step))
        out.append(machine.y())
    expected = decode(one, x.reshape(-1, x.shape[-1]))
    assert np.array_equal(np.array(out).reshape(expected.shape), expected)


def test_saturations_of_all_rows_are_counted():
    several, one = design("tiny-v3", "4x8", 3), design("tiny-v3", "4x8")
    x = 32767 * np.sign(hidden(several, 3))
    machine = several.machine()
    machine.write_hidden(x)
    machine.run(0)
    alone = one.machine()
    for row in x:
        alone.write_hidden(row)
        alone.run(0)
    assert machine.saturated == alone.saturated
    assert machine.saturated.total() > 0


@shapes
def test_regions_do_not_overlap(case, array, rows):
    for same_sequence in (False, True):
        memory = design(case, array, rows, same_sequence=same_sequence).memory
        core = design(case, array, rows).core
        spans = [(region.offset, region.end) for region in memory.regions.values()]
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))
        bases = memory.cache_bases
        assert len(bases) == rows
        size = CONTEXT * core.row_bytes
        if same_sequence:
            assert set(bases) == {memory.regions["cache"].offset}
        else:
            assert all(base + size <= after for base, after in pairwise(bases))
        assert memory.regions["cache"].end == bases[-1] + size
        assert memory.positions(3) == (
            tuple(range(3 * rows, 4 * rows)) if same_sequence else (3,) * rows
        )


def test_projections_cost_the_cycles_of_one_row():
    """As long as a tile has as many steps as its drain takes cycles; then those of the drain."""
    config = find_preset("deepseek-v2-lite").config
    hardware = HardwareConfig(rows=8, columns=16, port_bytes=16, activation_bytes=1 << 18)
    phases = {}
    for rows in (1, 8):
        schedule, program, memory = plan_layer(config, hardware, context=16, query_rows=rows)
        names = instruction_phases(schedule, program)
        timeline = predict(program, schedule.core, memory, 0)
        phases[rows] = {phase.name: phase.cycles for phase in timeline.phases(names)}
        spacing = tile_spacing(schedule.core, "project", 1)
        assert spacing == drain_cycles(schedule.core, "project", 1) == 16 * rows
        assert spacing <= config.qk_nope_head_dim
    for name in ("q", "uk", "o"):
        assert phases[8][name] == pytest.approx(phases[1][name], rel=0.02)
    assert phases[8]["attention"] > 4 * phases[1]["attention"]


def row_that_is_packed_without_waiting(program):
    return change(program, find(program, "PACK")[1], wait=0)


def row_that_is_stored_in_the_cache_of_another(program):
    return change(program, find(program, "STORE", target="row")[1], query_row=0)


def rotation_by_the_row_of_another(program):
    rope = find(program, "ROPE")[0]
    return change(program, rope, b=program.instructions[rope]["k"] // 4)


def norm_of_the_latents_of_two_rows(program):
    norm = find(program, "NORM", target="row")[0]
    return change(program, norm, a=program.instructions[norm]["a"] + 1)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (row_that_is_packed_without_waiting, "overwrites row that instruction"),
        (
            row_that_is_stored_in_the_cache_of_another,
            "overwrites memory.cache that nobody has read",
        ),
        (norm_of_the_latents_of_two_rows, "reads scratch where different tensors lie"),
        (rotation_by_the_row_of_another, "reads table where different tensors lie"),
    ],
)
def test_hazards_between_query_rows_are_found(spoil, message):
    program, core = scheduled("two query rows")
    with pytest.raises(ProgramError, match=re.escape(message)):
        verify_hazards(spoil(program), core)


def test_rows_are_checked():
    config, hardware = find_preset("tiny-v3").config, HARDWARE["8x16"]
    with pytest.raises(ConfigError, match=r"--rows: must be from 1 to 8, .*, not 9"):
        plan_layer(config, hardware, query_rows=9)
    with pytest.raises(ConfigError, match=r"--same-sequence: needs --rows of at least 2"):
        plan_layer(config, hardware, same_sequence=True)
    with pytest.raises(ConfigError, match=r"--context: must be at least --rows = 3 with --same"):
        plan_layer(config, hardware, query_rows=3, context=2, same_sequence=True)
    with pytest.raises(ConfigError, match=r"query_rows must be from 1 to rows = 2, not 3"):
        small_core(rows=2, query_rows=3)


def test_more_rows_than_the_activation_buffer_holds():
    hardware = HardwareConfig(rows=8, columns=16, port_bytes=16)
    config = find_preset("deepseek-v2-lite").config
    with pytest.raises(CapacityError) as raised:
        plan_layer(config, hardware, context=16, query_rows=8)
    assert str(raised.value).startswith("activation buffer: needs 262144 bytes, has 65536")
    assert str(raised.value).endswith("raise activation_bytes (--hardware) or lower --rows")
