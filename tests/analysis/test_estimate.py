"""Estimates against hand-made sums, and against the cycle model."""

import pytest

from mla_hw.analysis.baselines import ANALYSIS_SCHEMES, analysis_graph
from mla_hw.analysis.estimate import SchemeWork, estimate
from mla_hw.analysis.machine import BF16, Machine
from mla_hw.cli.model_prediction import predict_steps
from mla_hw.graph import MLA_SCHEMES, StepShape
from mla_hw.hardware import HardwareConfig
from mla_hw.presets import PRESETS

V2_LITE = PRESETS["deepseek-v2-lite"].config
V3 = PRESETS["deepseek-v3"].config
BED = HardwareConfig(rows=8, columns=16, port_bytes=16)
MACHINE = Machine.of_core(BED, clock_mhz=80)


def work(config, scheme="absorb", **options):
    return SchemeWork.of(analysis_graph(config, scheme), scheme, **options)


def test_bytes_and_cycles_of_each_phase():
    """DeepSeek-V2-Lite on the 8×16 core with 1024 earlier tokens, written out."""
    item = estimate(work(V2_LITE), StepShape(context=1025), MACHINE)
    phases = {phase.phase: phase for phase in item.phases}
    q, attention = phases["q"], phases["attention"]
    assert q.weight_bytes == 2048 * 3072 + 2 * 3072
    # The hidden state goes with the first phase.
    assert q.activation_bytes == 2 * 2048
    assert q.cycles == q.memory_cycles == (q.weight_bytes + q.activation_bytes) / 16
    # One token keeps one of eight rows busy.
    assert q.array_cycles == q.macs / 16
    assert attention.macs == 16 * (512 + 512 + 64) * 1025
    assert attention.cache_bytes == 1025 * (576 + 2)
    assert attention.cycles == attention.array_cycles == attention.macs / 128
    assert (q.bound, attention.bound, item.bound) == ("memory", "array", "memory")
    # The own row is written with its scale.
    assert phases["kv_a"].cache_bytes == 576 + 2
    assert item.cycles == sum(phase.cycles for phase in item.phases)
    assert item.tokens_per_second == pytest.approx(80e6 / item.cycles)
    total = item.total
    assert item.energy_per_token == pytest.approx((0.2 * total.macs + 8 * 8 * total.bytes) * 1e-6)
    assert item.energy_per_token == pytest.approx(sum(map(item.energy, item.phases)))
    assert total.intensity == (total.macs + total.vector_operations) / total.bytes


def test_a_batch_shares_weights_but_not_caches():
    one, eight, nine = (
        estimate(work(V2_LITE), StepShape(context=65, batch=batch), MACHINE).total
        for batch in (1, 8, 9)
    )
    assert eight.weight_bytes == one.weight_bytes
    assert eight.cache_bytes == 8 * one.cache_bytes
    assert eight.macs == 8 * one.macs
    # Beyond the rows of the array the weights are streamed again.
    assert nine.weight_bytes == 2 * one.weight_bytes


def test_a_product_of_weights_stays_on_chip():
    """However many tokens it is used for, it is made once, of weights that are read once."""
    uk = {}
    for batch in (1, 64):
        item = estimate(work(V3, "recompute"), StepShape(context=65, batch=batch), MACHINE)
        uk[batch] = next(phase for phase in item.phases if phase.phase == "uk")
    constants = 2 * 128 * 512
    assert uk[1].weight_bytes - constants == uk[64].weight_bytes - 8 * constants
    assert uk[64].macs - uk[1].macs == 63 * 128 * 512 * 1536


def test_keys_of_multi_head_attention_share_no_rows():
    shape = StepShape(context=1025)
    for scheme, share in {"absorb": 1, "mha": 1 / 8, "gqa": 2 / 8}.items():
        phases = estimate(work(V2_LITE, scheme), shape, MACHINE).phases
        attention = next(phase for phase in phases if phase.phase == "attention")
        assert attention.array_cycles == pytest.approx(attention.macs / 128 / share), scheme


def test_formats_and_operations_that_are_left_out():
    machine = Machine(name="m", macs_per_cycle=1, bytes_per_cycle=1, clock_mhz=1, storage=BF16)
    item = estimate(work(V3, vector_operations=False), StepShape(context=9), machine)
    assert item.total.vector_operations == 0
    assert item.total.weight_bytes == 2 * 187_105_280
    assert item.total.cache_bytes == 2 * 576 * (9 + 1)


@pytest.mark.parametrize("context", [128, 1024, 4096])
def test_absorb_against_the_cycle_model(context):
    """The bar is 5 %, and every cycle of the difference has a reason."""
    (prediction,) = predict_steps(V2_LITE, BED, None, ["absorb"], [context], lambda _: None)
    item = estimate(work(V2_LITE), StepShape(context=context + 1), MACHINE)
    assert abs(item.cycles / prediction.total - 1) < 0.05
    for phase in item.phases:
        assert sum(prediction.reasons[phase.phase].values()) == prediction.cycles[phase.phase]
    assert prediction.reasons["attention"]["steps"] >= item.phases[3].array_cycles - 1


@pytest.mark.parametrize("scheme", MLA_SCHEMES)
def test_other_schemes_against_the_cycle_model(scheme):
    """Programs of a small model spend more on latencies, the more the more products they make."""
    config = PRESETS["small-v2lite"].config
    hardware = HardwareConfig()
    (prediction,) = predict_steps(config, hardware, None, [scheme], [95], lambda _: None)
    machine = Machine.of_core(hardware, clock_mhz=80)
    item = estimate(work(config, scheme), StepShape(context=96), machine)
    assert -0.20 < item.cycles / prediction.total - 1 < 0


def test_a_scheme_without_room_says_what_is_missing():
    (prediction,) = predict_steps(V3, BED, None, ["naive"], [3], lambda _: None)
    assert prediction.cycles == {}
    assert "activation buffer: needs" in prediction.missing


def test_every_scheme_has_an_estimate():
    for scheme in ANALYSIS_SCHEMES:
        item = estimate(work(V3, scheme), StepShape(context=8, tokens=8), MACHINE)
        assert item.cycles > 0
        assert item.work.scheme == scheme
