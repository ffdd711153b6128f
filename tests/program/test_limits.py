"""How far the core counts: named by dimension, found before anything is scheduled."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from mla_hw.design import plan_layer
from mla_hw.errors import CapacityError, ConfigError, ProgramError
from mla_hw.hardware import MOST_TILE_TOKENS, HardwareConfig
from mla_hw.presets import find_preset
from mla_hw.program.instructions import FIELDS, INSTRUCTION_WORDS, MEMORY_ADDRESS_BITS
from mla_hw.program.lower import lower
from mla_hw.program.verify import verify_program
from mla_hw.registers import POSITION_BITS, register
from mla_hw.schedule import schedule_layer, scheduler
from mla_hw.schedule.limits import (
    first_exceeded,
    layer_quantities,
    pass_quantities,
    program_length,
)

TINY = find_preset("tiny-v3").config
V3 = find_preset("deepseek-v3").config
#: Buffers are not what these tests are about.
ROOMY = HardwareConfig(activation_bytes=1 << 40)
PER_HEAD = ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")


def log_uniform(rng, low, high):
    return int(np.exp2(rng.uniform(np.log2(low), np.log2(high))))


def random_model(rng, *, low=16, high=1 << 20, heads=1 << 20):
    sizes = {
        name: log_uniform(rng, low, high)
        for name in ("hidden_size", "kv_lora_rank", "q_lora_rank", *PER_HEAD)
    }
    sizes["qk_rope_head_dim"] += sizes["qk_rope_head_dim"] % 2
    if rng.random() < 0.3:
        sizes["q_lora_rank"] = None
    return replace(TINY, num_attention_heads=log_uniform(rng, 1, heads), **sizes)


def random_hardware(rng):
    columns = 1 << int(rng.integers(1, 7))
    rows = int(rng.integers(1, 65))
    return HardwareConfig(
        rows=rows,
        columns=columns,
        port_bytes=1 << int(rng.integers(2, 7)),
        tile_tokens=columns * int(rng.integers(1, MOST_TILE_TOKENS // columns + 1)),
        activation_bytes=log_uniform(rng, 1 << 10, 1 << 30),
    )


def scheduled(seed, **limits):
    """Draw until a layer can be scheduled."""
    rng = np.random.default_rng(seed)
    while True:
        config = random_model(rng, **limits)
        hardware = replace(random_hardware(rng), activation_bytes=1 << 22)
        try:
            return config, hardware, schedule_layer(config, hardware)
        except (CapacityError, ConfigError):
            continue


def quantities(config, hardware, schedule):
    yield from layer_quantities(config, hardware)
    groups = schedule.core.groups
    yield from pass_quantities(config, hardware, schedule.placement, groups)


@pytest.mark.parametrize("seed", range(300))
def test_huge_layers_are_planned_or_refused(seed):
    """Never by an error about an instruction, and never without end."""
    rng = np.random.default_rng(seed)
    # Three classes: anything at all, what is near the limits, and many small heads.
    high, heads = ((1 << 20, 1 << 30), (1 << 16, 1 << 10), (1 << 8, 1 << 16))[seed % 3]
    config = random_model(rng, high=high, heads=heads)
    hardware = random_hardware(rng)
    context = log_uniform(rng, 1, 1 << 19)
    config = replace(config, max_position_embeddings=1 << 30)
    try:
        schedule, program, memory = plan_layer(config, hardware, context=context)
    except (CapacityError, ConfigError) as error:
        message = str(error)
    else:
        message = ""
    if message:
        assert "\n" not in message
        assert any(name in message for name in (*config.to_dict(), "--context", "--hardware"))
        return
    assert memory.size <= 1 << MEMORY_ADDRESS_BITS
    assert context <= 1 << POSITION_BITS
    assert INSTRUCTION_WORDS * len(program) <= register("program_beats").mask
    assert schedule.core.activation_depth * 4 * hardware.rows <= hardware.activation_bytes
    if len(program) < 200:
        verify_program(program)


def test_random_layers_are_of_both_kinds():
    planned = 0
    for seed in range(1, 300, 3):
        rng = np.random.default_rng(seed)
        try:
            plan_layer(random_model(rng, high=1 << 16, heads=1 << 10), random_hardware(rng))
        except (CapacityError, ConfigError):
            continue
        planned += 1
    assert 10 < planned < 90


@pytest.mark.parametrize("seed", range(40))
def test_every_count_of_a_program_is_a_quantity(seed):
    """The largest value of each field is the largest quantity that the field holds."""
    config, hardware, schedule = scheduled(seed, high=2048, heads=128)
    used, demands = defaultdict(int), defaultdict(int)
    for step in schedule.steps():
        for name, value in step.fields.items():
            field = "address" if name in ("a", "b", "c") else name
            if not isinstance(value, str):
                used[field] = max(used[field], value)
    for item in quantities(config, hardware, schedule):
        demands[item.field] = max(demands[item.field], item.demand)
    for field in ("k", "n", "a_stride0", "a_stride2", "c_stride0"):
        assert used[field] == demands[field], field
    assert used["group"] == demands["group"] - 1
    assert used["address"] < demands["address"]
    # All others are below 256 whatever the layer: rows of the array, flags, constants.
    known = {*demands, "constant", "rows", "tile_k", "tile_n", "release", "b_stride0"}
    assert used.keys() <= known
    assert all(value < 256 for name, value in used.items() if name not in demands)


@pytest.mark.parametrize("seed", range(40))
def test_addresses_cover_the_memories(seed):
    config, hardware, schedule = scheduled(seed, high=2048, heads=128)
    core = schedule.core
    demands = defaultdict(int)
    for item in quantities(config, hardware, schedule):
        demands[item.unit] = max(demands[item.unit], item.demand)
    assert demands["scores of a tile"] == core.score_depth
    assert demands["context sums"] == core.context_depth << core.context_lane_bits
    assert demands["elements of scratch"] == core.scratch_depth
    activation = demands["elements of a half of the activation buffer"]
    assert activation >= core.activation_depth << core.spread_bits
    assert activation <= core.activation_depth << core.lane_bits


@pytest.mark.parametrize("seed", range(60))
def test_length_of_the_program(seed):
    config, hardware, schedule = scheduled(seed, high=256, heads=512)
    length = program_length(config, hardware, schedule.core.groups)
    assert length == schedule.core.program_depth == len(lower(schedule))


@pytest.mark.parametrize("seed", range(60))
def test_what_is_refused_does_not_fit_an_instruction(seed, monkeypatch):
    """Without the check, exactly what it finds in fields that are encoded is an error there."""
    rng = np.random.default_rng(seed)
    config = random_model(rng, low=1 << 13, high=1 << 17, heads=4)
    hardware = replace(random_hardware(rng), activation_bytes=1 << 40)
    found = first_exceeded(
        item
        for item in layer_quantities(config, hardware)
        if item.field in FIELDS and item.bound == (1 << FIELDS[item.field].width) - 1
    )
    monkeypatch.setattr(scheduler, "check_quantities", lambda _: None)
    monkeypatch.setattr(scheduler, "first_exceeded", lambda _: None)
    schedule = schedule_layer(config, hardware)
    if found is None:
        lower(schedule)
    else:
        with pytest.raises(ProgramError, match="does not fit its"):
            lower(schedule)


LIMITS = {
    "hidden_size": (
        {"hidden_size": 70000},
        {},
        "hidden_size = 70000: the core counts to 65535 array steps",
    ),
    "q_lora_rank": (
        {"q_lora_rank": 65536},
        {},
        "q_lora_rank = 65536: the core counts to 65535 array steps",
    ),
    "kv_lora_rank": (
        {"kv_lora_rank": 1 << 20},
        {},
        "kv_lora_rank = 1048576: the core counts to 65535 array steps",
    ),
    "nope": (
        {"qk_nope_head_dim": 65536},
        {},
        "qk_nope_head_dim = 65536: the core counts to 65535 array steps",
    ),
    "rope": (
        {"qk_rope_head_dim": 65536},
        {},
        "qk_rope_head_dim = 65536: the core counts to 65535 array steps",
    ),
    "values": (
        {"v_head_dim": 32768},
        {},
        "num_attention_heads * v_head_dim = 131072: the core counts to 65535 array steps",
    ),
    "heads": (
        {"num_attention_heads": 65536, "v_head_dim": 1, "qk_nope_head_dim": 1},
        {},
        "num_attention_heads = 65536: the core counts to 65535 heads",
    ),
    "channels": (
        {"num_attention_heads": 4096, "qk_nope_head_dim": 4096, "v_head_dim": 1},
        {"rows": 64},
        "num_attention_heads * qk_nope_head_dim = 16777216: the core counts to 16777215 output "
        "channels",
    ),
    "weights": (
        {"hidden_size": 65535, "v_head_dim": 16383},
        {},
        "hidden_size * num_attention_heads * v_head_dim = 4294639620: the core counts to 16777215 "
        "beats of weights, not to 536854528; raise port_bytes (--hardware)",
    ),
    "row": (
        {"kv_lora_rank": 65534, "qk_rope_head_dim": 65534},
        {"port_bytes": 4, "columns": 2, "tile_tokens": 2, "rows": 1},
        "kv_lora_rank + qk_rope_head_dim = 131068: the core counts to 65535 beats of a tile of 2 "
        "cache rows, not to 65536",
    ),
    "tile": (
        {"kv_lora_rank": 2400},
        {"tile_tokens": 224},
        "kv_lora_rank + qk_rope_head_dim = 2408: the core counts to 65535 beats of a tile of 224 "
        "cache rows, not to 67648; lower tile_tokens or raise port_bytes (--hardware)",
    ),
    "scratch": (
        {"num_attention_heads": 255, "qk_rope_head_dim": 65534, "kv_lora_rank": 1000},
        {"rows": 1, "port_bytes": 64, "tile_tokens": 8},
        "num_attention_heads * qk_rope_head_dim = 16711170: the core counts to 16777216 elements "
        "of scratch, not to 16777752",
    ),
    "activation": (
        {"num_attention_heads": 256, "qk_rope_head_dim": 65534},
        {"rows": 64, "port_bytes": 64, "tile_tokens": 32},
        "num_attention_heads * qk_rope_head_dim = 16776704: the core counts to 16777216 elements "
        "of a half of the activation buffer, not to ",
    ),
    "program": (
        {"num_attention_heads": 6000, "v_head_dim": 4},
        {"rows": 4},
        "num_attention_heads = 6000: the core counts to 65535 words of a program, not to ",
    ),
}


@pytest.mark.parametrize("name", LIMITS)
def test_the_dimension_is_named(name):
    sizes, keys, message = LIMITS[name]
    config, hardware = replace(TINY, **sizes), replace(ROOMY, **keys)
    with pytest.raises(ConfigError) as caught:
        plan_layer(config, hardware, context=1)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "sizes",
    [
        {"hidden_size": 65535},
        {"kv_lora_rank": 65535},
        {"q_lora_rank": 65535},
        {"qk_nope_head_dim": 65535},
        {"qk_rope_head_dim": 65534},
        {"num_attention_heads": 5, "v_head_dim": 13107},
    ],
)
def test_the_largest_dimensions_fit(sizes):
    hardware = replace(ROOMY, rows=8, columns=16, port_bytes=64, tile_tokens=16)
    _, program, _ = plan_layer(replace(TINY, **sizes), hardware)
    verify_program(program)


def test_head_groups_of_a_pass():
    config = replace(TINY, num_attention_heads=300)
    hardware = replace(ROOMY, rows=1)
    schedule = schedule_layer(config, hardware)
    assert (len(schedule.passes), schedule.core.groups) == (2, 150)
    message = "= 300: the core counts to 256 groups of 1 heads in a pass; raise rows"
    with pytest.raises(ConfigError, match=message):
        schedule_layer(config, hardware, pass_groups=1000)
    assert schedule_layer(TINY, ROOMY, pass_groups=1000).core.groups == 1
    with pytest.raises(ConfigError, match="pass_groups must be a positive integer, not 0"):
        schedule_layer(config, hardware, pass_groups=0)


def test_memory_beyond_the_addresses():
    config = replace(TINY, kv_lora_rank=32768, max_position_embeddings=1 << 18)
    hardware = replace(ROOMY, port_bytes=64, tile_tokens=8)
    with pytest.raises(CapacityError, match=r"^byte addresses of the core: needs \d+ b") as caught:
        plan_layer(config, hardware, context=1 << 18, memory_bytes=1 << 40)
    assert caught.value.bound == 1 << 32
    largest = int(str(caught.value).rsplit(" ", 1)[1])
    _, _, memory = plan_layer(config, hardware, context=largest)
    assert memory.size <= 1 << 32
    with pytest.raises(CapacityError, match="byte addresses of the core"):
        plan_layer(config, hardware, context=largest + 1)


def test_context_beyond_the_position():
    config = replace(TINY, max_position_embeddings=1 << 20)
    with pytest.raises(ConfigError, match=r"^--context: must be from 1 to 262144 \(as far as the"):
        plan_layer(config, ROOMY, context=262145)
