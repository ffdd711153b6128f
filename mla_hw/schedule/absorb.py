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
    body = [*inputs(plan), *down_projections(plan), *_new_rows(plan)]
    for number, heads in enumerate(plan.passes):
        body += _absorbed_queries(plan, heads, first_pass=number == 0)
        for row in range(plan.query_rows):
            body += attention_steps(plan, heads, row, first_pass=number == 0)
            if row + 1 < plan.query_rows:
                body += _contexts(plan, heads, row)
        body += values(plan, heads, last_pass=number + 1 == len(plan.passes))
    return [*body, *output(plan)]


def inputs(plan: Plan) -> list[Step | Loop]:
    """Layer constants, the RoPE row of each query row's position, x."""
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
    tables = [
        Step(
            instruction="LOAD",
            phase="",
            what=f"RoPE row of the position{plan.of_row(row)}",
            fields={
                "target": "table",
                "base": "rope",
                "k": config.qk_rope_head_dim // 2,
                "query_row": row,
                "n": rope_beats,
                "a_stride2": rope_beats,
                "c": plan.table_entry(row),
            },
        )
        for row in range(plan.query_rows)
    ]
    x = Step(
        instruction="LOAD",
        phase="",
        what=f"x[{config.hidden_size}]",
        fields={
            "target": "spread",
            "base": "x",
            "k": config.hidden_size,
            "n": -(-2 * plan.x_elements // port),
            "c": At("x", side_by_side=True),
        },
        tells=(LOADED,),
    )
    return [constants, *tables, x]


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
        last = plan.query_rows - 1
        steps += [
            Step(
                instruction="NORM",
                phase="q_a",
                what=f"c_q = rmsnorm(q_down){plan.of_row(row)}",
                fields={
                    "target": "spread",
                    "constant": plan.constants["epsilon_q"],
                    "k": config.q_lora_rank,
                    "a": At("q_down", row * config.q_lora_rank),
                    "c": plan.spread("c_q", 0, row),
                },
                waits=(Event("q_down"),) if row == 0 else (),
                tells=(Event("c_q"),) if row == last else (),
            )
            for row in range(plan.query_rows)
        ]
    return steps


def _new_rows(plan: Plan) -> list[Step | Loop]:
    """Append the rows of all query rows to their caches and make all queries.

    The vector engine works beside the projections. Of several rows it has more to do than waits in
    its queue, behind which the dispatcher would hold the projections back: they go first.
    """
    rows = range(plan.query_rows)
    appended = [step for row in rows for step in cache_row(plan, row)]
    rotations = [_rotation(plan, row) for row in rows]
    key, other = _query_projections(plan)
    if plan.query_rows == 1:
        return [*appended, *key, *rotations, *other]
    return [*key, *other, *appended, *rotations]


def cache_row(plan: Plan, row: int = 0) -> list[Step]:
    """Norm and rotation of latents and key; the row is packed and appended to the cache."""
    config, last = plan.config, row + 1 == plan.query_rows
    norm = Step(
        instruction="NORM",
        phase="kv_a",
        what=f"c_kv = rmsnorm(kv_latent){plan.of_row(row)}",
        fields={
            "target": "row",
            "constant": plan.constants["epsilon_kv"],
            "k": config.kv_lora_rank,
            "a": At("kv_latent", row * config.kv_lora_rank),
        },
        waits=(Event("kv"),) if row == 0 else (),
    )
    rope = Step(
        instruction="ROPE",
        phase="kv_a",
        what=f"k_rope = rope(k_pe){plan.of_row(row)}",
        fields={
            "target": "row",
            "k": config.qk_rope_head_dim,
            "n": 1,
            "a": At("k_pe", row * config.qk_rope_head_dim),
            "b": plan.table_entry(row),
            "c": config.kv_lora_rank,
        },
    )
    pack = Step(
        instruction="PACK",
        phase="kv_a",
        what=f"quantise the cache row{plan.of_row(row)}",
        fields={
            "constant": plan.constants["key"],
            "k": config.kv_lora_rank,
            "n": config.qk_rope_head_dim,
        },
        # The row before has left the buffer.
        waits=(Event("sent"),) if row else (),
        tells=(Event("row"),),
    )
    store = Step(
        instruction="STORE",
        phase="kv_a",
        what=f"append the row to the cache{plan.of_row(row)}",
        fields={
            "target": "row",
            "base": "cache",
            "query_row": row,
            "n": plan.row_beats,
            "a_stride2": plan.row_beats,
        },
        waits=(Event("row"),),
        tells=(Event("stored"),) if last else (Event("sent"),),
    )
    return [norm, rope, pack, store]


def _query_projections(plan: Plan) -> tuple[list[Step], list[Step]]:
    """Make all heads' queries: what is rotated, and the other part."""
    config = plan.config
    phase, source = plan.query
    nope = config.num_attention_heads * config.qk_nope_head_dim
    return (
        unrotated_queries(plan),
        project_whole(plan, phase, "q_nope", nope, source, "spread", tells=(DRAINED,)),
    )


def _rotation(plan: Plan, row: int) -> Step:
    """Rotate the RoPE part of a row's queries."""
    rope, heads = plan.config.qk_rope_head_dim, plan.config.num_attention_heads
    return Step(
        instruction="ROPE",
        phase=plan.query[0],
        what=f"q_rope = rope(q_pe){plan.of_row(row)}",
        fields={
            "target": "lanes",
            "k": rope,
            "n": heads,
            "a": At("q_pe", row * heads * rope),
            "b": plan.table_entry(row),
            "c": plan.lanes("q_rope", row * plan.all_groups * rope),
        },
        waits=(Event("q_pe"),) if row == 0 else (),
        # Those of other rows come before the softmax of row 0, which their scores wait for.
        tells=(Event("q_rope"),) if row == 0 else (),
    )


def rotated_queries(plan: Plan) -> list[Step | Loop]:
    """Make the RoPE part of all heads' queries, and rotate it."""
    return [*unrotated_queries(plan), _rotation(plan, 0)]


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
            "lanes",
            {
                "source": "projection_spread",
                "a": At("q_nope", members[0] * nope, (nope,)),
                "c": plan.lanes("q_lat", group * kv, strides=(1,)),
            },
            waits=(Event(DRAINED.name, "first"),) if first else (),
            tells=(Event(DRAINED.name, "last"),) if last else (),
        )
        body.append(Loop(body=(step,), count=len(members), index="row"))
    return body


