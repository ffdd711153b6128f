"""Hidden states that a simulation decodes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mla_hw.cli.arrays import check_rows, read_npz
from mla_hw.design import Design
from mla_hw.errors import ConfigError
from mla_hw.program.image import MemoryMap

__all__ = ["HiddenRows"]

#: Tokens of each query row that are simulated without a file of hidden states.
_DEFAULT_ROWS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class HiddenRows:
    """Hidden states of all tokens, and what is known about their results.

    Parameters
    ----------
    x : [tokens, query_rows, hidden_size]
    y : [n, query_rows, hidden_size]
        Reference of the last n tokens; n may be 0.
    first : tuple of int
        Tokens of each query row that are in its cache before the first step.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    first: tuple[int, ...]

    @classmethod
    def read(cls, path: Path | str | None, design: Design, prefill: int | Sequence[int]) -> Self:
        """Read an NPZ file, or make seeded N(0, 1) rows.

        Parameters
        ----------
        path : Path or str or None
            NPZ file with arrays ``x`` and, optionally, ``y``: [tokens, hidden_size], or [tokens,
            query_rows, hidden_size] where there are several query rows.
        design : Design
        prefill : int or sequence of int
            Tokens that only fill the cache, or how many of each query row.

        Raises
        ------
        ConfigError
            If the file does not fit the design, or leaves nothing to simulate.
        """
        width, rows = design.model.hidden_size, design.core.query_rows
        per_token = rows if design.memory.same_sequence else 1
        shape = (width,) if rows == 1 else (rows, width)
        y = np.zeros((0, *shape))
        if path is None:
            count = min(_DEFAULT_ROWS, design.context // per_token)
            x = np.random.default_rng(0).standard_normal((count, *shape))
        else:
            arrays = read_npz(path, "--hidden")
            x = check_rows(arrays.get("x"), f"--hidden {path}: array x", *shape)
            if "y" in arrays:
                y = check_rows(arrays["y"], f"--hidden {path}: array y", *shape)
        if len(y) > len(x):
            raise ConfigError(f"--hidden {path}: array y has {len(y)} rows, x only {len(x)}")
        if len(x) * per_token > design.context:
            raise ConfigError(
                f"--hidden {path}: {len(x) * per_token} tokens are more than the context of "
                f"{design.context}; generate with a larger --context"
            )
        first = _first(prefill, len(x), design)
        return cls(x=x.reshape(-1, rows, width), y=y.reshape(-1, rows, width), first=first)

    @property
    def steps(self) -> int:
        """Steps that are left to simulate: until a query row has no token any more."""
        return len(self.x) - max(self.first)

    def tokens(self, step: int) -> tuple[int, ...]:
        """Return the token of each query row in a step."""
        return tuple(first + step for first in self.first)

    def positions(self, step: int, memory: MemoryMap) -> tuple[int, ...]:
        """Return the position of each query row in a step."""
        tokens = self.tokens(step)
        return memory.positions(tokens[0]) if memory.same_sequence else tokens

    def reference(self, token: int, row: int) -> NDArray[np.float64] | None:
        """Return the row of y that belongs to a token of a query row, if there is one."""
        index = token - (len(self.x) - len(self.y))
        return self.y[index, row] if index >= 0 else None


def _first(prefill: int | Sequence[int], tokens: int, design: Design) -> tuple[int, ...]:
    """Return the tokens that only fill the cache, by query row."""
    rows = design.core.query_rows
    given = prefill if isinstance(prefill, list | tuple) else (prefill,)
    if len(given) > 1 and (len(given) != rows or design.memory.same_sequence):
        wanted = "one number" if rows == 1 or design.memory.same_sequence else f"one or {rows}"
        raise ConfigError(f"--prefill: must be {wanted} for this core, not {len(given)} numbers")
    for count in given:
        if not isinstance(count, int) or not 0 <= count < tokens:
            raise ConfigError(
                f"--prefill: must be from 0 to {tokens - 1}, below the number of tokens, "
                f"not {count!r}"
            )
    return tuple(given) if len(given) == rows else tuple(given) * rows
