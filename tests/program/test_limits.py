"""How far the core counts: named by dimension, found before anything is scheduled."""

from dataclasses import replace

import numpy as np
import pytest

from mla_hw.compile_layer import plan_layer
from mla_hw.errors import CapacityError, ConfigError, ProgramError
from mla_hw.hardware import MOST_TILE_TOKENS, HardwareConfig
from mla_hw.presets import find_preset
from mla_hw.program.instructions import (
    ADDRESS_OFFSET_BITS,
    INSTRUCTION_WORDS,
    MEMORY_ADDRESS_BITS,
)
from mla_hw.program.lower import lower
from mla_hw.program.verify import verify_program
from mla_hw.registers import POSITION_BITS, register
from mla_hw.schedule import SCHEMES, schedule_layer, scheduler

TINY = find_preset("tiny-v3").config
V3 = find_preset("deepseek-v3").config
#: Buffers are not what these tests are about.
ROOMY = HardwareConfig(activation_bytes=1 << 40)
#: What the vector engine takes of n is narrower than the field.
VECTOR_BOUND = "(n of ROPE"
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


def seeds(count, *, default):
    """Return numbers, those beyond the default ones marked slow."""
    return [
        *range(default),
        *(pytest.param(n, marks=pytest.mark.slow) for n in range(default, count)),
    ]


@pytest.mark.parametrize("seed", seeds(120, default=48))
def test_huge_layers_are_planned_or_refused(seed):
    check_huge_layer(seed, "absorb")


def check_huge_layer(seed, scheme):
    """Never by an error about an instruction, and never without end."""
    rng = np.random.default_rng(seed)
    # Three classes: anything at all, what is near the limits, and many small heads.
    high, heads = ((1 << 20, 1 << 30), (1 << 16, 1 << 10), (1 << 8, 1 << 16))[seed % 3]
    config = random_model(rng, high=high, heads=heads)
    hardware = random_hardware(rng)
    context = log_uniform(rng, 1, 1 << 19)
    config = replace(config, max_position_embeddings=1 << 30)
    try:
        schedule, program, memory = plan_layer(config, hardware, context=context, scheme=scheme)
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


@pytest.mark.parametrize("seed", seeds(60, default=12))
@pytest.mark.parametrize("scheme", SCHEMES[1:])
def test_huge_layers_of_other_schemes_are_planned_or_refused(seed, scheme):
    check_huge_layer(seed, scheme)


@pytest.mark.parametrize("scheme", SCHEMES[1:])
def test_what_other_schemes_refuse_does_not_fit_an_instruction(scheme, monkeypatch):
    """As of absorb, below; with what is planned among it."""
    refused = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        config = random_model(rng, low=1 << 7, high=1 << 15, heads=4)
        hardware = replace(random_hardware(rng), activation_bytes=1 << 40)
        try:
            lower(schedule_layer(config, hardware, scheme=scheme))
            continue
        except ConfigError as error:
            if VECTOR_BOUND in str(error) or "elements of" in str(error):
                continue
        with monkeypatch.context() as patch:
            patch.setattr(scheduler, "check_limits", lambda *_: None)
            schedule = schedule_layer(config, hardware, scheme=scheme)
        with pytest.raises(ProgramError, match="does not fit its"):
            lower(schedule)
        refused += 1
    assert 0 < refused < 40


def test_random_layers_are_of_both_kinds():
    planned = 0
    for seed in range(1, 120, 3):
        rng = np.random.default_rng(seed)
        try:
            plan_layer(random_model(rng, high=1 << 16, heads=1 << 10), random_hardware(rng))
        except (CapacityError, ConfigError):
            continue
        planned += 1
    assert 5 < planned < 35


@pytest.mark.parametrize("seed", seeds(60, default=24))
def test_what_is_refused_does_not_fit_an_instruction(seed, monkeypatch):
    """Without the check, exactly what it finds is an error where instructions are encoded."""
    rng = np.random.default_rng(seed)
    config = random_model(rng, low=1 << 13, high=1 << 17, heads=4)
    hardware = replace(random_hardware(rng), activation_bytes=1 << 40)
    try:
        schedule_layer(config, hardware)
        refused = False
    except ConfigError as error:
        refused = VECTOR_BOUND not in str(error)
    monkeypatch.setattr(scheduler, "check_limits", lambda *_: None)
    schedule = schedule_layer(config, hardware)
    if not refused:
        lower(schedule)
    else:
        with pytest.raises(ProgramError, match="does not fit its"):
            lower(schedule)


