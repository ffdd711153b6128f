"""Decode by the scheme ``naive``: keys and values are made of the cached latents in every step.

The heads come one after the other. Of each, the weights of keys and values lie in the activation
buffer, as many rows of the array as there are at a time; the latents of a tile pass by, token by
token in the columns, and what comes out are the tile's product rows: the value's channels, then
those of the key. Scores and context sums are of these and take one row of the array. The RoPE part
of the keys and the scale of each token stay where they are in the latent ring.
"""

from mla_hw.schedule.absorb import cache_row, down_projections, inputs, output, unrotated_queries
from mla_hw.schedule.plan import DRAINED, LOADED, Plan
from mla_hw.schedule.products import expand, load_rows
from mla_hw.schedule.projections import project, stream
from mla_hw.schedule.schedule import At, Event, Loop, Step, WeightTiles

__all__ = ["naive_steps"]

#: From array to reader: the weights of the head before are not needed any more.
_FREE = Event("weights_free")


def naive_steps(plan: Plan) -> list[Step | Loop]:
    """Return the steps of one decode step."""
    config = plan.config
    groups = plan.row_groups(config.v_head_dim) + plan.row_groups(config.qk_nope_head_dim)
    weights = load_rows(
        plan,
        groups,
        config.kv_lora_rank,
        waits=(_FREE,),
        tells=(LOADED,),
    )
    head = [*weights, *_query(plan), _tiles(plan), _normalize(plan)]
    return [
        *inputs(plan),
        *down_projections(plan, tells=(_FREE,)),
        *cache_row(plan),
        *unrotated_queries(plan),
        Loop(body=tuple(head), count=config.num_attention_heads, index="head"),
        *output(plan, Event("o"), (_FREE,)),
    ]


def _query(plan: Plan) -> list[Step | Loop]:
    """Make and rotate a head's query, all of it in lane 0."""
    config = plan.config
    nope, rope = config.qk_nope_head_dim, config.qk_rope_head_dim
    phase, source = plan.query
    tiles = (
        WeightTiles(projection="q_nope", head=head, channels=nope, steps=plan.query_inputs)
        for head in range(int(config.num_attention_heads))
    )
    rotate = Step(
        instruction="ROPE",
        phase=phase,
        what="q_rope = rope(q_pe) of the head",
        fields={
            "target": "lanes",
            "k": rope,
            "n": 1,
            "a": At("q_pe", 0, (rope,)),
            "c": plan.lanes("q_rope", 0),
        },
        waits=(Event("q_pe", "first"),),
        tells=(Event("q_rope"),),
    )
    half = "vector" if plan.compressed else "projection"
    product = project(
        plan,
        phase,
        "q_nope",
        nope,
        plan.query_inputs,
        "lanes",
        {
            "source": f"{half}_spread",
            "a": At(source),
            "c": plan.lanes("q_nope", 0),
        },
        # Not for itself: it is the array's last instruction ahead of the tiles.
        waits=(LOADED, Event("q_rope")),
    )
    return [stream(plan, phase, *tiles, looped=True), rotate, product]


def _tiles(plan: Plan) -> Loop:
    """Go through the cached tokens: values and keys, scores, probabilities, context sums."""
    config, beats = plan.config, plan.row_beats * plan.hardware.tile_tokens
    values, keys = config.v_head_dim, config.qk_nope_head_dim
    tile = Step(
        instruction="TILE",
        phase="attention",
        what="cache rows of the tile",
        fields={"base": "cache", "tile_n": 1, "a_stride1": beats},
        waits=(Event("stored", "first"),),
    )
    score = Step(
        instruction="MATMUL",
        phase="attention",
        what="scores of the head",
        fields={
            "mode": "score",
            "constant": plan.constants["score"],
            "rows": 1,
            "tile_n": 1,
            "source": "projection_lanes",
            "a": plan.lanes("q_nope", 0),
            "b": plan.lanes("q_rope", 0),
        },
        waits=(DRAINED,),
        tells=(Event("scores"),),
    )
    softmax = Step(
        instruction="SOFTMAX",
        phase="attention",
        what="probabilities of the head",
        fields={"tile_n": 1, "rows": 1, "c": plan.lanes("P", 0)},
        waits=(Event("scores"),),
        tells=(Event("probabilities"),),
    )
    context = Step(
        instruction="MATMUL",
        phase="attention",
        what="context of the head",
        fields={
            "mode": "context",
            "source": "vector_lanes",
            "tile_k": 1,
            "rows": 1,
            "n": values,
            "a": plan.lanes("P", 0),
            "release": 1,
        },
        waits=(Event("probabilities"),),
        tells=(Event("context", "last"),),
    )
    fields: dict[str, int | str | At] = {
        "target": "lanes",
        "k": config.kv_lora_rank,
        "tile_n": 1,
    }
    first = plan.row_groups(values)
    made = (DRAINED, Event(_FREE.name, "last"))
    body = (
        tile,
        *expand(plan, "uv", values, 0, {**fields, "c": 0}, level=2),
        *expand(plan, "uk", keys, first, {**fields, "c": values}, level=2, tells=made),
        *(score, softmax, context),
    )
    return Loop(body=body, count=None, index="tile")


def _normalize(plan: Plan) -> Step:
    v_dim = plan.config.v_head_dim
    return Step(
        instruction="NORMALIZE",
        phase="attention",
        what="o of the head",
        fields={
            "constant": plan.constants["context"],
            "k": v_dim,
            "c": plan.lanes("o", 0, strides=(v_dim << plan.lane_bits,)),
        },
        waits=(Event("context"),),
        tells=(Event("o", "last"),),
    )
