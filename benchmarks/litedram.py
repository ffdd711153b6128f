"""LiteDRAM against the model of ``--memory dram``: ``python -m benchmarks.litedram``.

    python -m benchmarks.litedram [--output benchmarks/litedram.json] [--sim verilator|icarus]

Whole programs (:mod:`benchmarks.litedram_programs`) and streams of reads
(:mod:`benchmarks.litedram_streams`). LiteDRAM runs the chip at the core's clock, so the model does
so as well. Takes ten minutes; writes figures with versions and commit as JSON, and the tables of
docs/boards.md.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.litedram_programs import PROGRAMS, measure_program, program_table
from benchmarks.litedram_streams import STREAM_BOARDS, measure_streams, stream_table
from benchmarks.report import BOARDS_PAGE, LITEDRAM, caption, commit, say, write_marked
from boards import load_board
from mla_hw.errors import MlaHwError
from sim.simulators import SIMULATORS


def tables(results: Mapping[str, Any]) -> str:
    """Return all figures as Markdown."""
    entries = (*results["programs"].values(), *results["streams"].values())
    programs, streams = program_table(results["programs"]), stream_table(results["streams"])
    return f"{programs}\n{streams}{caption(entries)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=LITEDRAM)
    parser.add_argument("--sim", choices=SIMULATORS, default=SIMULATORS[0])
    options = parser.parse_args(arguments)
    measured = commit(options.output)
    results: dict[str, Any] = {"programs": {}}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for program in PROGRAMS:
            print(program.name, flush=True)
            folder = root / program.name.replace(":", "-")
            folder.mkdir()
            figures = measure_program(program, folder, simulator=options.sim, progress=say)
            results["programs"][program.name] = {"commit": measured, **figures}
        results["streams"] = {}
        for board in STREAM_BOARDS:
            print(f"streams: {board}", flush=True)
            folder = root / board
            folder.mkdir()
            figures = measure_streams(load_board(board), folder, simulator=options.sim)
            results["streams"][board] = {"commit": measured, **figures}
    text = tables(results)
    print(text)
    options.output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    if options.output == LITEDRAM:
        write_marked(BOARDS_PAGE, "litedram", text)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MlaHwError as error:
        sys.exit(f"error: {error}")
