"""Reports of simulations, read back and checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from mla_hw.cycles.timeline import Stalls, TimedInstruction, Timeline
from mla_hw.design import Design
from mla_hw.errors import ConfigError
from mla_hw.fields import read_json_object
from mla_hw.program.instructions import Engine

__all__ = ["ENGINES", "SIDES", "Simulation", "belongs_to", "read_reports"]

SIDES = ("simulated", "predicted")
#: Engines in the order in which they are shown.
ENGINES = tuple(engine.value for engine in Engine if engine is not Engine.DISPATCHER)

_COUNT = (int,)
_NUMBER = (int, float)


@dataclass(frozen=True, kw_only=True, slots=True)
class Simulation:
    """What a report shows of a simulation; see :class:`mla_hw.cli.simulate.SimulationReport`.

    Parameters
    ----------
    file : str
        Name of its file.
    bit_exact : bool
    difference : str or None
        The first difference, for people.
    tokens : int
    cycles : dict of str to tuple of int
        ``simulated`` and ``predicted``, one number per token.
    relative_error, cosine : tuple of float
    relative_error_total : float or None
    saturated : dict of str to int
    memory, simulator : str
    tools : dict of str to str
    last_token : int or None
        The last one whose instructions have all ended.
    timelines : dict of str to Timeline
        Of this token, by side; empty if there is none.
    counters : dict of str to int
        The core's counters after it.
    different : int
        Starts and ends, of all tokens, that are not in the predicted cycle.
    """

    file: str
    bit_exact: bool
    difference: str | None
    tokens: int
    cycles: dict[str, tuple[int, ...]]
    relative_error: tuple[float, ...]
    cosine: tuple[float, ...]
    relative_error_total: float | None
    saturated: dict[str, int]
    memory: str
    simulator: str
    tools: dict[str, str]
    last_token: int | None
    timelines: dict[str, Timeline]
    counters: dict[str, int]
    different: int

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], design: Design, file: str) -> Self:
        """Check a report that belongs to a design.

        Raises
        ------
        ConfigError
            Names the key that is not right.
        """
        cycles = {
            side: _list(_object(data, "cycles").get(side), f"cycles.{side}", _COUNT)
            for side in SIDES
        }
        items = _list(data.get("instructions"), "instructions", (dict,))
        for number, item in enumerate(items):
            _check_instruction(item, f"instructions[{number}]", design)
        counters = _list(data.get("counters"), "counters", (dict,))
        for number, item in enumerate(counters):
            _check_values(item, f"counters[{number}]", _COUNT)
        if len({*map(len, (*cycles.values(), counters))}) > 1:
            raise ConfigError("cycles and counters must be as many on both sides")
        tokens: dict[int, list[Mapping[str, Any]]] = {}
        for item in items:
            tokens.setdefault(item["token"], []).append(item)
        ended = [
            (place, token)
            for place, (token, own) in enumerate(tokens.items())
            if place < len(counters) and all(_has_ended(item) for item in own)
        ]
        place, last = ended[-1] if ended else (0, None)
        timelines = {}
        if last is not None:
            timelines = {
                side: _timeline(tokens[last], side, cycles[side][place], design) for side in SIDES
            }
        total = data.get("relative_error_total")
        if total is not None:
            _check(total, "relative_error_total", _NUMBER)
        return cls(
            file=file,
            bit_exact=_check(data.get("bit_exact"), "bit_exact", (bool,)),
            difference=_difference(data.get("difference")),
            tokens=_check(data.get("tokens"), "tokens", _COUNT),
            cycles=cycles,
            relative_error=_list(data.get("relative_error"), "relative_error", _NUMBER),
            cosine=_list(data.get("cosine"), "cosine", _NUMBER),
            relative_error_total=total,
            saturated=_check_values(_object(data, "saturated"), "saturated", _COUNT),
            memory=_check(data.get("memory"), "memory", (str,)),
            simulator=_check(data.get("simulator"), "simulator", (str,)),
            tools=_check_values(_object(data, "tools"), "tools", (str,)),
            last_token=last,
            timelines=timelines,
            counters=counters[place] if last is not None else {},
            different=sum(
                item[edge]["simulated"] != item[edge]["predicted"]
                for item in items
                for edge in ("start", "end")
            ),
        )


def read_reports(folder: Path) -> dict[Path, dict[str, Any]]:
    """Read what ``simulate`` left in a folder, that of Verilator first.

    Raises
    ------
    ConfigError
        If a file is not JSON, or has no hashes.
    """
    found: dict[Path, dict[str, Any]] = {}
    for path in sorted((folder / "results").glob("simulate-*.json"), reverse=True):
        found[path] = dict(read_json_object(path, ConfigError))
        for key in ("hash", "weights_hash"):
            if not isinstance(found[path].get(key), str):
                raise ConfigError(f"{path}: {key} must be a text: simulate again")
    return found


def belongs_to(data: Mapping[str, Any], design: Design) -> bool:
    """Whether a report is of this core, these weights and this scheme."""
    keys = ("hash", "weights_hash", "scheme")
    return all(data.get(key) == design.manifest[key] for key in keys)


def _timeline(
    items: Sequence[Mapping[str, Any]], side: str, total: int, design: Design
) -> Timeline:
    program = design.program.instructions
    return Timeline(
        instructions=tuple(
            TimedInstruction(
                index=item["index"],
                iteration=tuple(item["iteration"]),
                name=program[item["index"]].name,
                engine=item["engine"],
                start=item["start"][side],
                end=item["end"][side],
                cause=item["cause"],
                stalls=Stalls(**item["stalls"]),
            )
            for item in items
        ),
        total=total,
    )


def _has_ended(item: Mapping[str, Any]) -> bool:
    return all(item[edge][side] is not None for edge in ("start", "end") for side in SIDES)


def _check_instruction(item: Mapping[str, Any], where: str, design: Design) -> None:
    for key in ("token", "index"):
        _check(item.get(key), f"{where}.{key}", _COUNT)
    if not 0 <= item["index"] < len(design.program):
        raise ConfigError(f"{where}.index is {item['index']}, which the program does not have")
    _list(item.get("iteration"), f"{where}.iteration", _COUNT)
    if item.get("engine") not in ENGINES:
        raise ConfigError(f"{where}.engine must be one of {', '.join(ENGINES)}")
    _check(item.get("cause"), f"{where}.cause", (str,))
    stalls = _check_values(_object(item, "stalls", where), f"{where}.stalls", _COUNT)
    if stalls.keys() != {"weights", "latents", "drain"}:
        raise ConfigError(f"{where}.stalls must have weights, latents and drain")
    for edge in ("start", "end"):
        cycles = _object(item, edge, where)
        if cycles.keys() != set(SIDES):
            raise ConfigError(f"{where}.{edge} must have {' and '.join(SIDES)}")
        for side in SIDES:
            if cycles[side] is not None:
                _check(cycles[side], f"{where}.{edge}.{side}", _COUNT)


def _difference(value: object) -> str | None:
    if value is None:
        return None
    _check(value, "difference", (dict,))
    assert isinstance(value, dict)
    return ", ".join(f"{key} {part}" for key, part in value.items() if part is not None)


def _object(data: Mapping[str, Any], key: str, where: str = "") -> dict[str, Any]:
    name = f"{where}.{key}" if where else key
    value: dict[str, Any] = _check(data.get(key), name, (dict,))
    return value


def _list(value: Any, name: str, kinds: tuple[type, ...]) -> tuple[Any, ...]:
    _check(value, name, (list,))
    for place, item in enumerate(value):
        _check(item, f"{name}[{place}]", kinds)
    return tuple(value)


def _check_values(data: Mapping[str, Any], name: str, kinds: tuple[type, ...]) -> dict[str, Any]:
    return {key: _check(value, f"{name}.{key}", kinds) for key, value in data.items()}


def _check(value: Any, name: str, kinds: tuple[type, ...]) -> Any:
    """Return a value of one of some types; true and false are no numbers, and no count is below 0.

    Raises
    ------
    ConfigError
        Names the value.
    """
    good = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
    if not good or (kinds == _COUNT and value < 0):
        wanted = " or ".join({"dict": "object"}.get(kind.__name__, kind.__name__) for kind in kinds)
        raise ConfigError(f"{name} must be {wanted}, not {str(value)[:40]!r}")
    return value
