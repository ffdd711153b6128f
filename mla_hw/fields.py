"""Checked reading of values that come from JSON files and dictionaries."""

import json
import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

from mla_hw.errors import ConfigError, MlaHwError

__all__ = [
    "check_boolean",
    "check_choice",
    "check_count",
    "check_known",
    "check_number",
    "check_numbers",
    "check_positive_int",
    "did_you_mean",
    "read_json_object",
]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Suggest the known name next to `name`, as ``" (did you mean x?)"``, or nothing."""
    close = get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def check_positive_int(name: str, value: object) -> int:
    """Return `value` if it is a positive integer, else raise :class:`ConfigError`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{name} must be a positive integer, not {value!r}")
    return value


def check_count(name: str, value: object) -> int:
    """Return `value` if it is an integer of at least 0, else raise :class:`ConfigError`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigError(f"{name} must be an integer of at least 0, not {value!r}")
    return value


def check_number(name: str, value: object, *, minimum: float = 0.0) -> float:
    """Return a finite number above `minimum` as float, else raise :class:`ConfigError`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{name} must be a number, not {value!r}")
    if not minimum < value <= sys.float_info.max:  # false for NaN as well
        raise ConfigError(f"{name} must be finite and above {minimum:g}, not {value!r}")
    return float(value)


def check_numbers(name: str, value: object) -> tuple[float, ...]:
    """Return a list of positive numbers as a tuple, else raise :class:`ConfigError`."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ConfigError(f"{name} must be a list of numbers, not {value!r}")
    return tuple(check_number(f"{name}[{i}]", item) for i, item in enumerate(value))


def check_boolean(name: str, value: object) -> bool:
    """Return `value` if it is true or false, else raise :class:`ConfigError`."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be true or false, not {value!r}")
    return value


def check_choice(name: str, value: object, choices: Sequence[str]) -> str:
    """Return `value` if it is one of `choices`, else raise :class:`ConfigError`."""
    if not isinstance(value, str) or value not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
    return value


def check_known(keys: Iterable[str], known: Sequence[str], *, section: str) -> None:
    """Raise :class:`ConfigError` for the first key of a section that is not a known one."""
    for key in keys:
        if key not in known:
            raise ConfigError(f"unknown field {section}.{key}{did_you_mean(key, known)}")


def read_json_object(path: Path, error: type[MlaHwError]) -> dict[str, object]:
    """Read a JSON file that holds one object.

    Raises
    ------
    MlaHwError
        Of the given type, if the file is missing, unreadable, not JSON or not an object.
    """
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise error(f"{path}: no such file") from None
    except OSError as err:
        raise error(f"{path}: cannot be read: {err.strerror}") from None
    except (ValueError, RecursionError) as err:
        # Also integers that are too long for Python.
        raise error(f"{path}: is not valid JSON: {err}") from None
    if not isinstance(value, dict):
        raise error(f"{path}: must hold a JSON object, not {type(value).__name__}")
    return value
