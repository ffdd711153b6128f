"""``mla-hw``: arguments, printing and exit codes."""

import argparse
import io
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress

from mla_hw.cli.commands import PROGRAM, Run, build_parser
from mla_hw.errors import ConfigError, MlaHwError, ToolError

__all__ = ["RUNS", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code.

    An error that the user can mend is one line on standard error and exit code 1; Ctrl-C is 130.
    A reader that closes the pipe ends the command with exit code 1 and no message.
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal that has no × shows a question mark; that is no reason to fail.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        arguments = build_parser(RUNS).parse_args(argv)
        run: Run = arguments.run
        code = run(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
    except MlaHwError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        # Amaranth would list what it had begun.
        warnings.filterwarnings("ignore", ".*created but never used")
        _say("interrupted")
        return 130
    except BrokenPipeError:
        return 1
    except OSError as error:
        # What no command has foreseen, such as a full disk under standard output.
        name = f"{error.filename}: " if error.filename is not None else ""
        return _fail(f"{name}{error.strerror or error}")
    finally:
        _settle_output()
    return code


def _fail(message: str) -> int:
    _say(f"error: {' '.join(message.splitlines())}")
    return 1


def _say(line: str) -> None:
    with suppress(OSError):
        print(f"{PROGRAM}: {line}", file=sys.stderr, flush=True)


def _settle_output() -> None:
    """Flush standard output; what nobody takes goes nowhere, or the interpreter would complain."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _progress(line: str) -> None:
    print(line, flush=True)


# The commands import what they need when they run, so that `mla-hw boards` does not wait for it.


def _generate(arguments: argparse.Namespace) -> int:
    from mla_hw.cli.generate import generate
    from mla_hw.cli.text import print_design

    report = generate(
        arguments.checkpoint,
        out=arguments.out,
        layer=arguments.layer,
        layers=arguments.layers,
        board=arguments.board,
        hardware=arguments.hardware,
        context=arguments.context,
        calibration=arguments.calibration,
        seed=arguments.seed,
        scheme=arguments.scheme,
        image=not arguments.no_image,
        rows=arguments.rows,
        same_sequence=arguments.same_sequence,
        progress=_progress,
    )
    for warning in report.warnings:
        _say(f"warning: {warning}")
    print_design(report)
    return 0


def _simulate(arguments: argparse.Namespace) -> int:
    from mla_hw.cli.simulate import simulate
    from mla_hw.cli.text import print_simulation

    report = simulate(
        arguments.directory,
        hidden=arguments.hidden,
        layer=arguments.layer,
        prefill=arguments.prefill,
        memory=arguments.memory,
        simulator=arguments.sim,
        waves=arguments.waves,
        output=arguments.output,
        json_path=arguments.json,
        trace=arguments.trace,
        progress=_progress,
    )
    print_simulation(report)
    return 0 if report.bit_exact else 1


def _synth(arguments: argparse.Namespace) -> int:
    from mla_hw.cli.synth import synth
    from mla_hw.cli.text import print_synthesis

    options = {name: getattr(arguments, name) for name in ("seeds", "jobs", "baud")}
    given = {name: value for name, value in options.items() if value is not None}
    for name in ("seeds", "jobs"):
        if name in given and not arguments.place:
            raise ConfigError(f"--{name}: is for a placement: give --place as well")
    report = synth(
        arguments.directory,
        place=arguments.place,
        core=arguments.core,
        **given,
        json_path=arguments.json,
        progress=_progress,
    )
    print_synthesis(report)
    if report.timing_met and not any(report.timing_met.values()):
        raise ToolError(
            "timing is missed with every seed: give other --seeds, or the board a lower core_mhz; "
            "the bitstream is packed all the same"
        )
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from mla_hw.cli.run import print_run, run

    report = run(
        arguments.directory,
        port=arguments.port,
        hidden=arguments.hidden,
        baud=arguments.baud,
        layer=arguments.layer,
        verify=arguments.verify,
        json_path=arguments.json,
        progress=_progress,
    )
    print_run(report)
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from mla_hw.cli.report import report

    page = report(arguments.directory, html=arguments.html, progress=_progress)
    for warning in page.warnings:
        _say(f"warning: {warning}")
    _progress(f"written to {page.path}")
    return 0


def _analyze(arguments: argparse.Namespace) -> int:
    from mla_hw.analysis.baselines import ANALYSIS_SCHEMES
    from mla_hw.cli.analysis_text import print_analysis
    from mla_hw.cli.analyze import analyze

    report = analyze(
        arguments.model,
        hardware=arguments.hardware,
        board=arguments.board,
        peak_macs=arguments.peak_macs,
        bandwidth=arguments.bandwidth,
        clock=arguments.clock,
        contexts=arguments.context,
        batches=arguments.batch,
        schemes=arguments.schemes or ANALYSIS_SCHEMES,
        phase=arguments.phase,
        paper=arguments.paper,
        storage=arguments.storage,
        mac_pj=arguments.mac_pj,
        pj_per_bit=arguments.pj_per_bit,
        predict=arguments.predict,
        json_path=arguments.json,
        html=arguments.html,
        progress=_progress,
    )
    for warning in report.warnings:
        _say(f"warning: {warning}")
    print_analysis(report)
    return 0


def _paper(arguments: argparse.Namespace) -> int:
    from mla_hw.cli.paper import paper
    from mla_hw.cli.paper_text import print_paper

    report = paper(arguments.out, progress=_progress)
    print_paper(report)
    return 0 if report.ok else 1


def _fit(arguments: argparse.Namespace) -> int:
    from mla_hw.cli.fit import fit, print_fit

    rows = fit(
        arguments.model,
        boards=arguments.boards,
        json_path=arguments.json,
        progress=_progress,
    )
    print_fit(rows)
    return 0


def _models(arguments: argparse.Namespace) -> int:
    if arguments.cache:
        from mla_hw.analysis.cache_size import cache_size
        from mla_hw.cli.analysis_text import print_cache
        from mla_hw.cli.listing import models
        from mla_hw.hardware import HardwareConfig

        hardware = HardwareConfig()
        print_cache(cache_size(name, preset.config, hardware) for name, preset in models().items())
        return 0
    from mla_hw.cli.text import print_models

    print_models()
    return 0


def _boards(arguments: argparse.Namespace) -> int:
    from mla_hw.cli.text import print_boards

    print_boards()
    return 0


#: What runs a command, by its name.
RUNS = {
    "generate": _generate,
    "simulate": _simulate,
    "synth": _synth,
    "run": _run,
    "report": _report,
    "analyze": _analyze,
    "paper": _paper,
    "fit": _fit,
    "models": _models,
    "boards": _boards,
}
