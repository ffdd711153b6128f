"""Product rows: weights in the array's rows, and what they make of a tile in the latent ring."""

from dataclasses import replace

from mla_hw.schedule.plan import Plan
from mla_hw.schedule.schedule import OPERANDS, At, Event, Loop, Step

__all__ = ["expand", "load_rows"]


def load_rows(
    plan: Plan,
    groups: int,
    steps: int,
    *,
    waits: tuple[Event, ...] = (),
    tells: tuple[Event, ...] = (),
    first: int = 0,
) -> list[Step | Loop]:
    """Bring a head's weights to the lanes, as many rows as the array has at a time.

    For a loop over heads: the next iteration takes the next head's.

    Parameters
    ----------
    plan : Plan
    groups : int
        Of ``rows`` rows each.
    steps : int
        Elements of each row.
    waits, tells : tuple of Event
        Of the first and the last group.
    first : int
        Head of the loop's first iteration.
    """
    beats = plan.group_beats(steps)

    def load(group: int, waits: tuple[Event, ...] = (), tells: tuple[Event, ...] = ()) -> Step:
        # The first one stands alone, the others are a loop.
        inner = (beats,) if group else ()
        return Step(
            instruction="LOAD",
            phase="",
            what=f"weights for {plan.hardware.rows} rows of {steps}",
            fields={
                "target": "lanes",
                "base": "weights",
                "k": steps << plan.lane_bits,
                "n": beats,
                "a": At(OPERANDS, (first * groups + group) * beats, (groups * beats, *inner)),
                "c": plan.lanes(
                    "weights",
                    group * steps,
                    strides=(0, steps << plan.lane_bits) if group else (),
                ),
            },
            waits=waits,
            tells=tells,
        )

    if groups == 1:
        return [load(0, waits, tells)]
    last = tuple(replace(event, when="last") for event in tells)
    rest = Loop(body=(load(1, (), last),), count=groups - 1, index="group")
    return [load(0, waits), rest]


def expand(
    plan: Plan,
    phase: str,
    rows: int,
    first_group: int,
    fields: dict[str, int | str | At],
    *,
    level: int,
    waits: tuple[Event, ...] = (),
    tells: tuple[Event, ...] = (),
    release: bool = False,
) -> list[Step | Loop]:
    """Multiply rows of weights by the tile, as many as the array has at a time.

    A group at an end stands alone where something holds for it only; the others are a loop.

    Parameters
    ----------
    plan : Plan
    phase : str
    rows : int
        Rows of weights.
    first_group : int
        Group of ``rows`` of the array in the activation buffer where they begin.
    fields : dict
        ``target``; ``k`` and ``n``, or what stands for them; ``b`` and ``c`` of the first group.
    level : int
        Loops around it.
    waits : tuple of Event
        Of the first group.
    tells : tuple of Event
        Of the last group; ``last`` is that of the loop around it.
    release : bool
        The last group releases the tile.
    """
    size, steps = int(plan.hardware.rows), fields["k"]
    assert isinstance(steps, int)
    # What lies between the first elements that two rows of the array make.
    distance = 1 if fields["target"] == "lanes" else 1 << plan.product_bits
    start = fields["c"]
    assert isinstance(start, int)

    def step(
        group: int,
        *,
        waits: tuple[Event, ...] = (),
        tells: tuple[Event, ...] = (),
        looped: bool = False,
        release: bool = False,
    ) -> Step:
        taken = min(size, rows - group * size)
        row = {f"c_stride{level}": plan.hardware.rows * distance} if looped else {}
        return Step(
            instruction="MATMUL",
            phase=phase,
            what=f"{taken} rows of weights times the tile",
            fields={
                "mode": "expand",
                "source": "projection_lanes",
                "constant": plan.constants["products"],
                "rows": taken,
                "a": plan.lanes(
                    "weights",
                    (first_group + group) * steps,
                    strides=(*(0,) * level, steps << plan.lane_bits) if looped else (),
                ),
                **fields,
                "c": start + group * plan.hardware.rows * distance,
                **row,
                **({"release": 1} if release else {}),
            },
            waits=waits,
            tells=tells,
        )

    groups = plan.row_groups(rows)
    first = 1 if waits else 0
    last = 1 if release or rows % size or any(event.when == "last" for event in tells) else 0
    if groups == 1 and first + last:
        return [step(0, waits=waits, tells=tells, release=release)]
    body: list[Step | Loop] = [step(0, waits=waits)] if first else []
    if groups > first + last:
        told = () if last else tuple(replace(event, when="last") for event in tells)
        inner = step(first, looped=True, tells=told)
        body.append(Loop(body=(inner,), count=groups - first - last, index="group"))
    if last:
        body.append(step(groups - 1, tells=tells, release=release))
    return body
