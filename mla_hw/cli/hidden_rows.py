"""Hidden states that a simulation decodes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mla_hw.cli.arrays import check_rows, read_npz
from mla_hw.design import Design
from mla_hw.errors import ConfigError

__all__ = ["HiddenRows"]

#: Rows that are simulated without a file of hidden states.
_DEFAULT_ROWS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class HiddenRows:
    """Hidden states of all tokens, and what is known about their results.

    Parameters
    ----------
    x : [tokens, hidden_size]
    y : [n, hidden_size]
        Reference of the last n tokens; n may be 0.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]

    @classmethod
    def read(cls, path: Path | str | None, design: Design, prefill: int) -> Self:
        """Read an NPZ file, or make seeded N(0, 1) rows.

        Raises
        ------
        ConfigError
            If the file does not fit the design, or leaves nothing to simulate.
        """
        width = design.model.hidden_size
        if path is None:
            count = min(_DEFAULT_ROWS, design.context)
            x = np.random.default_rng(0).standard_normal((count, width))
            y = np.zeros((0, width))
        else:
            arrays = read_npz(path, "--hidden")
            x = check_rows(arrays.get("x"), f"--hidden {path}: array x", width)
            y = np.zeros((0, width))
            if "y" in arrays:
                y = check_rows(arrays["y"], f"--hidden {path}: array y", width)
        if len(y) > len(x):
            raise ConfigError(f"--hidden {path}: array y has {len(y)} rows, x only {len(x)}")
        if len(x) > design.context:
            raise ConfigError(
                f"--hidden {path}: {len(x)} tokens are more than the context of "
                f"{design.context}; generate with a larger --context"
            )
        if not isinstance(prefill, int) or not 0 <= prefill < len(x):
            raise ConfigError(
                f"--prefill: must be from 0 to {len(x) - 1}, below the number of tokens, "
                f"not {prefill!r}"
            )
        return cls(x=x, y=y)

    def reference(self, token: int) -> NDArray[np.float64] | None:
        """Return the row of y that belongs to a token, if there is one."""
        row = token - (len(self.x) - len(self.y))
        return self.y[row] if row >= 0 else None
