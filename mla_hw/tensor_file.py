"""Lazy reading of safetensors files: the header first, then only the tensors asked for.

The format is a header length (8 bytes, little endian), a JSON header that gives each tensor's
type, shape and byte range, and the bytes. Everything is checked against the size of the file,
so that a truncated download is found before a number is used.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mla_hw.errors import CheckpointError
from mla_hw.fields import read_json_object

__all__ = ["SCALE_SUFFIX", "TensorEntry", "TensorFile", "TensorFolder"]

#: Behind a weight's name: the scales of its FP8 blocks.
SCALE_SUFFIX = "_scale_inv"
_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_BYTES = {"F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1}


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """Place of a tensor in its file: type name, shape, absolute byte range."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


class TensorFile:
    """A safetensors file of which only the header has been read.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    CheckpointError
        If the file is missing, truncated or malformed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries = self._read_header()

    def read(self, name: str) -> NDArray[np.float32]:
        """Read one tensor as float32; F32, F16, BF16 and F8_E4M3 are represented exactly.

        Raises
        ------
        CheckpointError
            If the tensor is missing or of another type.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise CheckpointError(f"{self.path}: tensor {name} is missing")
        if entry.dtype not in _BYTES:
            raise CheckpointError(
                f"{self.path}: tensor {name} has type {entry.dtype}, wanted {', '.join(_BYTES)}"
            )
        if entry.stop - entry.start != math.prod(entry.shape) * _BYTES[entry.dtype]:
            raise CheckpointError(
                f"{self.path}: tensor {name} has {entry.stop - entry.start} bytes, which does not "
                f"fit {entry.dtype} {list(entry.shape)}"
            )
        data = self._read_bytes(entry.start, entry.stop - entry.start)
        return _decode(entry.dtype, data).reshape(entry.shape)

    def _read_bytes(self, start: int, count: int) -> bytes:
        try:
            with self.path.open("rb") as file:
                file.seek(start)
                data = file.read(count)
        except FileNotFoundError:
            raise CheckpointError(f"{self.path}: no such file") from None
        except OSError as err:
            raise CheckpointError(f"{self.path}: cannot be read: {err.strerror}") from None
        if len(data) < count:
            raise CheckpointError(
                f"{self.path}: truncated: wanted {count} bytes at {start}, got {len(data)}"
            )
        return data

    def _read_header(self) -> dict[str, TensorEntry]:
        length = int.from_bytes(self._read_bytes(0, 8), "little")
        size = self.path.stat().st_size
        if length > size - 8:
            raise CheckpointError(
                f"{self.path}: truncated or not safetensors: header of {length} bytes announced, "
                f"{size - 8} there"
            )
        try:
            header = json.loads(self._read_bytes(8, length))
            if not isinstance(header, dict):
                raise TypeError("must be a JSON object")
            header.pop("__metadata__", None)
            entries = {name: _parse_entry(value, 8 + length) for name, value in header.items()}
        except (ValueError, KeyError, TypeError, RecursionError) as err:
            raise CheckpointError(f"{self.path}: malformed safetensors header: {err}") from None
        end = max((entry.stop for entry in entries.values()), default=8 + length)
        if end > size:
            raise CheckpointError(
                f"{self.path}: truncated: {end} bytes announced by the header, {size} there"
            )
        return entries


