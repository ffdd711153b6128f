"""Checks of what a board's file says."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mla_hw.devices import Device
from mla_hw.errors import ConfigError
from mla_hw.yaml_lines import place_of, reject_unknown_keys

__all__ = ["Reader"]

# What a field's value is in the file, by the field's type; all others are mappings.
KINDS: Mapping[Any, tuple[str, tuple[type, ...]]] = {
    str: ("a text", (str,)),
    tuple[str, ...]: ("a list", (list, tuple)),
    Device: ("a device name", (str,)),
    int: ("a whole positive number", (int,)),
    float: ("a positive number", (int, float)),
}


class Reader:
    """Checks mappings of one file against their fields.

    Parameters
    ----------
    path : Path or str
        File that errors name.
    lines : mapping of str to int
        Line numbers from :func:`mla_hw.yaml_lines.load_yaml_mapping`.
    """

    def __init__(self, path: Path | str, lines: Mapping[str, int]) -> None:
        self.path = path
        self.lines = lines

    def error(self, key: str, text: str) -> ConfigError:
        """Return an error that names file and line of a key."""
        return ConfigError(f"{place_of(self.path, self.lines, key)}: {text}")

    def fields(
        self, cls: type, data: Any, prefix: str = "", given: frozenset[str] | set[str] = frozenset()
    ) -> dict[str, Any]:
        """Check a mapping against a dataclass; what has a default may be missing."""
        fields = [field for field in dataclasses.fields(cls) if field.name not in given]
        optional = {field.name for field in fields if field.default is not dataclasses.MISSING}
        optional |= {
            field.name for field in fields if field.default_factory is not dataclasses.MISSING
        }
        return self.mapping(data, {field.name: field.type for field in fields}, prefix, optional)

    def mapping(
        self, data: Any, kinds: Mapping[str, Any], prefix: str, optional: Iterable[str] = ()
    ) -> dict[str, Any]:
        """Check a mapping with these keys, all of which but the optional ones are needed."""
        for key in self.names(data, kinds, set(kinds) - set(optional), prefix):
            self.check(prefix + key, data[key], kinds[key])
        return dict(data)

    def names(
        self, data: Any, known: Iterable[str], needed: Iterable[str], prefix: str
    ) -> list[str]:
        """Check which keys a mapping has, and return them in the order of the known ones."""
        known = list(known)
        if prefix:
            self.check(prefix[:-1], data, Mapping)
        reject_unknown_keys(data, known, path=self.path, lines=self.lines, prefix=prefix)
        for key in known:
            if key not in data and key in needed:
                raise self.error(prefix[:-1], f"key {prefix + key!r} is missing")
        return [key for key in known if key in data]

    def check(self, key: str, value: Any, kind: Any) -> None:
        """Check the type of a value."""
        wanted, types = KINDS.get(kind, ("a mapping", (Mapping,)))
        # YAML's true and false are integers to Python.
        good = isinstance(value, types) and not isinstance(value, bool)
        if good and kind in (int, float):
            good = 0 < value < math.inf
        if not good:
            raise self.error(key, f"{key!r} must be {wanted}, not {value!r}")

    def pins(self, key: str, value: Any) -> tuple[str, ...]:
        """Check one pin, or a list of pins, lowest bit first."""
        listed = [value] if isinstance(value, str) else value
        good = isinstance(listed, list | tuple) and listed
        if not good or not all(isinstance(pin, str) for pin in listed):
            raise self.error(key, f"{key!r} must be a pin or a list of pins, not {value!r}")
        return tuple(listed)

    def texts(self, key: str, value: Any) -> None:
        """Check a mapping of texts to texts."""
        self.check(key, value, Mapping)
        for name, item in value.items():
            if not isinstance(item, str):
                raise self.error(key, f"{key + '.' + name!r} must be a text, not {item!r}")

    def choices(self, key: str, value: Any, known: Iterable[str]) -> tuple[str, ...]:
        """Check a list of texts, each of which must be one of the known ones."""
        good = isinstance(value, list | tuple) and all(item in known for item in value)
        if not good:
            raise self.error(key, f"{key!r} must be a list of {', '.join(known)}, not {value!r}")
        return tuple(value)

    def distinct(self, pins: Iterable[tuple[str, str]]) -> None:
        """Refuse a pin that two keys share."""
        users: dict[str, str] = {}
        for key, pin in pins:
            if pin in users:
                raise self.error(key, f"pin {pin} is used twice: by {users[pin]!r} and {key!r}")
            users[pin] = key
