import math

import numpy as np
import pytest

from mla_hw.cycles.norm import norm_cycles
from mla_hw.golden.norm import rms_norm
from rtl_gen.units.norm import Norm
from tests.configs import ODD, SMALL, small_core
from tests.streams import convert
from tests.vector import TARGETS, VectorBench

CONFIGS = {"small": SMALL, "odd": ODD, "deep": small_core(scratch_depth=700, kv_lora_rank=512)}
#: Where epsilon lies among the layer constants.
CONSTANT = 3
EPSILONS = [1, 77, (1 << 33) + 5, (1 << 40) - 1]


def bench(config, scratch, epsilon):
    constants = [0xDEADBEEF] * config.constants
    constants[CONSTANT : CONSTANT + 2] = epsilon & 0xFFFFFFFF, epsilon >> 32
    return VectorBench(
        Norm(config), outputs=("o", "row"), scratch=scratch.tolist(), constants=constants
    )


def command(target, k, a, c):
    return {"target": TARGETS[target], "constant": CONSTANT, "k": k, "a": a, "c": c}


def vectors(length):
    rng = np.random.default_rng(length)
    for largest in (1, 30, 1000, 32767):
        yield rng.integers(-largest, largest + 1, length)
    yield np.zeros(length, np.int64)
    yield np.full(length, 32767)
    yield np.full(length, -32767)
    yield 32767 * (np.arange(length) == length - 1)


@pytest.mark.parametrize("name", CONFIGS)
def test_matches_golden(name):
    config = CONFIGS[name]
    rank = config.kv_lora_rank
    for scratch, epsilon in zip(vectors(config.scratch_depth), EPSILONS * 2, strict=True):
        spans = [(0, config.scratch_depth), (2, rank), (config.scratch_depth - 1, 1)]
        commands = [command("spread", k, a, 5 + a) for a, k in spans]
        commands += [command("row", k, a, 0) for a, k in spans[1:]]
        records = bench(config, scratch, epsilon).run(*commands)
        for record, item in zip(records, commands, strict=True):
            expected = rms_norm(scratch[item["a"] : item["a"] + item["k"]], epsilon).tolist()
            port, other = ("row", "o") if item["target"] == TARGETS["row"] else ("o", "row")
            key = "index" if port == "row" else "element"
            assert [write["data"] for write in record[port]] == expected
            assert [write[key] for write in record[port]] == [
                item["c"] + i for i in range(item["k"])
            ]
            assert not record[other]
            assert not any(write.get("lanes") for write in record[port])


def test_never_saturates():
    """Not even where one element makes up the whole sum: the same without the limit."""
    for epsilon in (1, 2, 3):
        for value in range(1, 32768):
            total = value * value + epsilon
            half_shift = (48 - total.bit_length()) // 2
            inverse = (32767 << 23) // math.isqrt(total << 2 * half_shift)
            shift = 23 - half_shift
            unlimited = (value * inverse + (1 << shift >> 1)) >> shift
            assert unlimited <= 32767
            if value % 97 == 0:
                assert rms_norm(np.array([value]), epsilon)[0] == unlimited


def test_duration_depends_on_the_length_only():
    lengths = [1, 2, 3, 17, SMALL.scratch_depth]
    for scratch in vectors(SMALL.scratch_depth):
        commands = [command("spread", k, 0, 0) for k in lengths]
        records = bench(SMALL, scratch, 12345).run(*commands)
        assert [record["cycles"] for record in records] == [norm_cycles(k) for k in lengths]
        assert [record["gap"] for record in records] == [1] * len(lengths)


def test_a_later_command_finds_the_unit_idle():
    scratch = np.arange(SMALL.scratch_depth)
    records = bench(SMALL, scratch, 9).run(*[command("row", 4, 3, 1)] * 3, pauses=5)
    assert [[write["data"] for write in record["row"]] for record in records] == [
        rms_norm(scratch[3:7], 9).tolist()
    ] * 3


@pytest.mark.parametrize("name", CONFIGS)
def test_converts(name):
    assert "multiplier_0__a" in convert(Norm(CONFIGS[name]))
