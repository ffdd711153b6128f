"""Commands, options and help of ``mla-hw``."""

import argparse
from collections.abc import Callable, Mapping
from functools import partial

from mla_hw.cli.arguments import (
    Parser,
    count,
    counts,
    integers,
    number,
    one_of,
    path,
    positive,
    positives,
    text,
    words,
)
from mla_hw.cli.versions import project_version
from mla_hw.host.protocol import DEFAULT_BAUD

__all__ = ["PROGRAM", "Run", "build_parser"]

PROGRAM = "mla-hw"
_SIMULATORS = ("verilator", "icarus")

Run = Callable[[argparse.Namespace], int]


def build_parser(runs: Mapping[str, Run]) -> Parser:
    """Return the parser of all commands.

    Parameters
    ----------
    runs : mapping
        What runs a command, by its name: takes the arguments, returns the exit code.
    """
    parser = Parser(
        prog=PROGRAM, description="From a Multi-head Latent Attention checkpoint to an FPGA core."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {project_version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_generate(commands)
    _add_simulate(commands)
    _add_synth(commands)
    _add_run(commands)
    _add_report(commands)
    _add_analyze(commands)
    _add_paper(commands)
    _add_fit(commands)
    models = commands.add_parser("models", help="list the presets with their dimensions")
    models.add_argument(
        "--cache", action="store_true", help="their key-value caches against other attention"
    )
    commands.add_parser("boards", help="list the boards")
    for name, command in commands.choices.items():
        command.set_defaults(run=runs[name])
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
        "--layer", type=count, metavar="N", help="layer of the checkpoint (default: 0)"
    )
    command.add_argument(
        "--layers",
        type=_layers,
        metavar="N,N,...|all",
        help="in its place, several layers in one image",
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


def _layers(text: str) -> tuple[int, ...] | str:
    """Read layers that are joined by commas, or ``all``."""
    try:
        return text if text == "all" else tuple(map(count, text.split(",")))
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}; or all") from None


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
        "--layer", type=count, metavar="N", help="layer of an image of several (default: its first)"
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


def _add_synth(commands: "argparse._SubParsersAction[Parser]") -> None:
    command = commands.add_parser("synth", help="count resources; place and route with --place")
    command.add_argument("directory", type=path, metavar="DIR", help="made by generate")
    command.add_argument("--place", action="store_true", help="place, route, pack a bitstream")
    command.add_argument(
        "--core",
        action="store_true",
        help="the core alone, in place of what works on the board, with host link and memory",
    )
    command.add_argument(
        "--seeds",
        type=integers,
        metavar="1,2,3",
        help="with --place: seeds of the placement (default: 1)",
    )
    command.add_argument(
        "--jobs", type=positive, metavar="N", help="with --place: seeds at a time (default: 1)"
    )
    command.add_argument(
        "--baud",
        type=positive,
        metavar="N",
        help=f"bits per second of the host link (default: {DEFAULT_BAUD})",
    )
    command.add_argument("--json", type=path, metavar="FILE", help="report")


def _add_run(commands: "argparse._SubParsersAction[Parser]") -> None:
    command = commands.add_parser("run", help="decode tokens on a board, over its serial line")
    command.add_argument("directory", type=path, metavar="DIR", help="made by generate")
    command.add_argument(
        "--port", type=text, required=True, metavar="DEV", help="serial port of the board"
    )
    command.add_argument(
        "--hidden",
        type=path,
        metavar="FILE.npz",
        help="array x [tokens, hidden_size], or [tokens, rows, hidden_size]; y to compare",
    )
    command.add_argument(
        "--baud",
        type=positive,
        default=DEFAULT_BAUD,
        metavar="N",
        help=f"bits per second that the bitstream was built for (default: {DEFAULT_BAUD})",
    )
    command.add_argument(
        "--layer", type=count, metavar="N", help="layer of an image of several (default: its first)"
    )
    command.add_argument(
        "--verify",
        action="store_true",
        help="read the image back, and compare y of every token with the golden model",
    )
    command.add_argument("--json", type=path, metavar="FILE", help="report")


def _add_report(commands: "argparse._SubParsersAction[Parser]") -> None:
    command = commands.add_parser("report", help="write one HTML page about a generated folder")
    command.add_argument("directory", type=path, metavar="DIR", help="made by generate")
    command.add_argument(
        "--html", type=path, metavar="FILE", help="the page (default: DIR/report.html)"
    )


def _add_analyze(commands: "argparse._SubParsersAction[Parser]") -> None:
    command = commands.add_parser(
        "analyze", help="compare schemes of attention before anything is built"
    )
    command.add_argument(
        "model", type=text, metavar="MODEL", help="folder with config.json, or a preset's name"
    )
    command.add_argument(
        "--hardware",
        type=path,
        metavar="FILE.yaml",
        help="keys of a core; without --board its port is never kept waiting",
    )
    command.add_argument(
        "--board", metavar="NAME", help="core and memory of a board (default: ulx3s-85f)"
    )
    command.add_argument(
        "--peak-macs",
        type=number,
        metavar="N",
        help="any machine: multiply-accumulates per cycle, with --bandwidth and --clock",
    )
    command.add_argument("--bandwidth", type=number, metavar="GB/s", help="of its memory")
    command.add_argument(
        "--clock", type=number, metavar="MHz", help="of the machine, or of the core"
    )
    command.add_argument(
        "--context",
        type=positives,
        default=(1024, 4096),
        metavar="N,N,...",
        help="cached tokens, or tokens of a prefill (default: 1024,4096)",
    )
    command.add_argument(
        "--batch",
        type=positives,
        default=(1,),
        metavar="N,N,...",
        help="sequences that share the weights (default: 1)",
    )
    command.add_argument(
        "--schemes", type=words, metavar="NAME,NAME,...", help="which to compare (default: all)"
    )
    command.add_argument(
        "--phase", default="decode", metavar="decode|prefill", help="(default: decode)"
    )
    command.add_argument(
        "--paper",
        action="store_true",
        help="count as arXiv 2506.02523: no RoPE, norms, softmax; a byte per element",
    )
    command.add_argument(
        "--storage",
        default="int8",
        metavar="int8|bf16|elements",
        help="what lies in memory (default: int8, as the core has it)",
    )
    command.add_argument(
        "--mac-pj", type=number, default=0.2, metavar="PJ", help="energy of a MAC (default: 0.2)"
    )
    command.add_argument(
        "--pj-per-bit",
        type=number,
        default=8.0,
        metavar="PJ",
        help="energy of a bit of memory (default: 8)",
    )
    command.add_argument(
        "--predict", action="store_true", help="beside it the cycle model of the core's programs"
    )
    command.add_argument("--json", type=path, metavar="FILE", help="report")
    command.add_argument("--html", type=path, metavar="FILE", help="report as a page with plots")


def _add_paper(commands: "argparse._SubParsersAction[Parser]") -> None:
    command = commands.add_parser(
        "paper", help="redraw the figures of arXiv 2506.02523 from counts, and compare them"
    )
    command.add_argument(
        "--out",
        type=path,
        required=True,
        metavar="DIR",
        help="folder that is made; one that paper made before is replaced",
    )


def _add_fit(commands: "argparse._SubParsersAction[Parser]") -> None:
    command = commands.add_parser("fit", help="say on which boards a model's layer fits")
    command.add_argument(
        "model", type=text, metavar="MODEL", help="folder with config.json, or a preset's name"
    )
    command.add_argument(
        "--boards", type=words, metavar="NAME,NAME,...", help="which boards (default: all)"
    )
    command.add_argument("--json", type=path, metavar="FILE", help="the table")
