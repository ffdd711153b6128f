"""Cycles of a matrix product by SCALE-Sim: what ``benchmarks/compare.py`` calls.

Output stationary on an array of the core's size, words of one byte. An operand has a channel to
memory of its own, each as wide as the core's port, and a buffer of :data:`BUFFER_KB`. The reports
are read, not the traces, which are never written.
"""

import contextlib
import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.compare_products import Product
from mla_hw.errors import MlaHwError
from mla_hw.hardware import CoreConfig

__all__ = ["BUFFER_KB", "MODES", "ScaleSimCycles", "read_cycles", "run"]

#: Size of each of the three buffers, half of which is filled while the other half is used.
BUFFER_KB = 64
#: ``CALC`` never waits for memory and says what bandwidth that would take; ``USER`` waits.
MODES = ("CALC", "USER")


@dataclass(frozen=True, kw_only=True, slots=True)
class ScaleSimCycles:
    """What SCALE-Sim reports of one product.

    Parameters
    ----------
    total : int
        Cycles of array and waiting, without what it loads before cycle 0.
    stalls : int
        Those of waiting.
    streamed_reads : int
        Elements of the streamed operand that are read from memory.
    streamed_bandwidth : float
        The same per cycle.
    """

    total: int
    stalls: int
    streamed_reads: int
    streamed_bandwidth: float


def run(product: Product, core: CoreConfig, mode: str, folder: Path) -> ScaleSimCycles:
    """Simulate one product.

    Parameters
    ----------
    product : Product
        Its count is left to the caller.
    core : CoreConfig
    mode : str
        One of :data:`MODES`.
    folder : Path
        For the input and the reports.

    Raises
    ------
    MlaHwError
        When SCALE-Sim is not installed, or ends without a report.
    """
    try:
        from scalesim.scale_sim import scalesim
    except ImportError as error:
        raise MlaHwError(f"SCALE-Sim cannot be loaded ({error}): run `make compare`") from None
    files = {
        "config": _configuration(core, mode),
        "topology": f"name,M,N,K,\n{product.name},{product.m},{product.n},{product.k},\n",
        # Read in any case; says nothing as long as no layout is custom.
        "layout": f"name,\n{product.name},\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            scalesim(
                save_disk_space=True,
                verbose=False,
                input_type_gemm=True,
                **{name: str(folder / name) for name in files},
            ).run_scale(top_path=str(folder))
    except SystemExit:
        # It ends the process on wrong input.
        raise MlaHwError(f"SCALE-Sim, {product.name}: {said.getvalue().strip()}") from None
    reports = {
        name: (folder / "run" / f"{name}_REPORT.csv").read_text(encoding="utf-8")
        for name in ("COMPUTE", "BANDWIDTH", "DETAILED_ACCESS")
    }
    return read_cycles(reports)


def read_cycles(reports: Mapping[str, str]) -> ScaleSimCycles:
    """Read the reports of a run of one product.

    Parameters
    ----------
    reports : mapping of str to str
        Contents of the files ``*_REPORT.csv`` by the star.

    Raises
    ------
    MlaHwError
        When they are of another form than version 3.0 writes.
    """
    try:
        values: dict[str, str] = {}
        for text in reports.values():
            (row,) = csv.DictReader(io.StringIO(text), skipinitialspace=True)
            values |= row
        return ScaleSimCycles(
            total=int(values["Total Cycles"]),
            stalls=int(values["Stall Cycles"]),
            streamed_reads=int(values["DRAM Filter Reads"]),
            streamed_bandwidth=float(values["Avg FILTER DRAM BW"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise MlaHwError(f"reports of SCALE-Sim are not those of version 3.0: {error}") from None


def _configuration(core: CoreConfig, mode: str) -> str:
    """Return the configuration file; what a word is follows from the widths, which count words."""
    sections: dict[str, dict[str, object]] = {
        "general": {"run_name": "run"},
        "architecture_presets": {
            "ArrayHeight": core.rows,
            "ArrayWidth": core.columns,
            "IfmapSramSzkB": BUFFER_KB,
            "FilterSramSzkB": BUFFER_KB,
            "OfmapSramSzkB": BUFFER_KB,
            # Addresses of the operands must not meet; the largest has 2^24 elements.
            "IfmapOffset": 0,
            "FilterOffset": 1 << 28,
            "OfmapOffset": 1 << 29,
            "Dataflow": "os",
            # Of the results; version 3 takes that of the operands from the layout.
            "Bandwidth": core.port_bytes,
            "ReadRequestBuffer": 32,
            "WriteRequestBuffer": 32,
        },
        "layout": {
            f"{operand}{key}": value
            for operand in ("Ifmap", "Filter")
            for key, value in {
                "CustomLayout": False,
                "SRAMBankBandwidth": core.port_bytes,
                "SRAMBankNum": 1,
                "SRAMBankPort": 1,
            }.items()
        },
        "sparsity": {"SparsitySupport": False},
        "run_presets": {"InterfaceBandwidth": mode, "UseRamulatorTrace": False},
    }
    return "".join(
        f"[{section}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())
        for section, keys in sections.items()
    )
