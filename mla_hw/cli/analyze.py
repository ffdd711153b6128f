"""``mla-hw analyze``: schemes and machines compared, before anything is built."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mla_hw.analysis.baselines import ANALYSIS_SCHEMES, analysis_graph
from mla_hw.analysis.breakeven import break_evens
from mla_hw.analysis.cache_size import cache_size
from mla_hw.analysis.estimate import SchemeWork, estimate
from mla_hw.analysis.machine import BF16, DRAM_PJ_PER_BIT, ELEMENTS, MAC_PJ, STORED, Machine
from mla_hw.analysis.report import AnalysisReport
from mla_hw.checkpoint import resolve_model
from mla_hw.cli.hardware_file import read_hardware
from mla_hw.cli.model_prediction import predict_steps
from mla_hw.cli.output_folder import check_different, check_output, write_output
from mla_hw.config import ModelConfig
from mla_hw.errors import ConfigError
from mla_hw.fields import check_choice, check_number, check_positive_int
from mla_hw.graph import MLA_SCHEMES, StepShape
from mla_hw.hardware import HardwareConfig
from mla_hw.html.analysis import analysis_sections
from mla_hw.html.page import page_text

if TYPE_CHECKING:
    from boards import Board

__all__ = ["PHASES", "STORAGES", "analyze"]

DEFAULT_BOARD = "ulx3s-85f"
#: Largest number of tokens and of sequences, and range of every other number.
MOST_COUNT = 10**12
QUANTITIES = (1e-9, 1e15)
#: Kinds of steps: one token of each sequence, or all of the context at once.
PHASES = ("decode", "prefill")
STORAGES = {storage.name: storage for storage in (STORED, BF16, ELEMENTS)}


def analyze(
    model: str | Path,
    *,
    hardware: str | Path | Mapping[str, Any] | None = None,
    board: str | None = None,
    peak_macs: float | None = None,
    bandwidth: float | None = None,
    clock: float | None = None,
    contexts: Sequence[int] = (1024, 4096),
    batches: Sequence[int] = (1,),
    schemes: Sequence[str] = ANALYSIS_SCHEMES,
    phase: str = "decode",
    paper: bool = False,
    storage: str = STORED.name,
    mac_pj: float = MAC_PJ,
    pj_per_bit: float = DRAM_PJ_PER_BIT,
    predict: bool = False,
    json_path: Path | str | None = None,
    html: Path | str | None = None,
    progress: Callable[[str], None] | None = None,
) -> AnalysisReport:
    """Compare attention schemes of a model on a machine.

    Parameters
    ----------
    model : str or Path
        Preset, or a folder with config.json.
    hardware : str or Path or dict or None
        As for ``generate``; alone, the core's port is never kept waiting by the memory.
    board : str or None
        Board whose memory bounds the port, with its default hardware.
    peak_macs, bandwidth, clock : float or None
        Any machine: multiply-accumulates per cycle, GB/s, MHz; with a core, `clock` is the core's.
    contexts : sequence of int
        Decode: earlier tokens that are cached; prefill: tokens.
    batches : sequence of int
        Sequences, which share the weights.
    schemes : sequence of str
        Of :data:`~mla_hw.analysis.baselines.ANALYSIS_SCHEMES`.
    phase : str
        ``decode`` or ``prefill``.
    paper : bool
        Count as arXiv 2506.02523 does: without RoPE, norms and softmax, one byte per element, all
        pairs of a prefill.
    storage : str
        Format of what lies in memory, of :data:`STORAGES`.
    mac_pj, pj_per_bit : float
        Energy of a multiply-accumulate and of a bit of memory, in picojoules.
    predict : bool
        Also let the cycle model predict the programs of the schemes that a core has, for one
        sequence.
    json_path, html : Path or str or None
        Files for the report.
    progress : callable or None
        Called with a line of text at each long step.

    Raises
    ------
    ConfigError
        For an option that does not fit; names it.
    """
    say = progress or (lambda _: None)
    check_choice("--phase:", phase, PHASES)
    check_choice("--storage:", storage, tuple(STORAGES))
    if paper and storage != STORED.name:
        raise ConfigError("--storage: --paper counts a byte per element; give only one of them")
    if isinstance(schemes, str):
        raise ConfigError(f"--schemes: must be a list of names, not {schemes!r}")
    for name, values in (("--context:", contexts), ("--batch:", batches), ("--schemes:", schemes)):
        if not values:
            raise ConfigError(f"{name} must have at least one value")
    for name, numbers in (("--context:", contexts), ("--batch:", batches)):
        for number in numbers:
            if check_positive_int(name, number) > MOST_COUNT:
                raise ConfigError(f"{name} must be at most {MOST_COUNT}, not {number}")
    for name, value in (("--mac-pj:", mac_pj), ("--pj-per-bit:", pj_per_bit)):
        _check_quantity(name, value)
    check_different(json=json_path, html=html)
    for path, option in ((json_path, "--json"), (html, "--html")):
        if path is not None:
            check_output(path, option)
    name, config = _model(model)
    machine, core = _machine(
        hardware=hardware, board=board, peak_macs=peak_macs, bandwidth=bandwidth, clock=clock
    )
    machine = replace(
        machine,
        storage=ELEMENTS if paper else STORAGES[storage],
        mac_pj=mac_pj,
        pj_per_bit=pj_per_bit,
    )
    decode = phase == "decode"
    if predict and (core is None or not decode or paper):
        raise ConfigError("--predict: needs a core (--hardware or --board), decode, and no --paper")
    if predict and storage != STORED.name:
        raise ConfigError("--predict: the core's programs are int8; leave out --storage")
    if predict and 1 not in batches:
        raise ConfigError("--predict: predicts one sequence; --batch has no 1")
    works = [
        SchemeWork.of(
            analysis_graph(config, scheme, rope=not paper), scheme, vector_operations=not paper
        )
        for scheme in dict.fromkeys(schemes)
    ]
    shapes = [
        StepShape(
            context=context + decode,
            tokens=1 if decode else context,
            batch=batch,
            causal=not paper,
        )
        for context in dict.fromkeys(contexts)
        for batch in dict.fromkeys(batches)
    ]
    report = AnalysisReport(
        model=name,
        config=config,
        phase=phase,
        paper=paper,
        machine=machine,
        estimates=tuple(estimate(work, shape, machine) for shape in shapes for work in works),
        contexts=tuple(dict.fromkeys(contexts)),
        cache=cache_size(name, config, core.hardware if core else HardwareConfig()),
        break_evens=tuple(
            break_evens(works, shapes[0], machine, most_context=config.max_position_embeddings)
        ),
        predictions=(),
        warnings=tuple(_warnings(config, contexts)),
    )
    if predict and core is not None:
        wanted = [work.scheme for work in works if work.scheme in MLA_SCHEMES]
        report = replace(
            report,
            predictions=predict_steps(
                config,
                core.hardware,
                core.board,
                wanted,
                report.contexts,
                say,
                clock_mhz=clock,
            ),
        )
    if json_path is not None:
        write_output(json_path, json.dumps(report.to_dict(), indent=2) + "\n", "--json")
    if html is not None:
        say("write the page")
        title = f"{name}, {phase}"
        text = page_text(title, f"schemes on {machine.name}", analysis_sections(report))
        write_output(html, text, "--html")
    files = tuple(Path(path) for path in (json_path, html) if path is not None)
    return replace(report, files=files)


def _check_quantity(name: str, value: float) -> None:
    """Refuse what no machine has, before a product of such numbers is beyond float's range."""
    low, high = QUANTITIES
    if not low <= check_number(name, value) <= high:
        raise ConfigError(f"{name} must be from {low:g} to {high:g}, not {value:g}")


