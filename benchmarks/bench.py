"""Measure simulated decode steps: ``make bench``.

    python -m benchmarks.bench [--output benchmarks/results.json] [CASE ...]

Simulates each of CASES, of real model dimensions, on Verilator, works out the figures of merit of
each phase, and writes them with versions and commit as JSON, and the table of the README. The same
for SCHEMES: small models, decoded by each scheme, with their cycles and error. Cases that are not
asked for keep their figures. A run that is not bit-exact ends the benchmark.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import mla_hw
from mla_hw import schedule
from mla_hw.cycles.figures import phase_figures, roofline_efficiency
from mla_hw.design import Design
from mla_hw.errors import MlaHwError
from tests.reference_cases import load_case, write_case

OUTPUT = Path(__file__).parent / "results.json"
README = Path(__file__).parents[1] / "README.md"
BOARD = "lfe5u-85f-512m"
HARDWARE = {"rows": 8, "columns": 16, "port_bytes": 16}
SEED = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One decode step.

    Parameters
    ----------
    model : str
        Reference case with the dimensions and weights.
    cached : int
        Tokens in the cache before the step.
    memory : str
        As for ``mla-hw simulate``.
    """

    model: str
    cached: int
    memory: str = "fixed:32"

    @property
    def name(self) -> str:
        """Name on the command line and in the table."""
        return f"{self.model}:{self.cached}:{self.memory}"


CASES = (
    Case(model="v2lite-dims", cached=128),
    Case(model="v2lite-dims", cached=1024),
    Case(model="v2lite-dims", cached=4096),
    Case(model="v3-quarter-heads", cached=1024),
    Case(model="v2lite-dims", cached=256, memory="dram"),
)


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
        """Name on the command line."""
        return f"{self.model}:{self.scheme}"


SCHEMES = tuple(
    SchemeCase(model=model, scheme=scheme)
    for model in ("tiny-v3", "small-v2lite")
    for scheme in schedule.SCHEMES
)
SCHEME_HARDWARE = {"rows": 4, "columns": 8, "port_bytes": 8}


def generate(model: str, folder: Path) -> Path:
    """Generate the core of a reference case for its longest step; return the generated folder."""
    write_case(model, folder / "checkpoint")
    np.savez(folder / "calibration.npz", x=load_case(model).x)
    mla_hw.generate(
        folder / "checkpoint",
        out=folder / "core",
        board=BOARD,
        hardware=HARDWARE,
        calibration=folder / "calibration.npz",
        context=1 + max(case.cached for case in CASES if case.model == model),
        progress=say,
    )
    return folder / "core"


def measure(case: Case, core: Path) -> dict[str, Any]:
    """Simulate one step and return its figures.

    Raises
    ------
    MlaHwError
        When the step is not bit-exact.
    """
    design = Design.load(core)
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((case.cached + 1, design.model.hidden_size), dtype=np.float32)
    hidden = core.parent / "hidden.npz"
    np.savez(hidden, x=x)
    begin = time.perf_counter()
    report = mla_hw.simulate(
        core, hidden=hidden, prefill=case.cached, memory=case.memory, progress=say
    )
    seconds = time.perf_counter() - begin
    if not report.bit_exact:
        raise MlaHwError(f"{case.name}: not bit-exact: {report.difference}")
    cycles = {item["phase"]: item["simulated"] for item in report.phases}
    figures = phase_figures(design.model, design.core, case.cached + 1, cycles, design.scheme)
    return {
        "model": case.model,
        "cached": case.cached,
        "memory": case.memory,
        "hash": report.hash,
        "core": design.core.to_dict(),
        "cycles": report.cycles["simulated"][0],
        "predicted": report.cycles["predicted"][0],
        "largest_difference": largest_difference(report.instructions),
        "instructions": len(report.instructions),
        "roofline_efficiency": round(roofline_efficiency(figures), 4),
        "phases": {
            item.phase: {
                "cycles": item.cycles,
                "macs": item.macs,
                "payload_bytes": item.payload_bytes,
                "array_utilisation": round(item.array_utilisation, 4),
                "port_utilisation": round(item.port_utilisation, 4),
            }
            for item in figures
        },
        "sim_cycles_per_second": round(report.sim_cycles_per_second),
        "seconds": round(seconds, 1),
        "tools": report.tools,
    }


