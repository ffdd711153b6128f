"""Decode by the scheme ``recompute``: W_UKQ[h] = W_UK[h]^T W_UQ_nope[h] is made in every step.

Of each head, W_UQ lies in the activation buffer, inputs of the queries in the rows of the array,
and W_UK is a tile of the latent ring. C latent channels at a time, their product comes to the
product rows, one for each input, and is multiplied by c_q. All else is that of ``absorb``.
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
from mla_hw.schedule.plan import DRAINED, LOADED, Plan
from mla_hw.schedule.products import expand, load_rows
from mla_hw.schedule.projections import project, stream
from mla_hw.schedule.schedule import OPERANDS, At, Event, Loop, Step, WeightTiles

__all__ = ["recompute_steps"]

#: From array to reader: the weights of the head before are not needed any more.
_FREE = Event("weights_free")
#: The same of the pass before: its last projection has been written.
_PASSED = Event("pass_done")


def recompute_steps(plan: Plan) -> list[Step | Loop]:
    """Return the steps of one decode step."""
    body = [
        *inputs(plan),
        *down_projections(plan, tells=(_FREE,)),
        *cache_row(plan),
        *rotated_queries(plan),
    ]
    for number, heads in enumerate(plan.passes):
        body += _latent_queries(plan, heads, first_pass=number == 0)
        # q_lat of all groups but the last one has been waited for by what was made behind it.
        drained = len(plan.groups(heads)) - 1
        body += attention_steps(plan, heads, first_pass=number == 0, drained=drained)
        body += values(plan, heads, last_pass=number + 1 == len(plan.passes), passed=_PASSED)
    return [*body, *output(plan, stream_waits=(_FREE,))]


def _latent_queries(plan: Plan, heads: range, *, first_pass: bool) -> list[Step | Loop]:
    """Make q_lat[h] = (W_UK[h]^T W_UQ_nope[h]) c_q, head by head."""
    groups = plan.groups(heads)
    body: list[Step | Loop] = []
    for group, members in enumerate(groups):
        waits: tuple[Event, ...] = (_FREE,)
        if group == 0 and not first_pass:
            waits += (Event(_PASSED.name, "first"),)
        head = [
            *_factors(plan, members, waits),
            *_product(plan, group, last_group=group + 1 == len(groups)),
        ]
        body.append(Loop(body=tuple(head), count=len(members), index="row"))
    return body


def _factors(plan: Plan, members: range, waits: tuple[Event, ...]) -> list[Step | Loop]:
    """Bring W_UQ to the activation buffer, W_UK to the ring, and the constants of q_lat."""
    config = plan.config
    nope, kv, heads = config.qk_nope_head_dim, config.kv_lora_rank, config.num_attention_heads
    groups = plan.row_groups(plan.query_inputs)
    beats = nope * plan.row_beats
    behind = heads * groups * plan.group_beats(nope)
    tile = Step(
        instruction="TILE",
        phase="uk",
        what=f"W_UK, {nope} rows",
        fields={
            "base": "weights",
            "n": nope,
            "a": At(OPERANDS, behind + members[0] * beats, (beats,)),
        },
    )
    constants = (
        WeightTiles(projection="q_lat", head=head, channels=kv, steps=0) for head in members
    )
    return [
        *load_rows(plan, groups, nope, waits=waits, tells=(LOADED,), first=members[0]),
        tile,
        stream(plan, "uk", *constants, looped=True),
    ]


def _product(plan: Plan, group: int, *, last_group: bool) -> list[Step | Loop]:
    """Make C latent channels of W_UKQ and of q_lat at a time: the first, others, the last."""
    config, columns = plan.config, plan.hardware.columns
    kv = config.kv_lora_rank
    words = -(-kv // columns)

    def chunk(word: int, *, looped: bool = False) -> list[Step | Loop]:
        first, last = word == 0, word + 1 == words
        channels = kv - word * columns if last else columns
        stride = {"b_stride1": columns} if looped else {}
        made = expand(
            plan,
            "uk",
            plan.query_inputs,
            0,
            {
                "target": "row",
                "k": config.qk_nope_head_dim,
                "n": channels,
                "b": word * columns,
                "c": 0,
                **stride,
            },
            level=2 if looped else 1,
            waits=(LOADED,) if first else (),
            tells=(DRAINED,),
            release=last,
        )
        half = "vector" if plan.compressed else "projection"
        told = (Event(DRAINED.name, "last"),) if last and last_group else ()
        product = project(
            plan,
            "uk",
            "q_lat",
            channels,
            plan.query_inputs,
            "lanes",
            {
                "source": f"{half}_spread",
                "product": 1,
                "a": At(plan.query[1]),
                "c": plan.lanes(
                    "q_lat",
                    group * kv + word * columns,
                    strides=(1, columns << plan.lane_bits) if looped else (1,),
                ),
            },
            waits=(DRAINED,),
            tells=(*told, *((_FREE,) if last else ())),
        )
        return [*made, product]

    body = chunk(0)
    if words > 2:
        middle = Loop(body=tuple(chunk(1, looped=True)), count=words - 2, index="word")
        body.append(middle)
    return [*body, *(chunk(words - 1) if words > 1 else [])]
