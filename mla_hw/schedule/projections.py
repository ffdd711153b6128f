"""Projections: their weights on the way to the array, and the products."""

from mla_hw.schedule.plan import Plan
from mla_hw.schedule.schedule import At, Event, Step, WeightTiles

__all__ = ["project", "project_whole", "stream"]


def stream(
    plan: Plan,
    phase: str,
    *tiles: WeightTiles,
    looped: bool = False,
    waits: tuple[Event, ...] = (),
) -> Step:
    """Bring the weights of one tensor, or of one per head, to the array; they are equally large.

    Parameters
    ----------
    plan : Plan
    phase : str
    *tiles : WeightTiles
    looped : bool
        One of the tiles in each iteration of the loop around it, instead of all at once.
    waits : tuple of Event
    """
    columns, port = plan.hardware.columns, plan.hardware.port_bytes
    size = (1 if looped else len(tiles)) * tiles[0].bytes(columns)
    beats = -(-size // port)
    return Step(
        instruction="STREAM",
        phase=phase,
        what=f"weights of {tiles[0].projection}: {size} bytes",
        fields={"n": beats, "k": (beats * port - size) // columns},
        weights=tiles,
        looped=looped,
        waits=waits,
    )


def project(
    plan: Plan,
    phase: str,
    name: str,
    channels: int,
    steps: int,
    target: str,
    fields: dict[str, int | str | At],
    *,
    waits: tuple[Event, ...] = (),
    tells: tuple[Event, ...] = (),
) -> Step:
    """Multiply ``steps`` elements of every query row by ``channels`` columns of weights."""
    return Step(
        instruction="MATMUL",
        phase=phase,
        what=f"{name}[{channels}] = W · {steps} steps",
        fields={
            "mode": "project",
            "constant": plan.constants[name],
            "k": steps,
            "n": channels,
            "rows": plan.query_rows,
            "b": plan.row_distance(target, channels),
            "target": target,
            **fields,
        },
        waits=waits,
        tells=tells,
    )


def project_whole(
    plan: Plan,
    phase: str,
    name: str,
    channels: int,
    source: str,
    target: str,
    *,
    waits: tuple[Event, ...] = (),
    tells: tuple[Event, ...] = (),
    stream_waits: tuple[Event, ...] = (),
) -> list[Step]:
    """Stream and multiply a projection of a whole vector.

    Parameters
    ----------
    plan : Plan
    phase, name : str
    channels : int
    source : str
        ``x``, ``c_q`` or ``o``: layout *spread*, but o of ``naive`` lies in one lane.
    target : str
        ``scratch``, ``spread`` or ``output``.
    waits, tells, stream_waits : tuple of Event
    """
    config = plan.config
    heads = "vector_lanes" if plan.scheme == "naive" else "projection_spread"
    place, steps = {
        "x": ("projection_spread", config.hidden_size),
        "c_q": ("vector_spread", config.q_lora_rank or 0),
        "o": (heads, config.num_attention_heads * config.v_head_dim),
    }[source]
    tiles = WeightTiles(projection=name, head=None, channels=channels, steps=steps)
    fields: dict[str, int | str | At] = {
        "source": place,
        "a": At(source),
        "c": 0 if target == "output" else At(name),
    }
    return [
        stream(plan, phase, tiles, waits=stream_waits),
        project(plan, phase, name, channels, steps, target, fields, waits=waits, tells=tells),
    ]
