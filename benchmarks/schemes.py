"""The schemes of MLA on small models: what ``benchmarks/bench.py`` calls for its schemes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import mla_hw
from benchmarks.report import (
    caption,
    check_as_predicted,
    grouped,
    largest_difference,
    markdown,
)
from mla_hw import schedule
from mla_hw.errors import MlaHwError
from tests.reference_cases import load_case, write_case

__all__ = ["CASES", "HARDWARE", "SchemeCase", "measure", "table"]

HARDWARE = {"rows": 4, "columns": 8, "port_bytes": 8}


@dataclass(frozen=True, kw_only=True, slots=True)
class SchemeCase:
    """The second half of a model's tokens, decoded by a scheme.

    Parameters
    ----------
    model : str
        Reference case with hidden states and results.
    scheme : str
        As for ``mla-hw generate``.
    """

    model: str
    scheme: str

    @property
    def name(self) -> str:
        """Name on the command line and in the results."""
        return f"{self.model}:{self.scheme}"


CASES = tuple(
    SchemeCase(model=model, scheme=scheme)
    for model in ("tiny-v3", "small-v2lite")
    for scheme in schedule.SCHEMES
)


def measure(
    case: SchemeCase, board: str, folder: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Generate and simulate a core for a scheme; return cycles of the last token, and the error.

    Raises
    ------
    MlaHwError
        When a token is not bit-exact, or not as predicted in every start and end.
    """
    checkpoint, given = write_case(case.model, folder / "checkpoint"), load_case(case.model)
    half = len(given.x) // 2
    np.savez(folder / "calibration.npz", x=given.x[:half])
    mla_hw.generate(
        checkpoint,
        out=folder / "core",
        board=board,
        hardware=HARDWARE,
        calibration=folder / "calibration.npz",
        context=len(given.x),
        scheme=case.scheme,
        progress=say,
    )
    report = mla_hw.simulate(
        folder / "core",
        hidden=checkpoint / "expected.npz",
        prefill=len(given.x) - given.n_out,
        progress=say,
    )
    if not report.bit_exact or report.relative_error_total is None:
        raise MlaHwError(f"{case.name}: not bit-exact: {report.difference}")
    check_as_predicted(case.name, report.instructions)
    return {
        "model": case.model,
        "scheme": case.scheme,
        "tokens": report.tokens,
        "cached": len(given.x) - 1,
        "hash": report.hash,
        "cycles": report.cycles["simulated"][-1],
        "predicted": report.cycles["predicted"][-1],
        "largest_difference": largest_difference(report.instructions),
        "relative_error": round(report.relative_error_total, 5),
        "tools": report.tools,
    }


def table(schemes: Mapping[str, Mapping[str, Any]]) -> str:
    """Return cycles and errors of the schemes as Markdown."""
    columns = (
        "model",
        "scheme",
        "cached tokens",
        "cycles",
        "predicted",
        "over absorb",
        "largest difference of a start or end",
        "relative error",
    )
    lines: list[tuple[str, ...]] = [columns]
    for case in schemes.values():
        absorb = schemes.get(f"{case['model']}:absorb", case)
        lines.append((
            case["model"],
            case["scheme"],
            str(case["cached"]),
            grouped(case["cycles"]),
            grouped(case["predicted"]),
            f"{case['cycles'] / absorb['cycles']:.2f} ×",
            str(case["largest_difference"]),
            f"{case['relative_error']:.2e}",
        ))
    return markdown(lines) + caption(schemes.values())
