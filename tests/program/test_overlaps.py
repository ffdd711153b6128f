"""Buffers that overlap while both are needed are found; what is not found changes no result."""

import dataclasses
import functools

import numpy as np
import pytest

from mla_hw.checkpoint import random_layer
from mla_hw.compile_layer import compile_layer
from mla_hw.errors import ProgramError
from mla_hw.golden.interpreter import Machine
from mla_hw.hardware import HardwareConfig
from mla_hw.presets import find_preset
from mla_hw.program.hazards import verify_hazards
from mla_hw.program.lower import lower
from mla_hw.schedule import Placement, schedule_layer, scheduler

ONE_PASS = HardwareConfig(rows=3, columns=4, tile_tokens=8, activation_bytes=1 << 20)
PASSES = dataclasses.replace(ONE_PASS, rows=2, accumulator_lanes=1, port_bytes=4)
#: Dimensions, hardware, head groups per pass, scheme where it is not absorb.
SHAPES = {
    "compressed": (
        {"num_attention_heads": 3, "q_lora_rank": 20, "kv_lora_rank": 10, "hidden_size": 24},
        ONE_PASS,
        1,
    ),
    "plain": (
        {"num_attention_heads": 5, "q_lora_rank": None, "kv_lora_rank": 6, "hidden_size": 30},
        ONE_PASS,
        2,
    ),
    "passes": (
        {"num_attention_heads": 5, "q_lora_rank": 7, "kv_lora_rank": 5, "hidden_size": 16},
        PASSES,
        1,
    ),
    "passes of groups": (
        {"num_attention_heads": 7, "q_lora_rank": None, "kv_lora_rank": 17, "hidden_size": 20},
        PASSES,
        2,
    ),
    "recompute": (
        {"num_attention_heads": 3, "q_lora_rank": 7, "kv_lora_rank": 9, "hidden_size": 16},
        PASSES,
        1,
        "recompute",
    ),
    "naive": (
        {"num_attention_heads": 3, "q_lora_rank": 7, "kv_lora_rank": 9, "hidden_size": 40},
        PASSES,
        1,
        "naive",
    ),
    "naive, plain": (
        {"num_attention_heads": 2, "q_lora_rank": None, "kv_lora_rank": 9, "hidden_size": 20},
        ONE_PASS,
        1,
        "naive",
    ),
}


def scheme_of(shape):
    return (*SHAPES[shape][3:], "absorb")[0]


@functools.cache
def compiled(shape):
    dimensions, hardware, groups = SHAPES[shape][:3]
    config = dataclasses.replace(
        find_preset("tiny-v3").config,
        qk_nope_head_dim=6,
        qk_rope_head_dim=4,
        v_head_dim=5,
        **dimensions,
    )
    context = 2 * hardware.tile_tokens + 3
    layer = random_layer(config, 1)
    return compile_layer(
        layer, hardware, context=context, pass_groups=groups, scheme=scheme_of(shape)
    )


def results(design, core, program):
    """Return y of all tokens, the instructions executed in program order."""
    machine = Machine(core, program, design.memory, design.image, design.constants)
    hidden = np.random.default_rng(0).standard_normal((design.context, design.model.hidden_size))
    out = []
    for position, row in enumerate(design.quantize_hidden(hidden)[0]):
        machine.write_hidden(row)
        machine.run(position)
        out.append(machine.y())
    return np.array(out)


def overlaps(placement):
    """Give placements in which one buffer covers another's begin, end, or all of it."""
    for number, buffer in enumerate(placement.buffers):
        for other in placement.buffers:
            if other is buffer or other.memory != buffer.memory:
                continue
            if other.first > buffer.last or buffer.first > other.last:
                continue
            covers = {other.address, other.end - 1, max(0, other.address - buffer.words + 1)}
            for address in covers - {buffer.address}:
                moved = list(placement.buffers)
                moved[number] = dataclasses.replace(buffer, address=address)
                yield buffer.name, other.name, Placement(tuple(moved))


@pytest.mark.parametrize("shape", SHAPES)
def test_overlaps_are_found_or_harmless(shape, monkeypatch):
    layer = compiled(shape)
    design, (_, hardware, groups) = layer.design, SHAPES[shape][:3]
    expected = results(design, design.core, design.program)
    found, harmless = set(), 0
    for buffer, other, placement in overlaps(layer.schedule.placement):
        monkeypatch.setattr(scheduler, "place", lambda _, moved=placement: moved)
        schedule = schedule_layer(design.model, hardware, pass_groups=groups, scheme=design.scheme)
        program = lower(schedule)
        try:
            verify_hazards(program, schedule.core)
        except ProgramError:
            found.add((buffer, other))
            continue
        harmless += 1
        same = np.array_equal(results(design, schedule.core, program), expected)
        assert same, f"{buffer} over {other} is not found"
    assert {("q_rope", "P"), ("P", "q_rope"), ("kv_latent", "k_pe")} <= found
    # Lifetimes are those of a pass or a phase; within it a buffer may be done with.
    assert harmless < len(found)