class TensorFolder:
    """The safetensors files of a checkpoint folder as one.

    Parameters
    ----------
    folder : Path
        Folder with model.safetensors, or with model.safetensors.index.json and its shards.

    Attributes
    ----------
    files : dict
        Name of the file that holds each tensor.

    Raises
    ------
    CheckpointError
        If there is neither, or if it is malformed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._opened: dict[str, TensorFile] = {}
        if (folder / _SINGLE).exists():
            self.files = dict.fromkeys(self._open(_SINGLE).entries, _SINGLE)
        elif (folder / _INDEX).exists():
            self.files = self._read_index(folder / _INDEX)
        else:
            raise CheckpointError(f"{folder}: has neither {_SINGLE} nor {_INDEX}")

    def common_prefix(self, candidates: tuple[str, ...]) -> str:
        """Return the first of some prefixes that a tensor's name starts with."""
        for prefix in candidates:
            if any(name.startswith(prefix) for name in self.files):
                return prefix
        raise CheckpointError(f"{self.folder}: has no tensor named {candidates[0]}*")

    def read(
        self, name: str, shape: tuple[int, ...], block: tuple[int, int]
    ) -> NDArray[np.float32]:
        """Read one tensor as float32.

        Parameters
        ----------
        name : str
            Full name.
        shape : tuple of int
            Shape that it must have.
        block : tuple of int
            Rows and columns that share a scale in ``<name>_scale_inv``, if the tensor is FP8;
            the last block of a row or column may be partial.

        Raises
        ------
        CheckpointError
            If it is missing, of another shape or type, or not finite; if the scale is missing.
        """
        values = self._read_shaped(name, shape)
        scale_name = name + SCALE_SUFFIX
        is_fp8 = self._file(name).entries[name].dtype == "F8_E4M3"
        if is_fp8 != (scale_name in self.files):
            raise CheckpointError(
                f"{self.folder}: tensor {scale_name} "
                + ("is missing" if is_fp8 else "is there, but the weights are not FP8")
            )
        if is_fp8:
            if len(shape) != 2:
                raise CheckpointError(f"{self.folder}: tensor {name}: FP8 needs a matrix")
            blocks = (-(-shape[0] // block[0]), -(-shape[1] // block[1]))
            scale = self._read_shaped(scale_name, blocks)
            full = scale.repeat(block[0], axis=0).repeat(block[1], axis=1)
            with np.errstate(over="ignore"):  # reported below, with the place
                values = values * full[: shape[0], : shape[1]]
        finite = np.isfinite(values)
        if not finite.all():
            index = tuple(int(i) for i in np.argwhere(~finite)[0])
            raise CheckpointError(
                f"{self.folder}: tensor {name} is {values[index]} at {list(index)}"
            )
        return values

    def _read_shaped(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        file = self._file(name)
        if name in file.entries and file.entries[name].shape != shape:
            raise CheckpointError(
                f"{file.path}: tensor {name} must have shape {list(shape)}, "
                f"not {list(file.entries[name].shape)}"
            )
        return file.read(name)

    def _file(self, name: str) -> TensorFile:
        if name not in self.files:
            raise CheckpointError(f"{self.folder}: tensor {name} is missing")
        return self._open(self.files[name])

    def _open(self, file: str) -> TensorFile:
        if file not in self._opened:
            self._opened[file] = TensorFile(self.folder / file)
        return self._opened[file]

    @staticmethod
    def _read_index(path: Path) -> dict[str, str]:
        files = read_json_object(path, CheckpointError).get("weight_map")
        if not isinstance(files, dict):
            raise CheckpointError(f"{path}: weight_map must be an object, not {files!r}")
        for name, file in files.items():
            # A shard lies beside its index; anything else could leave the folder.
            if not isinstance(file, str) or Path(file).name != file:
                raise CheckpointError(f"{path}: {name} must name a file, not {file!r}")
        return files


def _parse_entry(value: Any, base: int) -> TensorEntry:
    start, stop = value["data_offsets"]
    shape = tuple(value["shape"])
    if not all(isinstance(n, int) and n >= 0 for n in (*shape, start, stop)) or stop < start:
        raise ValueError(f"shape {value['shape']} with offsets {value['data_offsets']}")
    return TensorEntry(str(value["dtype"]), shape, base + start, base + stop)


def _decode(dtype: str, data: bytes) -> NDArray[np.float32]:
    if dtype == "F32":
        return np.frombuffer(data, "<f4").astype(np.float32)
    if dtype == "F16":
        return np.frombuffer(data, "<f2").astype(np.float32)
    if dtype == "BF16":
        # bfloat16 is the upper half of a float32.
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.asarray(_F8_E4M3[np.frombuffer(data, np.uint8)], dtype=np.float32)


def _f8_e4m3_values() -> NDArray[np.float32]:
    # 1 sign, 4 exponent (bias 7), 3 mantissa bits; no infinity, all ones is NaN.
    code = np.arange(256)
    exponent, mantissa = (code >> 3) & 15, code & 7
    magnitude = np.where(
        exponent == 0, np.ldexp(mantissa, -9), np.ldexp(8 + mantissa, exponent - 10)
    )
    magnitude[(code & 127) == 127] = np.nan
    return np.asarray(np.where(code & 128, -magnitude, magnitude), dtype=np.float32)


_F8_E4M3 = _f8_e4m3_values()
