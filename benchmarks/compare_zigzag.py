"""Cycles of a matrix product by ZigZag: what ``benchmarks/compare.py`` calls.

The accelerator has the array, the accumulators, the buffers and the port of the core. Inputs and
results stay on chip as they do there; what is streamed comes from memory through the weight FIFO
or, if it is cached rows, through the latent ring. The order of the loops is that of the core:
sums are complete before the array goes on (output stationary), and what is streamed serves all
groups of rows before the next comes.
"""

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.compare_products import Product
from mla_hw.errors import MlaHwError
from mla_hw.graph.nodes import Role
from mla_hw.hardware import CoreConfig

__all__ = ["ZigZagCycles", "read_cycles", "run"]

# Bits of an activation, a streamed element, a byte.
ACTIVATION, STREAMED, BYTE = 16, 8, 8
# More than any operand.
AMPLE_BYTES = 1 << 30


@dataclass(frozen=True, kw_only=True, slots=True)
class ZigZagCycles:
    """What ZigZag reports of one product.

    Parameters
    ----------
    computation : int
        Cycles from the first to the last step of the array, with what it waits.
    onloading, offloading : int
        Cycles before and after: to the first operands, and to the last results.
    """

    computation: int
    onloading: int
    offloading: int

    @property
    def total(self) -> int:
        """Latency of the product alone."""
        return self.onloading + self.computation + self.offloading


def run(product: Product, core: CoreConfig, folder: Path) -> ZigZagCycles:
    """Evaluate one product.

    Parameters
    ----------
    product : Product
        Its count is left to the caller.
    core : CoreConfig
    folder : Path
        For the input and the report.

    Raises
    ------
    MlaHwError
        When ZigZag is not installed, or refuses the product.
    """
    try:
        with _quiet():
            from zigzag.api import get_hardware_performance_zigzag
    except ImportError as error:
        raise MlaHwError(f"ZigZag cannot be loaded ({error}): run `make compare`") from None
    accelerator, mapping = folder / "accelerator.yaml", folder / "mapping.yaml"
    for path, content in (
        (accelerator, _accelerator(product, core)),
        (mapping, [_mapping(product, core)]),
    ):
        # The order of the memories is their order from the array outwards.
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    try:
        with _quiet():
            get_hardware_performance_zigzag(
                [_workload(product, core)],
                str(accelerator),
                str(mapping),
                opt="latency",
                dump_folder=str(folder),
                pickle_filename=str(folder / "evaluations.pickle"),
                loma_show_progress_bar=False,
            )
    # Its exceptions have no type in common.
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise MlaHwError(f"ZigZag, {product.name}: {reason}") from error
    report = folder / f"{product.name}_complete.json"
    return read_cycles(json.loads(report.read_text(encoding="utf-8")))


def read_cycles(report: Mapping[str, Any]) -> ZigZagCycles:
    """Read the report of a run of one product.

    Raises
    ------
    MlaHwError
        When it is of another form than version 3.9 writes.
    """
    try:
        latency = report["outputs"]["latency"]
        return ZigZagCycles(
            computation=round(latency["computation"]),
            onloading=round(latency["data_onloading"]),
            offloading=round(latency["data_offloading"]),
        )
    except (KeyError, TypeError) as error:
        raise MlaHwError(f"report of ZigZag is not that of version 3.9: {error}") from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep its log off the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _workload(product: Product, core: CoreConfig) -> dict[str, Any]:
    return {
        "id": 0,
        "name": product.name,
        "operator_type": "Gemm",
        "equation": "O[m][n] += I[m][k] * W[k][n]",
        "loop_dims": ["M", "K", "N"],
        "loop_sizes": [product.m, product.k, product.n],
        "operand_precision": {
            "I": ACTIVATION,
            "W": STREAMED,
            "O": core.acc_width,
            "O_final": ACTIVATION,
        },
        # Both operands are there at the start.
        "operand_source": {"I": 0, "W": 0},
    }


def _mapping(product: Product, core: CoreConfig) -> dict[str, Any]:
    """Map the product; the order lists the innermost loop first, without those of one round."""
    rows, columns = min(product.m, core.rows), min(product.n, core.columns)
    rounds = {"K": product.k, "M": -(-product.m // rows), "N": -(-product.n // columns)}
    return {
        "name": "default",
        "spatial_mapping": {"D1": [f"M, {rows}"], "D2": [f"N, {columns}"]},
        "temporal_ordering": [[loop, count] for loop, count in rounds.items() if count > 1],
        "memory_operand_links": {"I": "I1", "W": "I2", "O": "O"},
    }


def _accelerator(product: Product, core: CoreConfig) -> dict[str, Any]:
    """Describe the core."""
    port = core.port_bytes * BYTE
    word = core.columns * STREAMED
    results = core.columns * core.acc_width
    return {
        "name": "core",
        "operational_array": {
            "dimensions": ["D1", "D2"],
            "sizes": [core.rows, core.columns],
            "systolic_dimensions": ["D1", "D2"],
            "unit_energy": 0,
            "unit_area": 0,
        },
        "memories": {
            "accumulators": _memory(
                core.acc_width,
                {
                    "r_port_1": (core.acc_width, ["O, tl"]),
                    "r_port_2": (core.acc_width, ["O, th"]),
                    "w_port_1": (core.acc_width, ["O, fl"]),
                    "w_port_2": (core.acc_width, ["O, fh"]),
                },
                shared=False,
            ),
            # ZigZag wants room for all inputs and results; of what is as long as the cache the core
            # holds a tile of tokens at a time.
            "activations": _memory(
                AMPLE_BYTES * BYTE,
                {
                    "r_port_1": (core.rows * ACTIVATION, ["I1, tl"]),
                    "w_port_1": (core.rows * ACTIVATION, ["I1, fh"]),
                },
            ),
            # Score memory, scratch and context memory in one; a row of the array leaves at once.
            "results": _memory(
                AMPLE_BYTES * BYTE,
                {
                    "r_port_1": (results, ["O, tl", "O, th"]),
                    "w_port_1": (results, ["O, fl", "O, fh"]),
                },
            ),
            "stream": _memory(
                _stream_bytes(product, core) * BYTE,
                {"r_port_1": (word, ["I2, tl"]), "w_port_1": (port, ["I2, fh"])},
            ),
            "memory": _memory(
                AMPLE_BYTES * BYTE,
                {"rw_port_1": (port, ["I2, tl", "I2, fh"])},
            ),
        },
    }


def _stream_bytes(product: Product, core: CoreConfig) -> int:
    if product.streamed is Role.WEIGHT:
        return core.weight_fifo_depth * core.columns
    return core.ring_depth * core.columns


def _memory(
    bits: int, ports: Mapping[str, tuple[int, list[str]]], *, shared: bool = True
) -> dict[str, Any]:
    """Describe a memory; ports by name with their bits per cycle and what goes through them."""
    kinds = {"r": "read", "w": "write", "rw": "read_write"}
    allocations = [item for _, allocation in ports.values() for item in allocation]
    return {
        "size": bits,
        "latency": 1,
        "operands": sorted({item.split(",")[0] for item in allocations}),
        "ports": [
            {
                "name": name,
                "type": kinds[name.split("_")[0]],
                "bandwidth_min": width,
                "bandwidth_max": width,
                "allocation": allocation,
            }
            for name, (width, allocation) in ports.items()
        ],
        "served_dimensions": ["D1", "D2"] if shared else [],
        # Energy and area are not asked for.
        "r_cost": 0,
        "w_cost": 0,
        "area": 0,
    }
