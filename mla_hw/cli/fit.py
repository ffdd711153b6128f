"""``mla-hw fit``: on which boards a model's layer fits, and for how long a context."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mla_hw.checkpoint import resolve_model
from mla_hw.cli.output_folder import check_output, write_output
from mla_hw.cli.text import console, plain_table
from mla_hw.config import ModelConfig
from mla_hw.devices import UNBOUNDED
from mla_hw.errors import CapacityError, ConfigError, MlaHwError
from mla_hw.hardware import CoreConfig, HardwareConfig
from mla_hw.program.image import map_memory
from mla_hw.program.instructions import MEMORY_ADDRESS_BITS
from mla_hw.program.lower import lower
from mla_hw.registers import POSITION_BITS
from mla_hw.schedule import Schedule, schedule_layer

if TYPE_CHECKING:
    from boards import Board

__all__ = ["FitRow", "Need", "fit", "print_fit"]

MULTIPLIERS = "multipliers"
BLOCKS = "block RAMs"
LUTS = "look-up tables"
MEMORY = "bytes of memory"
ACTIVATIONS = "bytes of activation buffer"
UNITS = (MULTIPLIERS, BLOCKS, LUTS, MEMORY)
#: Which a buffer's size does not change.
_NO_BUFFERS = (MULTIPLIERS, LUTS, MEMORY)
_SPOKEN = {
    MEMORY: "bytes",
    LUTS: "look-up tables (estimated, with host link and memory controller)",
}
#: Look-up tables of host link, arbiter and memory controller by the kind of memory, as synthesis
#: for ECP5 counts them (``make boards``).
LUTS_AROUND = {"sdr": 2800, "ddr3": 5300, "spram": 1200, "lram": 1200}


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """What a layer needs of one resource, and what there is.

    Parameters
    ----------
    unit : str
        What is counted: ``"multipliers"``, ``"bytes of memory"``.
    needs, has : int
    """

    unit: str
    needs: int
    has: int

    @property
    def enough(self) -> bool:
        """Whether there is enough."""
        return self.needs <= self.has


@dataclass(frozen=True, kw_only=True, slots=True)
class FitRow:
    """What :func:`fit` says of one board.

    Parameters
    ----------
    board, device : str
    array : str
        Rows × columns of the board's default core.
    fits : bool
    needs : tuple of Need
        Of multipliers, block RAMs, look-up tables (estimated, with host link and memory controller)
        and memory, as far as they are known: with as few heads per pass as there have to be, and a
        single cached token. Of the activation buffer only where it is too small.
    context : int
        Cached tokens that the memory has room for, at most as many as the model can have.
    reason : str
        What does not fit, the first of it with what would mend it; empty if the layer fits.
    """

    board: str
    device: str
    array: str
    fits: bool
    needs: tuple[Need, ...]
    context: int
    reason: str


def fit(
    model: str | Path,
    *,
    boards: Sequence[str] | None = None,
    json_path: Path | str | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[FitRow]:
    """Say for every board whether a layer of a model fits on its default core.

    Parameters
    ----------
    model : str or Path
        Preset, checkpoint folder or its ``config.json``.
    boards : sequence of str, optional
        Their names; all by default.
    json_path : Path or str, optional
        File for the rows.
    progress : callable, optional
        Called with one line of text per board.

    Raises
    ------
    ConfigError
        For a model or board that there is not, and a file that cannot be written.
    """
    # This package loads before those beside it.
    from boards import list_boards, load_board

    if json_path is not None:
        check_output(json_path, "--json")
    config = _config(model)
    names = list_boards() if boards is None else boards
    if len(set(names)) != len(names):
        raise ConfigError(f"--boards: must have no board twice, as {', '.join(names)}")
    try:
        chosen = [load_board(name) for name in names]
    except ConfigError as error:
        raise ConfigError(str(error) if boards is None else f"--boards: {error}") from None
    rows = []
    for board in chosen:
        if progress:
            progress(f"fit {board.name}")
        rows.append(_fit(config, board))
    if json_path is not None:
        text = json.dumps([asdict(row) for row in rows], indent=2) + "\n"
        write_output(json_path, text, "--json")
    return rows


def _config(model: str | Path) -> ModelConfig:
    found = resolve_model(model)
    if not isinstance(found, Path):
        return found.config
    return ModelConfig.from_file(found / "config.json" if found.is_dir() else found)


def _fit(config: ModelConfig, board: "Board") -> FitRow:
    from mla_hw.cli.head_passes import fitting_groups

    hardware = HardwareConfig.from_dict(board.hardware)
    needs: list[Need] = []
    context, reason = 0, ""
    try:
        groups = fitting_groups(config, hardware, board, 1)
    except MlaHwError as error:
        # As little as there can be shows by how much the device is too small.
        groups, reason = 1, str(error)
    try:
        schedule = _schedule(config, hardware, board, groups, needs)
    except MlaHwError as error:
        reason = reason or str(error)
    else:
        needs += _device_needs(schedule.core, board)
        memory, context = _memory_need(config, schedule, board.memory.size_bytes)
        needs.append(memory)
        lacking = _too_small(needs, board)
        # What no size of a buffer mends ends the matter; or what there is too little of beside the
        # activation buffer.
        final = any(
            need.unit == ACTIVATIONS or (need.unit in _NO_BUFFERS and not need.enough)
            for need in needs
        )
        reason = lacking if lacking and (final or not reason) else reason
    return FitRow(
        board=board.name,
        device=board.device.name,
        array=f"{hardware.rows}×{hardware.columns}",
        fits=not reason,
        needs=tuple(needs),
        context=context,
        reason=reason,
    )


def _schedule(
    config: ModelConfig,
    hardware: HardwareConfig,
    board: "Board",
    groups: int,
    needs: list[Need],
) -> Schedule:
    """Schedule a step, with a larger activation buffer if it has to be; adds what it needs."""
    try:
        return schedule_layer(config, hardware, multiplier=board.device.family, pass_groups=groups)
    except CapacityError as error:
        if hardware.activation_bytes >= error.demand:
            raise
        needs.append(Need(unit=ACTIVATIONS, needs=error.demand, has=error.bound))
        larger = replace(hardware, activation_bytes=error.demand)
        return schedule_layer(config, larger, multiplier=board.device.family, pass_groups=groups)


def _too_small(needs: Sequence[Need], board: "Board") -> str:
    """Say what there is not enough of, whatever the buffers are; memory first, blocks last."""
    device = f"{board.device.name} of {board.name}"
    for need in sorted(needs, key=lambda need: (need.unit != MEMORY, need.unit == BLOCKS)):
        if not need.enough and need.unit != ACTIVATIONS:
            where = f"memory of {board.name}" if need.unit == MEMORY else device
            return str(
                CapacityError(need.needs, need.has, _SPOKEN.get(need.unit, need.unit), where)
            )
    return ""


def _device_needs(core: CoreConfig, board: "Board") -> list[Need]:
    from rtl_gen.resources import count_multipliers, estimate_luts, map_memories

    device = board.device
    memories = map_memories(core, device)
    luts = estimate_luts(core, device, memories.distributed)
    luts += round(device.logic_factor * LUTS_AROUND.get(board.memory.kind, 0))
    return [
        Need(unit=MULTIPLIERS, needs=count_multipliers(core), has=device.dsp),
        Need(unit=BLOCKS, needs=memories.blocks, has=device.bram),
        Need(unit=LUTS, needs=luts, has=device.lut),
    ]


def _memory_need(config: ModelConfig, schedule: Schedule, size: int) -> tuple[Need, int]:
    """Return what a single token needs, and the longest context, by bisection."""
    program = lower(schedule)
    has = min(size, 1 << MEMORY_ADDRESS_BITS)

    def needed(context: int) -> int:
        return map_memory(schedule, program, config.hidden_size, context).size

    need = Need(unit=MEMORY, needs=needed(1), has=has)
    low, high = 0, min(config.max_position_embeddings, 1 << POSITION_BITS) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if needed(middle) <= has else (low, middle)
    return need, low


def print_fit(rows: Sequence[FitRow]) -> None:
    """Show needs and room of every board, and below what does not fit."""
    output = console()
    table = plain_table("board", "array", "fits", *UNITS, "longest context")
    for row in rows:
        found = {need.unit: need for need in row.needs}
        table.add_row(
            row.board,
            row.array,
            "yes" if row.fits else "no",
            *(_show(found.get(unit)) for unit in UNITS),
            str(row.context) if row.fits else "–",
        )
    output.print(table)
    for row in rows:
        if row.reason:
            output.print(
                f"{row.board}: {row.reason}", highlight=False, markup=False, soft_wrap=True
            )


def _show(need: Need | None) -> str:
    if need is None:
        return "–"
    return f"{need.needs}" if need.has >= UNBOUNDED else f"{need.needs}/{need.has}"