def _contexts(plan: Plan, heads: range, row: int) -> list[Step | Loop]:
    """Make ctx[h] = context / sum of a query row, before the attention of the next one."""
    lanes = int(plan.hardware.lanes)
    return [
        Loop(
            body=(_normalize(plan, heads, start, row),),
            count=len(heads[start : start + lanes]),
            index="row",
        )
        for start in range(0, len(heads), lanes)
    ]


def _normalize(plan: Plan, heads: range, start: int, row: int, *, tells: bool = False) -> Step:
    """Divide the sums of the heads from ``start`` on, which have a lane each."""
    kv, lanes = plan.config.kv_lora_rank, int(plan.hardware.lanes)
    members = heads[start : start + lanes]
    group, lane = divmod(start, int(plan.hardware.rows))
    return Step(
        instruction="NORMALIZE",
        phase="uv",
        what=f"ctx of heads {members[0]} … {members[-1]}{plan.of_row(row)}",
        fields={
            "constant": plan.constants["context"],
            "k": kv,
            "a": start // lanes * kv << (lanes - 1).bit_length(),
            "a_stride0": 1,
            "b": (group << plan.lane_bits) + lane,
            "b_stride0": 1,
            "c": _ctx(plan, start, row),
        },
        waits=(Event("context", "first"),) if start == 0 else (),
        tells=(Event("ctx"),) if tells else (),
    )


def _ctx(plan: Plan, start: int, row: int) -> At:
    """Return the ctx of the heads from ``start`` on: a lane each, or spread by query row."""
    kv = plan.config.kv_lora_rank
    if plan.query_rows > 1:
        return plan.spread("ctx", start * kv, row, strides=(kv,))
    group, lane = divmod(start, int(plan.hardware.rows))
    return plan.lanes("ctx", group * kv, lane, strides=(1,))


def values(
    plan: Plan, heads: range, *, last_pass: bool, passed: Event | None = None
) -> list[Step | Loop]:
    """Make ctx[h] = context / sum of the last row, then o[h] = W_UV[h] ctx[h], head by head.

    Parameters
    ----------
    plan : Plan
    heads : range
        Of the pass.
    last_pass : bool
    passed : Event, optional
        What ends the pass where another one follows.
    """
    kv, v_dim, lanes = plan.config.kv_lora_rank, plan.config.v_head_dim, int(plan.hardware.lanes)
    tiles = (WeightTiles(projection="o", head=head, channels=v_dim, steps=kv) for head in heads)
    body: list[Step | Loop] = [stream(plan, "uv", *tiles)]
    for start in range(0, len(heads), lanes):
        done: tuple[Event, ...] = ()
        if start + lanes >= len(heads) and (ends := DRAINED if last_pass else passed):
            done = (Event(ends.name, "last"),)
        members = heads[start : start + lanes]
        normalize = _normalize(plan, heads, start, plan.query_rows - 1, tells=True)
        product = project(
            plan,
            "uv",
            "o",
            v_dim,
            kv,
            "spread",
            {
                "source": "vector_lanes" if plan.query_rows == 1 else "vector_spread",
                "a": _ctx(plan, start, 0),
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
            "n": plan.query_rows * plan.y_beats,
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
