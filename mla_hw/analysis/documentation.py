"""Documentation page of the schemes in figures, from the same counts as ``mla-hw analyze``."""

import textwrap
from collections.abc import Iterable

from mla_hw.analysis.baselines import ANALYSIS_SCHEMES, analysis_graph
from mla_hw.analysis.breakeven import BreakEven, break_evens
from mla_hw.analysis.cache_size import BASELINES, CacheSize, cache_size, claim_lines
from mla_hw.analysis.estimate import SchemeWork, estimate
from mla_hw.analysis.machine import BF16, Machine
from mla_hw.analysis.quantity import quantity
from mla_hw.graph import MLA_SCHEMES, StepShape
from mla_hw.hardware import HardwareConfig
from mla_hw.markdown import markdown_table
from mla_hw.presets import PRESETS, find_preset

__all__ = ["schemes_markdown"]

_WIDTH = 120
_MODELS = ("deepseek-v3", "deepseek-v2-lite")
_CACHED = (1024, 16384)
_CORE = Machine.of_core(HardwareConfig(rows=8, columns=16, port_bytes=16), clock_mhz=100)
#: An accelerator of a data centre: 989 TFLOPS and 3.35 TB/s.
_LARGE = Machine(
    name="H800",
    macs_per_cycle=494_500,
    bytes_per_cycle=3350,
    clock_mhz=1000,
    storage=BF16,
)
_CORE_TEXT = (
    "an 8×16 core with a 16-byte port at 100 MHz, int8 weights and cache (balance 8 MAC per byte)"
)
_LARGE_TEXT = (
    "an accelerator with 494.5 TMAC/s and 3.35 TB/s, bf16 (NVIDIA H800; balance 148 MAC per byte)"
)

_INTRODUCTION = """\
# Schemes in figures

One decode step of one attention layer, counted from the decode graphs with RoPE, norms and softmax
included. [MLA for hardware people](mla.md) explains the schemes; `mla-hw analyze` makes the same
tables for any model, machine, context and batch.
"""
_COLUMNS = (
    "Columns: weights that the scheme reads, multiply-accumulates, bytes of weights and of cache, "
    "operations per byte, what bounds most of the step, cycles, and energy at 0.2 pJ per MAC and "
    "8 pJ per bit of memory. Cycles are bounds: [what the cycle model says](mla.md#analysis)."
)
_BREAK_EVEN = (
    "From which context on one of the four schemes or GQA takes fewer cycles than another of "
    "these, for one sequence. A pair that is missing changes no places up to the model's longest "
    "context."
)


def schemes_markdown() -> str:
    """Return the page."""
    parts = [_INTRODUCTION, "## Work and time of a step\n", _fill(_COLUMNS)]
    for machine, text in ((_CORE, _CORE_TEXT), (_LARGE, _LARGE_TEXT)):
        for model in _MODELS:
            for cached in _CACHED:
                parts += [
                    _fill(f"{model}, {cached} cached tokens, on {text}:"),
                    _step_table(model, cached, machine),
                ]
    parts += ["## Break-even contexts\n", _fill(_BREAK_EVEN)]
    for machine, text in ((_CORE, _CORE_TEXT), (_LARGE, _LARGE_TEXT)):
        parts += [_fill(f"deepseek-v3 on {text}:"), _break_even_table(machine)]
    sizes = [cache_size(name, preset.config, HardwareConfig()) for name, preset in PRESETS.items()]
    parts += [
        "## Key-value cache per token and layer\n",
        _fill(
            "Elements, bytes in bf16 and as the core stores a row (int8, a scale, padding for an "
            "8-byte port), and how many times the cache of multi-head attention (MHA) and of "
            "grouped-query attention (GQA) is larger. Both have the model's head dimensions; the "
            "last two columns set their bf16 against the core's int8. `mla-hw models --cache` "
            "prints the other ones."
        ),
        _cache_table(sizes),
        _fill("Articles claim these savings; baselines and models for which each one holds:"),
        "".join(_fill(line, "- ") for line in claim_lines(sizes)),
    ]
    return "\n".join(parts)


def _fill(text: str, bullet: str = "") -> str:
    """Break a paragraph into lines."""
    return (
        textwrap.fill(
            text,
            _WIDTH,
            initial_indent=bullet,
            subsequent_indent=" " * len(bullet),
            break_on_hyphens=False,
        )
        + "\n"
    )


def _works(model: str) -> list[SchemeWork]:
    config = find_preset(model).config
    return [SchemeWork.of(analysis_graph(config, name), name) for name in ANALYSIS_SCHEMES]


def _step_table(model: str, cached: int, machine: Machine) -> str:
    head = ("scheme", "weights", "MAC", "weight B", "cache B", "op/B", "bound", "cycles", "µJ")
    rows = []
    for work in _works(model):
        item = estimate(work, StepShape(context=cached + 1), machine)
        total = item.total
        rows.append((
            f"`{work.scheme}`",
            quantity(work.parameters),
            quantity(total.macs),
            quantity(total.weight_bytes),
            quantity(total.cache_bytes),
            quantity(total.intensity),
            item.bound,
            quantity(item.cycles),
            quantity(item.energy_per_token),
        ))
    return markdown_table(head, rows)


def _break_even_table(machine: Machine) -> str:
    config = find_preset("deepseek-v3").config
    works = [work for work in _works("deepseek-v3") if work.scheme in (*MLA_SCHEMES, "gqa")]
    points = break_evens(
        works, StepShape(context=1025), machine, most_context=config.max_position_embeddings
    )

    def line(point: BreakEven) -> tuple[str, ...]:
        return str(int(point.value)), f"`{point.better}`", f"`{point.worse}`"

    shown = sorted(
        (p for p in points if (p.variable, p.cost) == ("context", "cycles")), key=lambda p: p.value
    )
    return markdown_table(("cached tokens", "on", "overtakes"), map(line, shown))


def _cache_table(sizes: Iterable[CacheSize]) -> str:
    head = ("model", "MLA", "MHA", "GQA", "groups", "MLA bf16 B", "stored B")
    rows = [
        (
            size.model,
            *map(str, (size.mla, size.mha, size.gqa, size.groups)),
            *map(str, (BF16.cache * size.mla, size.stored_bytes)),
            *(f"{size.ratio(baseline):.2f}" for baseline in BASELINES),
        )
        for size in sizes
    ]
    return markdown_table((*head, *(f"{baseline} ×" for baseline in BASELINES)), rows)
