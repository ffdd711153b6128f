"""Attention over the cached tokens, tile by tile."""

from mla_hw.schedule.plan import DRAINED, Plan
from mla_hw.schedule.schedule import At, Event, Loop, Step

__all__ = ["attention_steps"]


def attention_steps(
    plan: Plan, heads: range, row: int = 0, *, first_pass: bool, drained: int = 0
) -> list[Step | Loop]:
    """Return the loop over tiles for the heads of a pass and a query row.

    Scores of the next group come before the context of this one, so that the softmax is hidden.
    What the attention of row 0 waits for is there for all rows.

    Parameters
    ----------
    plan : Plan
    heads : range
    row : int
    first_pass : bool
    drained : int
        First group whose queries may not have left the array.
    """
    groups = plan.groups(heads)

    def score(group: int) -> Step:
        waits: tuple[Event, ...] = ()
        if row == 0 and group == drained:
            waits += (Event(DRAINED.name, "first"),)
        if row == 0 and group == 0 and first_pass:
            waits += (Event("q_rope", "first"),)
        return _score(plan, group, groups[group], row, waits=waits)

    body = [_tile(plan, row, first=first_pass and row == 0), score(0)]
    for group, members in enumerate(groups):
        last = group + 1 == len(groups)
        if not last:
            body.append(score(group + 1))
        body += [_softmax(plan, group, members), _context(plan, group, members, last=last)]
    return [Loop(body=tuple(body), count=None, index="tile", row=row)]


def _tile(plan: Plan, row: int, *, first: bool) -> Step:
    tile_beats = plan.row_beats * plan.hardware.tile_tokens
    return Step(
        instruction="TILE",
        phase="attention",
        what=f"cache rows of the tile{plan.of_row(row)}",
        fields={"base": "cache", "tile_n": 1, "query_row": row, "a_stride0": tile_beats},
        waits=(Event("stored", "first"),) if first else (),
    )


def _score(
    plan: Plan, group: int, members: range, row: int, *, waits: tuple[Event, ...] = ()
) -> Step:
    config, rows = plan.config, plan.hardware.rows
    lat_group = row * plan.pass_groups + group
    rope_group = row * plan.all_groups + members[0] // int(rows)
    return Step(
        instruction="MATMUL",
        phase="attention",
        what=f"scores of {_names(members)}{plan.of_row(row)}",
        fields={
            "mode": "score",
            "constant": plan.constants["score"],
            "rows": len(members),
            "group": group,
            "tile_n": 1,
            "source": "projection_lanes",
            "a": plan.lanes("q_lat", lat_group * config.kv_lora_rank),
            "b": plan.lanes("q_rope", rope_group * config.qk_rope_head_dim),
            "c": group * rows * plan.tile_limit,
        },
        waits=waits,
        tells=(Event("scores"),),
    )


def _softmax(plan: Plan, group: int, members: range) -> Step:
    return Step(
        instruction="SOFTMAX",
        phase="attention",
        what=f"probabilities of {_names(members)}",
        fields={
            "tile_n": 1,
            "rows": len(members),
            "group": group,
            "a": group * plan.hardware.rows * plan.tile_limit,
            "c": _probabilities(plan, group),
        },
        waits=(Event("scores"),),
        tells=(Event("probabilities"),),
    )


def _context(plan: Plan, group: int, members: range, *, last: bool) -> Step:
    kv = plan.config.kv_lora_rank
    return Step(
        instruction="MATMUL",
        phase="attention",
        what=f"context of {_names(members)}",
        fields={
            "mode": "context",
            "source": "vector_lanes",
            "tile_k": 1,
            "rows": len(members),
            "group": group,
            "n": kv,
            "a": _probabilities(plan, group),
            "c": group * plan.hardware.rows // plan.hardware.lanes * kv,
            "release": int(last),
        },
        waits=(Event("probabilities"),),
        tells=(Event("context", "last"),) if last else (),
    )


def _probabilities(plan: Plan, group: int) -> At:
    return plan.lanes("P", group * plan.tile_limit)


def _names(members: range) -> str:
    return f"heads {members[0]} … {members[-1]}"
