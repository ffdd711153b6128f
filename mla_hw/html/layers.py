"""Places of the nodes of a graph in layers: few crossings, short edges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Layout", "lay_out"]

#: Between neighbours of a layer, in pixels.
GAP = 18.0
_SWEEPS = 8
#: Between two nodes, a node and a bend, two bends.
_PULLS = (1.0, 2.0, 8.0)

#: A node, or the place at which an edge crosses a layer: (from, to, layer).
_Key = str | tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is.

    Parameters
    ----------
    layer : dict of str to int
        Layer of each node, from 0.
    centre : dict of str to float
        Centre of each node within its layer, in pixels from the left.
    bends : dict of (str, str) to list of float
        Where an edge crosses the layers between its ends.
    width : float
        In pixels.
    """

    layer: dict[str, int]
    centre: dict[str, float]
    bends: dict[tuple[str, str], list[float]]
    width: float


def lay_out(
    layer: Mapping[str, int], edges: Sequence[tuple[str, str]], widths: Mapping[str, float]
) -> Layout:
    """Order the nodes of each layer and give them places.

    Layers are ordered by barycentres (Sugiyama, Tagawa and Toda, 1981), up and down in turns, and
    the order of the fewest crossings is kept. Then each layer moves towards its neighbours: places
    in a given order that are nearest to wanted ones, which is an isotonic regression.

    Parameters
    ----------
    layer : mapping of str to int
        Layer of each node; an edge leads to a later one.
    edges : sequence of (str, str)
    widths : mapping of str to float
        In pixels.
    """
    rows: list[list[_Key]] = [[] for _ in range(max(layer.values()) + 1)]
    above: dict[_Key, list[_Key]] = {}
    below: dict[_Key, list[_Key]] = {}
    size: dict[_Key, float] = {}
    for name, place in layer.items():
        rows[place].append(name)
        size[name] = widths[name]
    for start, end in edges:
        bends: list[_Key] = [(start, end, place) for place in range(layer[start] + 1, layer[end])]
        for bend, place in zip(bends, range(layer[start] + 1, layer[end]), strict=True):
            rows[place].append(bend)
            size[bend] = 0.0
        path: list[_Key] = [start, *bends, end]
        for upper, lower in pairwise(path):
            below.setdefault(upper, []).append(lower)
            above.setdefault(lower, []).append(upper)
    rows = _ordered(rows, above, below)
    centre = _placed(rows, above, below, size)
    left = min(centre[key] - size[key] / 2 for key in centre)
    centre = {key: value - left for key, value in centre.items()}
    return Layout(
        layer=dict(layer),
        centre={key: value for key, value in centre.items() if isinstance(key, str)},
        bends={
            (start, end): [
                centre[start, end, place] for place in range(layer[start] + 1, layer[end])
            ]
            for start, end in edges
        },
        width=max(centre[key] + size[key] / 2 for key in centre),
    )


_Links = Mapping[_Key, Sequence[_Key]]


def _ordered(rows: list[list[_Key]], above: _Links, below: _Links) -> list[list[_Key]]:
    best, fewest = rows, _crossings(rows, below)
    for sweep in range(_SWEEPS):
        rows = [list(row) for row in rows]
        down = sweep % 2 == 0
        links = above if down else below
        order = range(1, len(rows)) if down else range(len(rows) - 2, -1, -1)
        for place in order:
            fixed = {key: i for i, key in enumerate(rows[place - 1 if down else place + 1])}
            at = {key: float(i) for i, key in enumerate(rows[place])}
            for key in rows[place]:
                if linked := [fixed[other] for other in links.get(key, ())]:
                    at[key] = sum(linked) / len(linked)
            rows[place].sort(key=at.__getitem__)
        count = _crossings(rows, below)
        if count < fewest:
            best, fewest = rows, count
    return best


def _crossings(rows: Sequence[Sequence[_Key]], below: _Links) -> int:
    count = 0
    for upper, lower in pairwise(rows):
        place = {key: i for i, key in enumerate(lower)}
        ends = [sorted(place[end] for end in below.get(key, ())) for key in upper]
        flat = [end for group in ends for end in group]
        count += sum(first > second for i, first in enumerate(flat) for second in flat[i + 1 :])
    return count


def _placed(
    rows: Sequence[Sequence[_Key]], above: _Links, below: _Links, size: Mapping[_Key, float]
) -> dict[_Key, float]:
    centre: dict[_Key, float] = {}
    for row in rows:
        centre.update(zip(row, _spread(row, dict.fromkeys(row, 0.0), size), strict=True))
    for sweep in range(4 * _SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            wanted = {}
            for key in row:
                linked = [*above.get(key, ()), *below.get(key, ())]
                pulls = [_pull(key, other) for other in linked]
                pulled = sum(p * centre[other] for p, other in zip(pulls, linked, strict=True))
                wanted[key] = pulled / sum(pulls) if linked else centre[key]
            centre.update(zip(row, _spread(row, wanted, size), strict=True))
    return centre


def _pull(key: _Key, other: _Key) -> float:
    """Return how much neighbours pull each other: more within a long edge, to keep it straight."""
    return _PULLS[isinstance(key, tuple) + isinstance(other, tuple)]


def _spread(
    row: Sequence[_Key], wanted: Mapping[_Key, float], size: Mapping[_Key, float]
) -> list[float]:
    """Return centres in this order that do not overlap and are nearest to the wanted ones."""
    offsets = [0.0]
    for left, right in pairwise(row):
        offsets.append(offsets[-1] + (size[left] + size[right]) / 2 + GAP)
    blocks: list[tuple[float, int]] = []  # mean and number of what moves together
    for key, offset in zip(row, offsets, strict=True):
        mean, count = wanted[key] - offset, 1
        while blocks and blocks[-1][0] > mean:
            before, number = blocks.pop()
            mean = (mean * count + before * number) / (count + number)
            count += number
        blocks.append((mean, count))
    means = [mean for mean, count in blocks for _ in range(count)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]
