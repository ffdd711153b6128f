"""From elements of buffers to addresses: lifetimes, placement, and the numbers in the steps."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from mla_hw.program.instructions import LOOP_DEPTH
from mla_hw.schedule.placement import Buffer, Placement
from mla_hw.schedule.plan import Plan
from mla_hw.schedule.schedule import OPERANDS, At, Body, Loop, Step, streams

__all__ = ["alive", "resolve_operands"]


def alive(buffers: Iterable[Buffer], body: Body) -> list[Buffer]:
    """Return the buffers with the first and the last step at which each is needed.

    Steps count in program order. A buffer that a step within a loop uses is needed in all of the
    loop. Scratch is small, and the vector engine may be far behind the array: what lies there is
    kept to the end.

    Parameters
    ----------
    buffers : iterable of Buffer
    body : sequence of Step and Loop
    """
    uses = dict[str, tuple[int, int]]()
    last_step = 0
    for first, last, step in _spans(body, 0):
        last_step = max(last_step, last)
        for value in step.fields.values():
            if isinstance(value, At):
                begin, end = uses.get(value.buffer, (first, last))
                uses[value.buffer] = min(begin, first), max(end, last)
    return [
        replace(buffer, first=0, last=last_step)
        if buffer.memory == "scratch"
        else replace(buffer, first=uses[buffer.name][0], last=uses[buffer.name][1])
        for buffer in buffers
    ]


def _spans(body: Body, start: int) -> Iterator[tuple[int, int, Step]]:
    """Yield every step with the first and last number of what it is in: itself, or a loop."""
    for item in body:
        if isinstance(item, Step):
            yield start, start, item
            start += 1
            continue
        inside = list(_spans(item.body, start))
        end = start + len(inside) - 1
        yield from ((start, end, step) for _, _, step in inside)
        start = end + 1


def resolve_operands(plan: Plan, placement: Placement, body: Body) -> tuple[Step | Loop, ...]:
    """Put numbers in the place of elements of buffers."""
    bits = {"spread": plan.spread_bits, "lanes": plan.lane_bits, "linear": 0}
    bases = {buffer.name: buffer.address << bits[buffer.layout] for buffer in placement.buffers}
    loaded = {buffer.name: buffer.address << plan.load_bits for buffer in placement.buffers}
    bases[OPERANDS] = _weight_beats(plan, body)

    def resolve(body: Body) -> tuple[Step | Loop, ...]:
        return tuple(
            replace(item, body=resolve(item.body))
            if isinstance(item, Loop)
            else replace(item, fields=_numbers(item.fields, bases, loaded))
            for item in body
        )

    return resolve(body)


def _weight_beats(plan: Plan, body: Body) -> int:
    """Count the beats of all weights that are streamed; each STREAM is whole beats."""
    columns, port = plan.hardware.columns, plan.hardware.port_bytes
    sizes = (sum(tiles.bytes(columns) for tiles in stream) for stream in streams(body))
    return sum(-(-size // port) for size in sizes)


def _numbers(
    fields: Mapping[str, int | str | At], bases: Mapping[str, int], loaded: Mapping[str, int]
) -> dict[str, int | str | At]:
    numbers: dict[str, int | str | At] = {}
    for name, value in fields.items():
        if isinstance(value, At):
            assert len(value.strides) <= LOOP_DEPTH
            start = (loaded if value.side_by_side else bases)[value.buffer]
            numbers[name] = start + value.element
            numbers |= {f"{name}_stride{i}": stride for i, stride in enumerate(value.strides)}
        else:
            numbers[name] = value
    return numbers
