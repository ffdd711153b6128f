"""Tables that the command line prints."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from mla_hw.analysis.machine import Machine
from mla_hw.cli.listing import boards, models
from mla_hw.devices import UNBOUNDED
from mla_hw.hardware import HardwareConfig

if TYPE_CHECKING:
    from mla_hw.cli.generate import GenerateReport
    from mla_hw.cli.simulate import SimulationReport
    from mla_hw.cli.synth import SynthReport

__all__ = [
    "console",
    "cycles_table",
    "plain_table",
    "print_boards",
    "print_design",
    "print_models",
    "print_paths",
    "print_simulation",
    "print_synthesis",
    "resources_table",
    "units_table",
]

_ASSUMED = "?"


def console() -> Console:
    """Return a console that does not cut lines when the output is no terminal."""
    plain = Console()
    return plain if plain.is_terminal else Console(width=120, color_system=None)


def plain_table(*columns: str, title: str | None = None) -> Table:
    """Return a table whose first column is text and whose others are numbers."""
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", collapse_padding=True)
    for index, column in enumerate(columns):
        # Where it is narrow, numbers are worth more than their headings.
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=index == 0)
    return table


def print_paths(output: Console, *paths: Path) -> None:
    """Say what was written."""
    for path in paths:
        # A path may be long, and square brackets in it are no markup.
        output.print(f"written to {path}", highlight=False, markup=False, soft_wrap=True)


def print_models() -> None:
    """List the presets; values that are not verified carry a question mark."""
    fields = (
        "hidden_size",
        "num_attention_heads",
        "q_lora_rank",
        "kv_lora_rank",
        "qk_nope_head_dim",
        "qk_rope_head_dim",
        "v_head_dim",
        "max_position_embeddings",
    )
    heads = ("hidden", "heads", "q_lora", "kv_lora", "nope", "rope", "v", "positions")
    table = plain_table("model", *heads, "RoPE")

    def show(preset: Any, name: str) -> str:
        value = getattr(preset.config, name)
        mark = _ASSUMED if name in preset.assumed else ""
        return f"{'–' if value is None else value}{mark}"

    for preset in models().values():
        rope = preset.config.rope.rope_type
        if any(name.startswith("rope.") for name in preset.assumed):
            rope += _ASSUMED
        table.add_row(preset.name, *(show(preset, name) for name in fields), rope)
    output = console()
    output.print(table)
    for preset in models().values():
        if preset.assumed:
            output.print(f"{_ASSUMED} assumed in {preset.name}: {', '.join(preset.assumed)}")


def print_boards() -> None:
    """List the boards with what a core finds on them."""
    table = plain_table(
        *("board", "device", "LUT", "multipliers", "BRAM", "memory", "GB/s", "clock"),
        *("array", "MAC/byte"),
    )

    def show(count: int) -> str:
        return "–" if count >= UNBOUNDED else str(count)

    for name, board in boards().items():
        device, memory = board.device, board.memory
        hardware = HardwareConfig.from_dict(board.hardware)
        machine = Machine.of_core(
            hardware,
            clock_mhz=board.core_mhz,
            memory_bytes_per_second=memory.peak_bytes_per_second,
        )
        size = memory.size_bytes >> 10
        text = f"{size >> 10} MiB" if size >= 1024 else f"{size} KiB"
        table.add_row(
            name,
            device.name,
            *(show(count) for count in (device.lut, device.dsp, device.bram)),
            f"{text} {memory.kind}",
            f"{memory.peak_bytes_per_second / 1e9:.2f}",
            f"{board.core_mhz:g} MHz",
            f"{hardware.rows}×{hardware.columns}",
            f"{machine.balance:.1f}",
        )
    console().print(table)


def print_design(report: "GenerateReport") -> None:
    """Say what was generated."""
    design, output = report.design, console()
    core = design.core
    passes = len(design.manifest["passes"])
    rows = ""
    if core.query_rows > 1:
        kind = "tokens of one sequence" if design.memory.same_sequence else "sequences"
        rows = f" for {core.query_rows} {kind}"
    output.print(
        f"{core.rows}×{core.columns} core{rows}, scheme {design.scheme}, "
        f"hash {design.manifest['hash']}, "
        f"{len(design.program)} instructions, {passes} pass{'es' if passes > 1 else ''}, "
        f"context {design.context}, memory {design.memory.size} bytes",
        highlight=False,
    )
    steps = report.predicted["cycles"]
    table = plain_table("cached tokens", *steps[0]["phases"], "total", title="Predicted cycles")
    for row in steps:
        cells = [str(value) for value in row["phases"].values()]
        table.add_row(str(row["position"]), *cells, str(row["total"]))
    output.print(table)
    print_paths(output, report.directory)


def cycles_table(report: "SimulationReport") -> Table:
    """Cycles per phase: simulated, predicted, difference."""
    table = plain_table("phase", "simulated", "predicted", "difference")
    for phase in report.phases:
        difference = phase["simulated"] - phase["predicted"]
        table.add_row(
            phase["phase"], str(phase["simulated"]), str(phase["predicted"]), f"{difference:+d}"
        )
    simulated, predicted = sum(report.cycles["simulated"]), sum(report.cycles["predicted"])
    table.add_section()
    table.add_row("total", str(simulated), str(predicted), f"{simulated - predicted:+d}")
    return table


def print_simulation(report: "SimulationReport") -> None:
    """Say whether the core was right, how accurate and how fast."""
    output = console()
    output.print(
        f"bit-exact: {'yes' if report.bit_exact else 'NO'} ({report.tokens} tokens, scheme "
        f"{report.scheme})",
        highlight=False,
    )
    if report.difference:
        output.print(str(report.difference), highlight=False)
    if report.relative_error_total is not None:
        output.print(f"relative error: {report.relative_error_total:.3e}", highlight=False)
    output.print(cycles_table(report))
    if report.memory.startswith("random"):
        output.print("the prediction is for fixed:32; random gaps add cycles", highlight=False)
    print_paths(output, *report.files)


def resources_table(report: "SynthReport") -> Table:
    """Resources: used, available, share."""
    table = plain_table("resource", "used", "available", "share")
    for name in ("lut", "ff", "dsp", "bram"):
        usage = getattr(report, name)
        share = usage.used / usage.available
        table.add_row(name.upper(), str(usage.used), str(usage.available), f"{share:.0%}")
    return table


def units_table(report: "SynthReport") -> Table:
    """Look-up tables of each unit, most first."""
    table = plain_table("unit", "LUT", "of the device", title="Look-up tables per unit")
    for unit, count in report.luts_per_unit.items():
        table.add_row(unit, str(count), f"{count / report.lut.available:.1%}")
    return table


def print_synthesis(report: "SynthReport") -> None:
    """Show resources and, after placement, clocks."""
    output = console()
    built = "core alone" if report.design == "core" else "with host link, memory and clocks"
    output.print(f"{report.device}, board {report.board}, {built}", highlight=False)
    output.print(resources_table(report))
    if not report.fits:
        output.print(units_table(report))
    for seed, fmax in report.fmax_mhz.items():
        late = "" if report.timing_met[seed] else ", some clock is not met"
        output.print(f"seed {seed}: {fmax:.1f} MHz{late}", highlight=False)
    print_paths(output, *report.files)
