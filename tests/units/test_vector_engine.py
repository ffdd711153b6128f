from dataclasses import astuple

import numpy as np
import pytest

from mla_hw.cycles.output_buffer import OUTPUT_WRITE_LATENCY
from mla_hw.cycles.vector_engine import NEXT_COMMAND, vector_cycles
from mla_hw.errors import ProgramError
from mla_hw.golden.context_accumulator import CONTEXT_BITS
from mla_hw.golden.norm import rms_norm
from mla_hw.golden.normalize import normalize_context
from mla_hw.golden.pack import pack_row
from mla_hw.golden.rope import rotate_pairs
from mla_hw.golden.softmax import ShiftControl, softmax_tile
from mla_hw.hardware import CoreConfig
from mla_hw.program.instructions import INSTRUCTIONS
from rtl_gen.units.vector_engine import VectorEngine
from tests.configs import ODD, SMALL, WIDE, small_core
from tests.streams import convert
from tests.vector import TARGETS, VectorBench

CONFIGS = {"small": SMALL, "odd": ODD, "wide": WIDE}
OUTPUTS = ("o", "packed", "control")
SATURATED = ("saturated.rope", "saturated.normalize", "saturated.pack")
#: Layer constants: epsilon in two words, ratio and its shift, shift of the context.
EPSILON, RATIO, SHIFT = 5, (29000, 14), 22
CONSTANTS = [EPSILON, 0, RATIO[1] << 16 | RATIO[0], SHIFT]


def integers(rng, bits, *shape):
    return rng.integers(1 - (1 << bits), 1 << bits, shape)