def _model(model: str | Path) -> tuple[str, ModelConfig]:
    found = resolve_model(model)
    if not isinstance(found, Path):
        return found.name, found.config
    file = found / "config.json" if found.is_dir() else found
    return found.absolute().name, ModelConfig.from_file(file)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Core:
    """A core and, if its memory counts, the board that it is on."""

    hardware: HardwareConfig
    board: "Board | None"


def _machine(
    *,
    hardware: str | Path | Mapping[str, Any] | None,
    board: str | None,
    peak_macs: float | None,
    bandwidth: float | None,
    clock: float | None,
) -> tuple[Machine, _Core | None]:
    """Return the machine that the options describe, and the core that it is, if it is one."""
    # The outer packages are not loaded before they are needed.
    from boards import load_board

    for name, value in (
        ("--peak-macs", peak_macs),
        ("--bandwidth", bandwidth),
        ("--clock", clock),
    ):
        if value is not None:
            _check_quantity(f"{name}:", value)
    if peak_macs is not None or bandwidth is not None:
        if hardware is not None or board is not None:
            raise ConfigError(
                "--peak-macs, --bandwidth: describe a machine of their own, without --hardware and "
                "--board"
            )
        if peak_macs is None or bandwidth is None or clock is None:
            raise ConfigError("--peak-macs, --bandwidth, --clock: describe a machine together")
        return Machine(
            name="machine",
            macs_per_cycle=peak_macs,
            bytes_per_cycle=bandwidth * 1e3 / clock,
            clock_mhz=clock,
        ), None
    try:
        chosen = load_board(board or DEFAULT_BOARD)
    except ConfigError as error:
        raise ConfigError(f"--board: {error}") from None
    settings = read_hardware(chosen, hardware)
    # A hardware file alone describes no memory.
    bounded = board is not None or hardware is None
    core = _Core(hardware=settings, board=chosen if bounded else None)
    size = f"{settings.rows}×{settings.columns} core"
    machine = Machine.of_core(
        settings,
        clock_mhz=clock or chosen.core_mhz,
        memory_bytes_per_second=chosen.memory.peak_bytes_per_second if bounded else None,
        name=f"{size} on {chosen.name}" if bounded else size,
    )
    return machine, core


def _warnings(config: ModelConfig, contexts: Sequence[int]) -> list[str]:
    most = config.max_position_embeddings
    return [
        f"--context: {context} is beyond max_position_embeddings = {most}"
        for context in contexts
        if context > most
    ]
