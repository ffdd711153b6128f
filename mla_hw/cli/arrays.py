"""Arrays that the user hands over in NPZ files."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mla_hw.errors import ConfigError

__all__ = ["check_rows", "read_npz", "read_rows"]

#: What NumPy raises for files that are something else, damaged, or hold Python objects.
_NPZ_ERRORS = (
    AttributeError,
    EOFError,
    KeyError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_rows(path: str | Path, option: str, width: int) -> NDArray[np.float64]:
    """Read array ``x`` [n, width] of an NPZ file.

    Raises
    ------
    ConfigError
        Names the option and what was wanted.
    """
    rows = check_rows(read_npz(path, option).get("x"), f"{option} {path}: array x", width)
    if not rows.any():
        raise ConfigError(f"{option} {path}: array x must not be all zeros: it fixes the scales")
    return rows


def read_npz(path: str | Path, option: str) -> dict[str, NDArray[Any]]:
    """Read all arrays of an NPZ file."""
    try:
        # Opened here, because NumPy does not close a file that it cannot read.
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except OSError as error:
        raise ConfigError(
            f"{option} {path}: cannot be read: {error.strerror or 'not an NPZ file'}"
        ) from None
    except _NPZ_ERRORS:
        # What NumPy says is about pickles and context managers.
        raise ConfigError(
            f"{option} {path}: not an NPZ file of plain arrays, as numpy.savez writes it"
        ) from None
    # Another file in the archive comes as bytes.
    return {name: array for name, array in arrays.items() if isinstance(array, np.ndarray)}


def check_rows(x: NDArray[Any] | None, what: str, *shape: int) -> NDArray[np.float64]:
    """Check that rows are finite numbers; of what shape each is comes behind ``what``."""
    if x is None:
        raise ConfigError(f"{what} is missing")
    if x.dtype.kind not in "fiu":
        raise ConfigError(f"{what} must hold numbers, not {x.dtype}")
    if not x.ndim or x.shape[1:] != shape:
        wanted = ", ".join(map(str, ("n", *shape)))
        raise ConfigError(f"{what} must have the shape [{wanted}], not {list(x.shape)}")
    if not len(x):
        raise ConfigError(f"{what} must have at least one row")
    if not np.isfinite(x).all():
        raise ConfigError(f"{what} must hold finite numbers, not NaN or Inf")
    rows = x.astype(np.float64)
    largest, bounds = np.abs(rows).max(), np.finfo(np.float32)
    if largest and not bounds.tiny <= largest <= bounds.max:
        raise ConfigError(f"{what} must hold numbers of float32's range")
    return rows