@pytest.mark.parametrize("seed", seeds(40, default=16))
def test_addresses_of_all_elements_fit(seed):
    _, _, schedule = scheduled(seed, high=1 << 16, heads=128)
    core, bound = schedule.core, 1 << ADDRESS_OFFSET_BITS
    assert core.activation_depth << core.lane_bits <= bound
    assert core.scratch_depth <= bound
    assert core.score_depth <= bound
    assert core.context_depth << core.context_lane_bits <= bound


#: Sizes, hardware, what is named, and what is counted.
LIMITS = {
    "hidden_size": ({"hidden_size": 70000}, {}, ("hidden_size = 70000",), "to 65535 for the array"),
    "q_lora_rank": ({"q_lora_rank": 65536}, {}, ("q_lora_rank = 65536",), "to 65535 for the array"),
    "kv_lora_rank": (
        {"kv_lora_rank": 1 << 20},
        {},
        ("kv_lora_rank = 1048576",),
        "to 65535 for the array steps",
    ),
    "nope": ({"qk_nope_head_dim": 65536}, {}, ("qk_nope_head_dim = 65536",), "to 65535 for the"),
    "rope": ({"qk_rope_head_dim": 65536}, {}, ("qk_rope_head_dim = 65536",), "to 65535 for the"),
    "values": (
        {"v_head_dim": 32768},
        {},
        ("num_attention_heads = 4", "v_head_dim = 32768"),
        "not to 131072",
    ),
    "heads": (
        {"num_attention_heads": 65536, "v_head_dim": 1, "qk_nope_head_dim": 1},
        {},
        ("num_attention_heads = 65536",),
        "instructions of a program",
    ),
    "channels": (
        {"num_attention_heads": 4096, "qk_nope_head_dim": 4096, "v_head_dim": 1},
        {"rows": 64},
        ("num_attention_heads = 4096", "qk_nope_head_dim = 4096"),
        "to 16777216 elements of a half of the activation buffer (projection), not to 16783360",
    ),
    "weights": (
        {"hidden_size": 65535, "v_head_dim": 16383},
        {},
        ("hidden_size = 65535", "num_attention_heads = 4", "v_head_dim = 16383"),
        "not to 536854528",
    ),
    "row": (
        {"kv_lora_rank": 65534, "qk_rope_head_dim": 65534},
        {"port_bytes": 4, "columns": 2, "tile_tokens": 2, "rows": 1},
        ("kv_lora_rank = 65534", "qk_rope_head_dim = 65534"),
        "not to 65536; columns or port_bytes or tile_tokens (--hardware) may mend it",
    ),
    "tile": (
        {"kv_lora_rank": 2400},
        {"tile_tokens": 224},
        ("kv_lora_rank = 2400", "qk_rope_head_dim = 8"),
        "tile_tokens (--hardware) may mend it",
    ),
    "scratch": (
        {"num_attention_heads": 255, "qk_rope_head_dim": 65534, "kv_lora_rank": 1000},
        {"rows": 1, "port_bytes": 64, "tile_tokens": 8},
        ("num_attention_heads = 255", "qk_rope_head_dim = 65534"),
        "to 16777216 elements of scratch, not to 16777752",
    ),
    "activation": (
        {"num_attention_heads": 256, "qk_rope_head_dim": 65534},
        {"rows": 64, "port_bytes": 64, "tile_tokens": 32},
        ("num_attention_heads = 256", "qk_rope_head_dim = 65534"),
        "to 16777216 elements of a half of the activation buffer (vector), not to ",
    ),
    "program": (
        {"num_attention_heads": 6000, "v_head_dim": 4},
        {"rows": 4},
        ("num_attention_heads = 6000",),
        "to 5460 instructions of a program, not to ",
    ),
}


@pytest.mark.parametrize("name", LIMITS)
def test_the_dimension_is_named(name):
    sizes, keys, settings, counted = LIMITS[name]
    config, hardware = replace(TINY, **sizes), replace(ROOMY, **keys)
    with pytest.raises(ConfigError) as caught:
        plan_layer(config, hardware, context=1)
    before, after = str(caught.value).split(": the core counts ", 1)
    assert set(settings) <= set(before.split(", "))
    assert counted in after


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
    message = "num_attention_heads = 300: the core counts to 256 groups of 1 heads in a pass"
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
