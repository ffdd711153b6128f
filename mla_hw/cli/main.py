"""``mla-hw``: arguments, printing and exit codes."""

import argparse
import io
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from mla_hw.cli.arguments import Parser, count, counts, integers, one_of, path, positive, text
from mla_hw.cli.versions import project_version
from mla_hw.errors import MlaHwError

__all__ = ["main"]

_PROGRAM = "mla-hw"
_SIMULATORS = ("verilator", "icarus")


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
        arguments = _parser().parse_args(argv)
        run: Callable[[argparse.Namespace], int] = arguments.run
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
        print(f"{_PROGRAM}: {line}", file=sys.stderr, flush=True)


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


def _parser() -> Parser:
    parser = Parser(
        prog=_PROGRAM, description="From a Multi-head Latent Attention checkpoint to an FPGA core."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {project_version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_generate(commands)
    _add_simulate(commands)
    _add_synth(commands)
    models = commands.add_parser("models", help="list the presets with their dimensions")
    models.set_defaults(run=_models)
    boards = commands.add_parser("boards", help="list the boards")
    boards.set_defaults(run=_boards)
    parser.commands = tuple(commands.choices)
    return parser


def _add_generate(commands: "argparse._SubParsersAction[Parser]") -> None:
    command = commands.add_parser("generate", help="make Verilog, program and memory image")
    command.add_argument(
        "checkpoint",
        type=text,
        metavar="CHECKPOINT",
        help="folder as Hugging Face writes it, or a preset's name",
    )
    command.add_argument(
        "--layer", type=count, default=0, metavar="N", help="layer of the checkpoint (default: 0)"
    )
    command.add_argument(
        "--board",
        default="ulx3s-85f",
        metavar="NAME",
        help="see mla-hw boards (default: ulx3s-85f)",
    )
    command.add_argument(
        "--hardware", type=path, metavar="FILE.yaml", help="keys over the board's default"
    )
    command.add_argument(
        "--context",
        type=positive,
        metavar="N",
        help="cached tokens (default: min(max_position_embeddings, 4096))",
    )
    command.add_argument(
        "--calibration", type=path, metavar="FILE.npz", help="array x [n, hidden_size]"
    )
    command.add_argument(
        "--seed", type=count, default=0, metavar="N", help="of a preset's weights (default: 0)"
    )
    command.add_argument(
        "--scheme",
        default="absorb",
        metavar="absorb|reuse|recompute|naive",
        help="how MLA is decoded (default: absorb)",
    )
    command.add_argument(
        "--rows",
        type=positive,
        default=1,
        metavar="N",
        help="sequences that share the weight stream (default: 1)",
    )
    command.add_argument(
        "--same-sequence",
        action="store_true",
        help="the rows are consecutive tokens of one sequence",
    )
    command.add_argument("--no-image", action="store_true", help="leave image.bin out")
    command.add_argument(
        "--out",
        type=path,
        required=True,
        metavar="DIR",
        help="folder that is made; one that generate made before is replaced",
    )
    command.set_defaults(run=_generate)


def _add_simulate(commands: "argparse._SubParsersAction[Parser]") -> None:
    command = commands.add_parser("simulate", help="run the core and compare it bit by bit")
    command.add_argument("directory", type=path, metavar="DIR", help="made by generate")
    command.add_argument(
        "--hidden",
        type=path,
        metavar="FILE.npz",
        help="array x [tokens, hidden_size], or [tokens, rows, hidden_size]; y to compare",
    )
    command.add_argument(
        "--prefill",
        type=counts,
        default=0,
        metavar="K",
        help="tokens that only fill the cache, or as many numbers as rows (default: 0)",
    )
    command.add_argument(
        "--memory",
        default="fixed:32",
        metavar="fixed:N|random:SEED|dram",
        help="latency in cycles, random gaps, or the board's SDRAM (default: fixed:32)",
    )
    command.add_argument(
        "--sim",
        type=partial(one_of, choices=_SIMULATORS),
        default="verilator",
        metavar="|".join(_SIMULATORS),
        help="simulator (default: verilator)",
    )
    command.add_argument(
        "--waves", action="store_true", help="write an FST and a GTKWave save file"
    )
    command.add_argument("--output", type=path, metavar="FILE.npz", help="arrays y_int and y")
    command.add_argument("--json", type=path, metavar="FILE", help="report")
    command.add_argument(
        "--trace", type=path, metavar="FILE.json", help="timelines as Chrome trace events"
    )
    command.set_defaults(run=_simulate)


def _add_synth(commands: "argparse._SubParsersAction[Parser]") -> None:
    command = commands.add_parser("synth", help="count resources; place and route with --place")
    command.add_argument("directory", type=path, metavar="DIR", help="made by generate")
    command.add_argument("--place", action="store_true", help="place, route, pack a bitstream")
    command.add_argument(
        "--seeds",
        type=integers,
        default=(1,),
        metavar="1,2,3",
        help="seeds of the placement (default: 1)",
    )
    command.add_argument("--json", type=path, metavar="FILE", help="report")
    command.set_defaults(run=_synth)


# The commands import what they need when they run, so that `mla-hw boards` does not wait for it.


def _generate(arguments: argparse.Namespace) -> int:
    from mla_hw.cli.generate import generate
    from mla_hw.cli.text import print_design

    report = generate(
        arguments.checkpoint,
        out=arguments.out,
        layer=arguments.layer,
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

    report = synth(
        arguments.directory,
        place=arguments.place,
        seeds=arguments.seeds,
        json_path=arguments.json,
        progress=_progress,
    )
    print_synthesis(report)
    return 0


def _models(arguments: argparse.Namespace) -> int:
    from mla_hw.cli.text import print_models

    print_models()
    return 0


def _boards(arguments: argparse.Namespace) -> int:
    from mla_hw.cli.text import print_boards

    print_boards()
    return 0
