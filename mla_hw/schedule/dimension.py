"""Integers that remember the settings they were computed from."""

from dataclasses import fields, replace
from typing import Any, Self, TypeVar

from mla_hw.config import ModelConfig
from mla_hw.hardware import HardwareConfig

__all__ = ["Dimension", "named"]

_Config = TypeVar("_Config", ModelConfig, HardwareConfig)


class Dimension(int):
    """An integer, and the settings that it comes from.

    Sums, differences, products, quotients and shifts remember the settings of both sides, so that
    whatever turns out too large can be named by what has to change.

    Parameters
    ----------
    value : int
    sources : str
        Settings with their values: ``"hidden_size = 7168"``.
    """

    sources: tuple[str, ...]

    def __new__(cls, value: int, *sources: str) -> Self:
        number = super().__new__(cls, value)
        number.sources = sources
        return number

    def _with(self, value: int, other: int) -> "Dimension":
        new = [source for source in sources_of(other) if source not in self.sources]
        return Dimension(value, *self.sources, *new)

    def __add__(self, other: int) -> "Dimension":
        return self._with(int(self) + int(other), other)

    __radd__ = __add__

    def __sub__(self, other: int) -> "Dimension":
        return self._with(int(self) - int(other), other)

    def __rsub__(self, other: int) -> "Dimension":
        return self._with(int(other) - int(self), other)

    def __mul__(self, other: int) -> "Dimension":
        return self._with(int(self) * int(other), other)

    __rmul__ = __mul__

    def __floordiv__(self, other: int) -> "Dimension":
        return self._with(int(self) // int(other), other)

    def __rfloordiv__(self, other: int) -> "Dimension":
        return self._with(int(other) // int(self), other)

    def __lshift__(self, other: int) -> "Dimension":
        return self._with(int(self) << int(other), other)

    def __rshift__(self, other: int) -> "Dimension":
        return self._with(int(self) >> int(other), other)

    def __neg__(self) -> "Dimension":
        return Dimension(-int(self), *self.sources)


def sources_of(value: int) -> tuple[str, ...]:
    """Return the settings that a number comes from; none for a plain integer."""
    return value.sources if isinstance(value, Dimension) else ()


def named(config: _Config) -> _Config:
    """Return a configuration whose integers know their field."""
    values = {field.name: getattr(config, field.name) for field in fields(config)}
    dimensions: dict[str, Any] = {
        name: Dimension(value, f"{name} = {value}")
        for name, value in values.items()
        if isinstance(value, int) and not isinstance(value, bool)
    }
    return replace(config, **dimensions)