def measure_scheme(case: SchemeCase, folder: Path) -> dict[str, Any]:
    """Generate and simulate a core for a scheme; return cycles of the last token, and the error.

    Raises
    ------
    MlaHwError
        When a token is not bit-exact.
    """
    checkpoint, given = write_case(case.model, folder / "checkpoint"), load_case(case.model)
    half = len(given.x) // 2
    np.savez(folder / "calibration.npz", x=given.x[:half])
    mla_hw.generate(
        checkpoint,
        out=folder / "core",
        board=BOARD,
        hardware=SCHEME_HARDWARE,
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


def largest_difference(instructions: Iterable[Mapping[str, Any]]) -> int:
    """Return the cycles by which a start or an end was predicted wrongly at most."""
    return max(
        abs(item[edge]["simulated"] - item[edge]["predicted"])
        for item in instructions
        for edge in ("start", "end")
    )


def commit() -> str:
    """Return the commit that is measured, marked when files differ from it."""
    git = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude", "*"]
    result = subprocess.run(git, capture_output=True, text=True, check=False, cwd=OUTPUT.parent)
    return result.stdout.strip() or "unknown"


def table(steps: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the figures as Markdown."""
    columns = (
        "model",
        "cached tokens",
        "memory",
        "cycles",
        "predicted",
        "largest difference of a start or end",
        "array utilisation in attention",
        "port utilisation of the projections",
        "roofline efficiency",
        "simulated cycles/s",
    )
    rows: list[tuple[str, ...]] = [columns, ("---",) * len(columns)]
    for step in steps.values():
        phases = dict(step["phases"])
        attention = phases.pop("attention")
        port = [item["port_utilisation"] for item in phases.values()]
        rows.append((
            step["model"],
            str(step["cached"]),
            step["memory"],
            _grouped(step["cycles"]),
            _grouped(step["predicted"]),
            str(step["largest_difference"]),
            f"{100 * attention['array_utilisation']:.1f} %",
            f"{100 * min(port):.1f} to {100 * max(port):.1f} %",
            f"{100 * step['roofline_efficiency']:.1f} %",
            _grouped(step["sim_cycles_per_second"]),
        ))
    return _markdown(rows)


def scheme_table(schemes: Mapping[str, Mapping[str, Any]]) -> str:
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
    rows: list[tuple[str, ...]] = [columns, ("---",) * len(columns)]
    for case in schemes.values():
        absorb = schemes.get(f"{case['model']}:absorb", case)
        rows.append((
            case["model"],
            case["scheme"],
            str(case["cached"]),
            _grouped(case["cycles"]),
            _grouped(case["predicted"]),
            f"{case['cycles'] / absorb['cycles']:.2f} ×",
            str(case["largest_difference"]),
            f"{case['relative_error']:.2e}",
        ))
    return _markdown(rows)


def _markdown(rows: Iterable[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _grouped(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def write_readme(text: str, name: str) -> None:
    """Put a table between its marks in the README."""
    before, mark, rest = README.read_text(encoding="utf-8").partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- /{name} -->")
    assert mark, "the README has lost the marks of the benchmark"
    assert end, "the README has lost the marks of the benchmark"
    README.write_text(f"{before}{mark}{text}{end}{after}", encoding="utf-8")


def say(line: str) -> None:
    """Show progress."""
    print(f"  {line}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    scheme_names = [case.name for case in SCHEMES]
    names = [*(case.name for case in CASES), *scheme_names]
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"one of {', '.join(names)}")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args(arguments)
    if unknown := set(options.cases) - set(names):
        parser.error(f"CASE: must be one of {', '.join(names)}, not {', '.join(sorted(unknown))}")
    wanted = [case for case in CASES if not options.cases or case.name in options.cases]
    wanted_schemes = [case for case in SCHEMES if not options.cases or case.name in options.cases]
    known: dict[str, Any] = {}
    if options.output.exists():
        before = json.loads(options.output.read_text(encoding="utf-8"))
        known = {**before["steps"], **before.get("schemes", {})}
    with tempfile.TemporaryDirectory() as folder:
        cores: dict[str, Path] = {}
        for case in wanted:
            print(case.name, flush=True)
            if case.model not in cores:
                root = Path(folder) / case.model
                root.mkdir()
                cores[case.model] = generate(case.model, root)
            known[case.name] = {"commit": commit(), **measure(case, cores[case.model])}
        for scheme_case in wanted_schemes:
            print(scheme_case.name, flush=True)
            root = Path(folder) / f"{scheme_case.model}-{scheme_case.scheme}"
            root.mkdir()
            known[scheme_case.name] = {"commit": commit(), **measure_scheme(scheme_case, root)}
    result = {
        "board": BOARD,
        "hardware": HARDWARE,
        "steps": {case.name: known[case.name] for case in CASES if case.name in known},
        "scheme_hardware": SCHEME_HARDWARE,
        "schemes": {name: known[name] for name in scheme_names if name in known},
    }
    options.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    texts = {"bench": table(result["steps"]), "schemes": scheme_table(result["schemes"])}
    for name, text in texts.items():
        print(text)
        if options.output == OUTPUT:
            write_readme(text, name)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MlaHwError as error:
        sys.exit(f"error: {error}")
