"""Decode by the scheme ``absorb``: every step but those of attention, in program order.

Each function makes the steps of one part; :func:`absorb_steps` puts them one after the other, and
other schemes take those parts that are the same. The reader's order is that of the weights in
memory. Norm, rotation, packing and storing of the new row go on beside the projections that do not
need them.
"""

from mla_hw.schedule.attention import attention_steps
from mla_hw.schedule.plan import DRAINED, LOADED, Plan
from mla_hw.schedule.projections import project, project_whole, stream
from mla_hw.schedule.schedule import At, Event, Loop, Step, WeightTiles

__all__ = [
    "absorb_steps",
    "cache_row",
    "down_projections",
    "inputs",
    "output",
    "rotated_queries",
    "unrotated_queries",
    "values",
]


def absorb_steps(plan: Plan) -> list[Step | Loop]:
    """Return the steps of one decode step."""
    body = [*inputs(plan), *down_projections(plan), *cache_row(plan), *_queries(plan)]
    for number, heads in enumerate(plan.passes):
        body += _absorbed_queries(plan, heads, first_pass=number == 0)
        body += attention_steps(plan, heads, first_pass=number == 0)
        body += values(plan, heads, last_pass=number + 1 == len(plan.passes))
    return [*body, *output(plan)]


def inputs(plan: Plan) -> list[Step | Loop]:
    """Layer constants, the RoPE row of the position, x."""
    config, port = plan.config, plan.hardware.port_bytes
    rope_beats = -(-2 * config.qk_rope_head_dim // port)
    constants = Step(
        instruction="LOAD",
        phase="",
        what="layer constants",
        fields={
            "target": "constants",
            "base": "constants",
            "k": len(plan.constants),
            "n": -(-4 * len(plan.constants) // port),
        },
    )
    table = Step(
        instruction="LOAD",
        phase="",
        what="RoPE row of the position",
        fields={
            "target": "table",
            "base": "rope",
            "k": config.qk_rope_head_dim // 2,
            "n": rope_beats,
            "a_stride2": rope_beats,
        },
    )
    x = Step(
        instruction="LOAD",
        phase="",
        what=f"x[{config.hidden_size}]",
        fields={
            "target": "spread",
            "base": "x",
            "k": config.hidden_size,
            "n": -(-2 * config.hidden_size // port),
            "c": At("x"),
        },
        tells=(LOADED,),
    )
    return [constants, table, x]


def down_projections(plan: Plan, *, tells: tuple[Event, ...] = ()) -> list[Step | Loop]:
    """Projections of x, but those of the queries where they are not compressed.

    Parameters
    ----------
    plan : Plan
    tells : tuple of Event
        Told when the place of x is free, as soon as it is, or at once where it will not be.
    """
    config = plan.config
    # Queries that are not compressed come from x, so that it stays where it is.
    early, late = ((), tells) if plan.compressed else (tells, ())
    loaded: tuple[Event, ...] = (LOADED,)
    steps: list[Step | Loop] = []
    if config.q_lora_rank is not None:
        told = (Event("q_down"),)
        steps += project_whole(
            plan, "q_a", "q_down", config.q_lora_rank, "x", "scratch", waits=loaded, tells=told
        )
        loaded = ()
    steps += project_whole(
        plan, "kv_a", "kv_latent", config.kv_lora_rank, "x", "scratch", waits=loaded, tells=early
    )
    steps += project_whole(
        plan, "kv_a", "k_pe", config.qk_rope_head_dim, "x", "scratch", tells=(Event("kv"), *late)
    )
    if config.q_lora_rank is not None:
        steps.append(
            Step(
                instruction="NORM",
                phase="q_a",
                what="c_q = rmsnorm(q_down)",
                fields={
                    "target": "spread",
                    "constant": plan.constants["epsilon_q"],
                    "k": config.q_lora_rank,
                    "a": At("q_down"),
                    "c": At("c_q"),
                },
                waits=(Event("q_down"),),
                tells=(Event("c_q"),),
            )
        )
    return steps


def cache_row(plan: Plan) -> list[Step | Loop]:
    """Norm and rotation of latents and key; the row is packed and appended to the cache."""
    config = plan.config
    norm = Step(
        instruction="NORM",
        phase="kv_a",
        what="c_kv = rmsnorm(kv_latent)",
        fields={
            "target": "row",
            "constant": plan.constants["epsilon_kv"],
            "k": config.kv_lora_rank,
            "a": At("kv_latent"),
        },
        waits=(Event("kv"),),
    )
    rope = Step(
        instruction="ROPE",
        phase="kv_a",
        what="k_rope = rope(k_pe)",
        fields={
            "target": "row",
            "k": config.qk_rope_head_dim,
            "n": 1,
            "a": At("k_pe"),
            "c": config.kv_lora_rank,
        },
    )
    pack = Step(
        instruction="PACK",
        phase="kv_a",
        what="quantise the cache row",
        fields={
            "constant": plan.constants["key"],
            "k": config.kv_lora_rank,
            "n": config.qk_rope_head_dim,
        },
        tells=(Event("row"),),
    )
    store = Step(
        instruction="STORE",
        phase="kv_a",
        what="append the row to the cache",
        fields={
            "target": "row",
            "base": "cache",
            "n": plan.row_beats,
            "a_stride2": plan.row_beats,
        },
        waits=(Event("row"),),
        tells=(Event("stored"),),
    )
    return [norm, rope, pack, store]


def _queries(plan: Plan) -> list[Step | Loop]:
    """Make all heads' queries; their RoPE part is rotated beside the projection of the other."""
    config = plan.config
    phase, source = plan.query
    return [
        *rotated_queries(plan),
        *project_whole(
            plan,
            phase,
            "q_nope",
            config.num_attention_heads * config.qk_nope_head_dim,
            source,
            "spread",
            tells=(DRAINED,),
        ),
    ]


def rotated_queries(plan: Plan) -> list[Step | Loop]:
    """Make the RoPE part of all heads' queries, and rotate it."""
    config = plan.config
    rope, heads = config.qk_rope_head_dim, config.num_attention_heads
    rotate = Step(
        instruction="ROPE",
        phase=plan.query[0],
        what="q_rope = rope(q_pe)",
        fields={"target": "lanes", "k": rope, "n": heads, "a": At("q_pe"), "c": At("q_rope")},
        waits=(Event("q_pe"),),
        tells=(Event("q_rope"),),
    )
    return [*unrotated_queries(plan), rotate]


def unrotated_queries(plan: Plan) -> list[Step]:
    """Make the RoPE part of all heads' queries."""
    phase, source = plan.query
    channels = plan.config.num_attention_heads * plan.config.qk_rope_head_dim
    waits = (Event("c_q"),) if plan.compressed else ()
    return project_whole(
        plan, phase, "q_pe", channels, source, "scratch", waits=waits, tells=(Event("q_pe"),)
    )


def _absorbed_queries(plan: Plan, heads: range, *, first_pass: bool) -> list[Step | Loop]:
    """Make q_lat[h] = W_UK[h]^T q_nope[h], head by head."""
    nope, kv = plan.config.qk_nope_head_dim, plan.config.kv_lora_rank
    tiles = (WeightTiles(projection="q_lat", head=head, channels=kv, steps=nope) for head in heads)
    body: list[Step | Loop] = [stream(plan, "uk", *tiles)]
    groups = plan.groups(heads)
    for group, members in enumerate(groups):
        first, last = first_pass and group == 0, group + 1 == len(groups)
        step = project(
            plan,
            "uk",
            "q_lat",
            kv,
            nope,
            {
                "source": "projection_spread",
                "target": "lanes",
                "a": At("q_nope", members[0] * nope, (nope,)),
                "c": plan.lanes("q_lat", group * kv, strides=(1,)),
            },
            waits=(Event(DRAINED.name, "first"),) if first else (),
            tells=(Event(DRAINED.name, "last"),) if last else (),
        )
        body.append(Loop(body=(step,), count=len(members), index="row"))
    return body


def values(
    plan: Plan, heads: range, *, last_pass: bool, passed: Event | None = None
) -> list[Step | Loop]:
    """Make ctx[h] = context / sum, then o[h] = W_UV[h] ctx[h], head by head.

    Parameters
    ----------
    plan : Plan
    heads : range
        Of the pass.
    last_pass : bool
    passed : Event, optional
        What ends the pass where another one follows.
    """
    kv, v_dim = plan.config.kv_lora_rank, plan.config.v_head_dim
    rows, lanes = int(plan.hardware.rows), int(plan.hardware.lanes)
    lane_bits = (lanes - 1).bit_length()
    tiles = (WeightTiles(projection="o", head=head, channels=v_dim, steps=kv) for head in heads)
    body: list[Step | Loop] = [stream(plan, "uv", *tiles)]
    for start in range(0, len(heads), lanes):
        done: tuple[Event, ...] = ()
        if start + lanes >= len(heads) and (ends := DRAINED if last_pass else passed):
            done = (Event(ends.name, "last"),)
        members = heads[start : start + lanes]
        group, row = divmod(start, rows)
        ctx = plan.lanes("ctx", group * kv, row, strides=(1,))
        normalize = Step(
            instruction="NORMALIZE",
            phase="uv",
            what=f"ctx of heads {members[0]} … {members[-1]}",
            fields={
                "constant": plan.constants["context"],
                "k": kv,
                "a": start // lanes * kv << lane_bits,
                "a_stride0": 1,
                "b": (group << plan.lane_bits) + row,
                "b_stride0": 1,
                "c": ctx,
            },
            waits=(Event("context", "first"),) if start == 0 else (),
            tells=(Event("ctx"),),
        )
        product = project(
            plan,
            "uv",
            "o",
            v_dim,
            kv,
            {
                "source": "vector_lanes",
                "target": "spread",
                "a": ctx,
                "c": At("o", members[0] * v_dim, (v_dim,)),
            },
            waits=(Event("ctx"),),
            tells=done,
        )
        body.append(Loop(body=(normalize, product), count=len(members), index="row"))
    return body


def output(
    plan: Plan, waits: Event = DRAINED, stream_waits: tuple[Event, ...] = ()
) -> list[Step | Loop]:
    """Project the heads' outputs to y and store it."""
    hidden = plan.config.hidden_size
    store = Step(
        instruction="STORE",
        phase="o",
        what=f"y[{hidden}]",
        fields={
            "target": "output",
            "base": "y",
            "n": -(-2 * hidden // plan.hardware.port_bytes),
        },
        waits=(Event("y"),),
    )
    told = (Event("y"),)
    return [
        *project_whole(
            plan,
            "o",
            "y",
            hidden,
            "o",
            "output",
            waits=(waits,),
            tells=told,
            stream_waits=stream_waits,
        ),
        store,
    ]
