"""The demo: a shipped checkpoint through generate, simulate and synth, and what came of it."""

import os
import shutil
import sys
from pathlib import Path

import mla_hw
from mla_hw.cli.text import console, cycles_table, resources_table
from mla_hw.errors import MlaHwError

#: As short as can be: it stands in the commands that are shown.
CHECKPOINT = Path(os.path.relpath(Path(__file__).parent / "tiny-v3"))
OUT = Path("build/demo")
BOARD = "ulx3s-85f"


def say(line: str) -> None:
    """Show progress."""
    print(f"  {line}", flush=True)


def command(line: str) -> None:
    """Show the command line that does the same as the next step."""
    print(f"\n$ mla-hw {line}", flush=True)


def main() -> int:
    """Run the steps; return 1 when the core is not bit-exact."""
    hidden = CHECKPOINT / "expected.npz"
    OUT.parent.mkdir(parents=True, exist_ok=True)
    command(f"generate {CHECKPOINT} --board {BOARD} --calibration {hidden} --out {OUT}")
    generated = mla_hw.generate(CHECKPOINT, board=BOARD, calibration=hidden, out=OUT, progress=say)
    command(f"simulate {OUT} --hidden {hidden} --json {OUT}/results/simulate.json")
    simulated = mla_hw.simulate(OUT, hidden=hidden, progress=say)
    command(f"synth {OUT} --core")
    synthesised = mla_hw.synth(OUT, core=True, progress=say)

    output, core = console(), generated.design.core
    output.rule("tiny-v3 on a simulated core", align="left")
    output.print(
        f"core            {core.rows}×{core.columns} for {synthesised.device} ({BOARD}), "
        f"configuration {generated.design.manifest['hash']}",
        highlight=False,
    )
    verdict = "yes, in every bit of memory and buffers" if simulated.bit_exact else "NO"
    output.print(f"bit-exact       {verdict}, {simulated.tokens} tokens", highlight=False)
    if simulated.relative_error_total is not None:
        output.print(
            f"relative error  {simulated.relative_error_total:.2e} against Hugging Face's output "
            f"({len(simulated.relative_error)} tokens)",
            highlight=False,
        )
    output.print("\ncycles of all tokens, memory with 32 cycles of latency", highlight=False)
    output.print(cycles_table(simulated))
    output.print(f"resources of {synthesised.device}", highlight=False)
    output.print(resources_table(synthesised))
    for what, path in (
        ("Verilog", "verilog/"),
        ("program", "program.txt"),
        ("schedule", "schedule.txt"),
        ("registers", "registers.md"),
        ("simulation", "results/simulate-verilator.json"),
    ):
        output.print(f"{what:<12} {OUT / path}", highlight=False)
    return 0 if simulated.bit_exact else 1


if __name__ == "__main__":
    if shutil.which("g++") is None or shutil.which("make") is None:
        sys.exit("the simulation is compiled: it needs make and g++")
    try:
        sys.exit(main())
    except MlaHwError as error:
        sys.exit(f"error: {error}")