class Model:
    """What the engine reads, and the golden model of its instructions."""

    def __init__(self, config: CoreConfig):
        rng = np.random.default_rng(config.rows)
        self.config = config
        self.scratch = integers(rng, 15, config.scratch_depth)
        self.table = integers(rng, 14, config.qk_rope_head_dim)
        self.scores = integers(rng, 12, config.heads, config.tile_limit)
        self.scales = rng.integers(1, 32768, (config.groups, config.tile_limit))
        size = config.context_depth << config.context_lane_bits
        self.context = integers(rng, CONTEXT_BITS - 4, size)
        self.row = np.zeros(config.kv_lora_rank + config.qk_rope_head_dim, np.int64)
        self.states = {}

    def memories(self):
        config = self.config
        maxima = [0] * (config.groups << config.lane_bits)
        for index, scores in enumerate(self.scores):
            group, row = divmod(index, config.rows)
            maxima[group << config.lane_bits | row] = int(scores.max())
        table = (self.table & 0xFFFF).reshape(-1, 2)
        return {
            "scratch": self.scratch.tolist(),
            "table": (table[:, 0] | table[:, 1] << 16).tolist(),
            "constants": CONSTANTS,
            "scores": self.scores.ravel().tolist(),
            "scales": self.scales.ravel().tolist(),
            "maxima": maxima,
            "context": self.context.tolist(),
        }

    def execute(self, name, values):
        """Return writes by output and saturations by unit."""
        written = {output: [] for output in OUTPUTS} | dict.fromkeys(SATURATED, 0)
        getattr(self, name.lower())(written, **values)
        return written

    def _store(self, written, target, elements, data, c, lanes):
        if target == TARGETS["row"]:
            self.row[c : c + len(data)] = data
        else:
            written["o"] += [
                {"lanes": lanes, "element": element, "data": value}
                for element, value in zip(elements, data, strict=True)
            ]

    def norm(self, written, *, k, a, c, target, constant):
        result = rms_norm(self.scratch[a : a + k], EPSILON).tolist()
        self._store(written, target, range(c, c + k), result, c, 0)

    def rope(self, written, *, k, n, a, c, target):
        heads = self.scratch[a : a + k * n].reshape(n, k)
        result, written["saturated.rope"] = rotate_pairs(heads, self.table[:k])
        rows, bits = self.config.rows, self.config.lane_bits
        elements = [
            c + ((h // rows * k + i) << bits) + h % rows for h in range(n) for i in range(k)
        ]
        self._store(written, target, elements, result.ravel().tolist(), c, 1)

    def softmax(self, written, *, rows, group, n, a, c, first):
        bits = self.config.lane_bits
        for row in range(rows):
            head = group << bits | row
            state = None if first else self.states[head]
            result, self.states[head], control = softmax_tile(
                self.scores[group * self.config.rows + row][:n], self.scales[group][:n], state
            )
            elements = [c + (j << bits) + row for j in range(n)]
            self._store(written, None, elements, result.tolist(), c, 1)
            written["control"].append((head, control))

    def normalize(self, written, *, k, a, b, c, constant):
        step = 1 << self.config.context_lane_bits
        context = self.context[a : a + k * step : step]
        result, written["saturated.normalize"] = normalize_context(
            context, self.states[b].total, SHIFT
        )
        elements = [c + (i << self.config.lane_bits) for i in range(k)]
        self._store(written, None, elements, result.tolist(), c, 1)

    def pack(self, written, *, k, n, constant):
        latents, key, scale, written["saturated.pack"] = pack_row(
            self.row[:k], self.row[k : k + n], *RATIO
        )
        word = self.config.columns
        for start, values in (
            (0, latents.tolist()),
            (self.config.latent_words * word, key.tolist()),
            (self.config.token_words * word, [scale & 0xFF, scale >> 8]),
        ):
            written["packed"] += [
                {"index": start + i, "data": value & 0xFF} for i, value in enumerate(values)
            ]


def program(config):
    """Every instruction with every target, some of them twice."""
    rank, dim, rows = config.kv_lora_rank, config.qk_rope_head_dim, config.rows
    row, spread, lanes = TARGETS["row"], TARGETS["spread"], TARGETS["lanes"]
    base = 1 << config.lane_bits
    norm = {"k": rank, "a": 3, "c": 0, "target": row, "constant": 0}
    rope = {"k": dim, "n": 1, "a": 3 + rank, "c": rank, "target": row}
    pack = {"k": rank, "n": dim, "constant": 2}
    softmax = {"rows": rows, "group": 1, "n": config.tile_limit, "first": 1, "c": 5 * base}
    softmax["a"] = rows * config.tile_limit
    normalize = {"k": rank, "a": 0, "b": 1 << config.lane_bits, "c": 7 * base, "constant": 3}
    return [
        ("NORM", norm),
        ("ROPE", rope),
        ("PACK", pack),
        ("NORM", {**norm, "target": spread, "k": rank - 1, "c": 11}),
        ("SOFTMAX", softmax),
        ("ROPE", {**rope, "target": lanes, "n": rows + 1, "a": 0, "c": 2 * base}),
        ("SOFTMAX", {**softmax, "first": 0}),
        ("NORMALIZE", normalize),
        ("PACK", pack),
        ("NORMALIZE", {**normalize, "c": 0}),
        ("NORM", norm),
    ]


def run(config, model, instructions, **options):
    bench = VectorBench(VectorEngine(config), outputs=OUTPUTS, pulses=SATURATED, **model.memories())
    commands = [{"opcode": INSTRUCTIONS[name].opcode, **values} for name, values in instructions]
    return bench.run(*commands, **options)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("pauses", [0, 3])
def test_matches_golden(name, pauses):
    config = CONFIGS[name]
    model = Model(config)
    instructions = program(config)
    saturated = 0
    for record, item in zip(
        run(config, model, instructions, pauses=pauses), instructions, strict=True
    ):
        expected = model.execute(*item)
        record["control"] = [
            (
                write["head"],
                ShiftControl(
                    *(write["control"][key] for key in ("first", "swap", "shift", "halve"))
                ),
            )
            for write in record["control"]
        ]
        expected["control"] = [
            (head, ShiftControl(*(int(value) for value in astuple(control))))
            for head, control in expected["control"]
        ]
        assert {key: record[key] for key in expected} == expected, item
        saturated += sum(record[key] for key in SATURATED)
    assert saturated


@pytest.mark.parametrize("name", CONFIGS)
def test_durations_and_gaps(name):
    config = CONFIGS[name]
    instructions = program(config)
    records = run(config, Model(config), instructions)
    for record, (mnemonic, values) in zip(records, instructions, strict=True):
        lengths = {key: values[key] for key in ("k", "n", "rows") if key in values}
        assert record["cycles"] == vector_cycles(mnemonic, **lengths)
        assert record["gap"] == NEXT_COMMAND


def test_the_cache_row_is_visible_in_the_cycle_after_done():
    """The row buffer needs more than one cycle: ``done`` comes so much later than the last byte."""
    instructions = [item for item in program(SMALL) if item[0] == "PACK"][:1]
    bench = VectorBench(VectorEngine(SMALL), outputs=("packed",), **Model(SMALL).memories())
    (record,) = bench.run({"opcode": INSTRUCTIONS["PACK"].opcode, **instructions[0][1]})
    assert record["cycles"] - record["last"]["packed"] + 1 >= OUTPUT_WRITE_LATENCY


def test_rejects_instructions_of_other_engines():
    with pytest.raises(ProgramError, match="has no instruction 'MATMUL'"):
        vector_cycles("MATMUL", k=3)


@pytest.mark.parametrize("kind", ["portable", "ecp5"])
def test_converts(kind):
    verilog = convert(VectorEngine(small_core(multiplier=kind)))
    assert verilog.count("MULT18X18D") == (2 if kind == "ecp5" else 0)
