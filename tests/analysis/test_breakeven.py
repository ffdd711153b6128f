"""Break-even points against closed forms and against the costs on both sides."""

from dataclasses import replace
from itertools import combinations

import pytest

from mla_hw.analysis.baselines import ANALYSIS_SCHEMES, analysis_graph
from mla_hw.analysis.breakeven import MOST_BATCH, break_evens, crossings
from mla_hw.analysis.estimate import SchemeWork, estimate
from mla_hw.analysis.machine import ELEMENTS, Machine
from mla_hw.graph import StepShape
from mla_hw.hardware import HardwareConfig
from mla_hw.presets import PRESETS

V3 = PRESETS["deepseek-v3"].config
MACHINE = Machine(
    name="m", macs_per_cycle=156_000, bytes_per_cycle=1000, clock_mhz=1000, storage=ELEMENTS
)
CORE = Machine.of_core(HardwareConfig(rows=8, columns=16, port_bytes=16), clock_mhz=80)


def find(machine=MACHINE, shape=None, schemes=ANALYSIS_SCHEMES, **options):
    works = [SchemeWork.of(analysis_graph(V3, scheme, **options), scheme) for scheme in schemes]
    shape = shape or StepShape(context=1025)
    return works, break_evens(works, shape, machine, most_context=163840)


def test_crossings_of_a_polynomial():
    found = crossings(lambda x: (x - 1.25) * (x - 7.5), [0, 1, 2, 3, 10])
    assert [point for point, _ in found] == pytest.approx([1.25, 7.5], rel=1e-12)
    assert [above > 0 for _, above in found] == [False, True]
    assert crossings(lambda x: x - 4.5, [1, 2, 10], whole=True) == [(5, 0.5)]
    assert crossings(lambda x: x + 1, [0, 1]) == []
    # A zero at a point that is scanned is a crossing once.
    assert len(crossings(lambda x: x - 2, [1, 2, 3])) == 1


def test_balance_and_energy_at_which_recompute_overtakes_reuse():
    """192 MAC per element in arXiv 2506.02523's counting, at any context."""
    for context in (2, 1025, 8193):
        _, points = find(
            shape=StepShape(context=context), schemes=("recompute", "reuse"), rope=False
        )
        values = {(p.variable, p.cost): p for p in points if p.better == "recompute"}
        for key in (("balance", "cycles, no overlap"), ("energy ratio", "energy")):
            assert values[key].value == pytest.approx(192, rel=1e-12)
            assert values[key].closed_form == pytest.approx(192, rel=1e-12)


SHAPES = {
    "decode": StepShape(context=1025),
    "batch": StepShape(context=1025, batch=4),
    "prefill": StepShape(context=1024, tokens=1024),
}


@pytest.mark.parametrize("machine", [MACHINE, CORE], ids=["any", "core"])
@pytest.mark.parametrize("name", SHAPES)
def test_search_and_closed_form_agree(machine, name):
    """They have nothing in common but the counts."""
    _, points = find(machine, SHAPES[name])
    with_form = [point for point in points if point.closed_form is not None]
    variables = {point.variable for point in with_form}
    assert {"balance", "energy ratio"} <= variables
    assert ("context" in variables) == (name != "prefill")
    if name == "decode":
        assert ("batch" in variables) == (machine is MACHINE)
    for point in with_form:
        if point.variable in {"context", "batch"}:
            # The first whole number from which on it holds.
            assert point.value - 1 <= point.closed_form <= point.value
        else:
            assert point.closed_form == pytest.approx(point.value, rel=1e-9)


@pytest.mark.parametrize("model", ["deepseek-v3", "deepseek-v2-lite"])
def test_every_step_of_the_staircase_is_found(model):
    """Brute force over all batches of an array, whose weights are streamed again and again."""
    config = PRESETS[model].config
    works = [SchemeWork.of(analysis_graph(config, name), name) for name in ANALYSIS_SCHEMES]
    shape = StepShape(context=1025)
    costs = {
        work.scheme: [
            estimate(work, replace(shape, batch=batch), CORE).cycles
            for batch in range(1, MOST_BATCH + 1)
        ]
        for work in works
    }
    found = {}
    for point in break_evens(works, shape, CORE, most_context=2):
        if (point.variable, point.cost) == ("batch", "cycles"):
            pair = frozenset((point.better, point.worse))
            found.setdefault(pair, []).append((point.value, point.better))
    wanted = {}
    for a, b in combinations(costs, 2):
        before = None
        for batch, (x, y) in enumerate(zip(costs[a], costs[b], strict=True), 1):
            if x == y:
                continue
            better = a if x < y else b
            if before not in (None, better):
                wanted.setdefault(frozenset((a, b)), []).append((batch, better))
            before = better
    assert found == wanted
    assert sum(map(len, wanted.values())) > 10


def test_a_context_is_in_cached_tokens():
    works, points = find(CORE)
    by_name = {work.scheme: work for work in works}
    checked = 0
    for point in points:
        if (point.variable, point.cost) != ("context", "cycles"):
            continue
        before, at = (
            [
                estimate(by_name[name], StepShape(context=cached + 1), CORE).cycles
                for name in (point.better, point.worse)
            ]
            for cached in (int(point.value) - 1, int(point.value))
        )
        assert at[0] < at[1]
        assert before[0] >= before[1]
        checked += 1
    assert checked > 5


def test_prefill_varies_tokens_with_the_context():
    works, points = find(shape=StepShape(context=100, tokens=100), schemes=("absorb", "mha"))
    (point,) = [p for p in points if (p.variable, p.cost) == ("context", "cycles")]
    assert point.better == "mha"
    tokens = int(point.value)
    shape = StepShape(context=tokens, tokens=tokens)
    costs = {work.scheme: estimate(work, shape, MACHINE).cycles for work in works}
    assert costs[point.better] < costs[point.worse]
