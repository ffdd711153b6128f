"""Decode by the scheme ``reuse``: queries reach the latents by a precomputed product.

W_UKQ[h] = W_UK[h]^T W_UQ_nope[h] lies in memory like any other weight and is read in every step, so
neither q_nope nor W_UK[h] occurs. All else is that of ``absorb``.
"""

from mla_hw.schedule.absorb import (
    cache_row,
    down_projections,
    inputs,
    output,
    rotated_queries,
    values,
)
from mla_hw.schedule.attention import attention_steps
from mla_hw.schedule.plan import DRAINED, Plan
from mla_hw.schedule.projections import project, stream
from mla_hw.schedule.schedule import At, Event, Loop, Step, WeightTiles

__all__ = ["reuse_steps"]


def reuse_steps(plan: Plan) -> list[Step | Loop]:
    """Return the steps of one decode step."""
    body = [*inputs(plan), *down_projections(plan), *cache_row(plan), *rotated_queries(plan)]
    for number, heads in enumerate(plan.passes):
        body += _latent_queries(plan, heads)
        body += attention_steps(plan, heads, first_pass=number == 0)
        body += values(plan, heads, last_pass=number + 1 == len(plan.passes))
    return [*body, *output(plan)]


def _latent_queries(plan: Plan, heads: range) -> list[Step | Loop]:
    """Make q_lat[h] = W_UKQ[h] c_q, head by head; what is multiplied is there since q_pe."""
    kv, steps = plan.config.kv_lora_rank, plan.query_inputs
    half = "vector" if plan.compressed else "projection"
    tiles = (WeightTiles(projection="q_lat", head=head, channels=kv, steps=steps) for head in heads)
    body: list[Step | Loop] = [stream(plan, "uk", *tiles)]
    groups = plan.groups(heads)
    for group, members in enumerate(groups):
        step = project(
            plan,
            "uk",
            "q_lat",
            kv,
            steps,
            "lanes",
            {
                "source": f"{half}_spread",
                "a": At(plan.query[1]),
                "c": plan.lanes("q_lat", group * kv, strides=(1,)),
            },
            tells=(Event(DRAINED.name, "last"),) if group + 1 == len(groups) else (),
        )
        body.append(Loop(body=(step,), count=len(members), index="row"))
    return body
