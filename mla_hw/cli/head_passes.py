"""How many head passes a step takes: what fits, what the cycle model says, and why."""

from dataclasses import dataclass

from boards import Board
from mla_hw.compile_layer import plan_layer
from mla_hw.config import ModelConfig
from mla_hw.cycles.predict import predict
from mla_hw.errors import CapacityError, MlaHwError
from mla_hw.hardware import HardwareConfig
from mla_hw.schedule import schedule_layer
from rtl_gen.resources import check_device

__all__ = ["HeadPasses", "choose_passes", "fitting_groups"]


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadPasses:
    """The choice, and what it was chosen by.

    Parameters
    ----------
    groups : int
        Head groups per pass.
    cycles : dict of int to int
        Predicted cycles of the last step by the number of passes.
    limit : str
        Why there are not fewer passes; empty if one is enough.
    """

    groups: int
    cycles: dict[int, int]
    limit: str

    @property
    def passes(self) -> int:
        """The number with the fewest cycles, of equal ones the smallest."""
        return min(self.cycles, key=lambda passes: (self.cycles[passes], passes))

    def __str__(self) -> str:
        """Say it in one line, for people."""
        told = ", ".join(f"{cycles} with {passes}" for passes, cycles in self.cycles.items())
        limit = f"; not fewer: {self.limit}" if self.limit else ""
        return f"# head passes: {self.passes}; predicted cycles: {told}{limit}\n"


def fitting_groups(
    config: ModelConfig,
    hardware: HardwareConfig,
    board: Board,
    query_rows: int,
    scheme: str = "absorb",
) -> int:
    """Return as many head groups per pass as activation buffer and block RAM hold.

    Raises
    ------
    MlaHwError
        When not even one group fits, or the array does not.
    """
    groups: int | None = None
    while True:
        core = schedule_layer(
            config,
            hardware,
            multiplier=board.device.family,
            pass_groups=groups,
            query_rows=query_rows,
            scheme=scheme,
        ).core
        groups = core.groups
        try:
            check_device(core, board.device, board.name)
        except CapacityError as error:
            if error.unit != "block RAMs" or groups == 1:
                raise
            groups -= 1
        else:
            return groups


def choose_passes(
    config: ModelConfig,
    hardware: HardwareConfig,
    board: Board,
    *,
    context: int,
    query_rows: int = 1,
    same_sequence: bool = False,
    scheme: str = "absorb",
    layers: int = 1,
) -> HeadPasses:
    """Choose the head passes with which the cycle model needs the fewest cycles at full context.

    Fewer passes read the cache less often, more of them end the products of the queries' heads
    earlier. So passes are added, from as few as there is room for, until they cost more.

    Parameters
    ----------
    config : ModelConfig
    hardware : HardwareConfig
    board : Board
    context, query_rows, same_sequence, scheme
        As for ``generate``.
    layers : int
        How many the image holds.

    Raises
    ------
    MlaHwError
        As :func:`fitting_groups`, and when the board's memory is too small.
    """
    most = fitting_groups(config, hardware, board, query_rows, scheme)
    last = context - (query_rows if same_sequence else 1)
    positions = [last + row * same_sequence for row in range(query_rows)]
    cycles: dict[int, int] = {}
    chosen = most
    count = -(-config.num_attention_heads // hardware.rows)
    even = (-(-count // passes) for passes in range(-(-count // most), count + 1))
    for groups in dict.fromkeys((most, *even)):
        try:
            schedule, program, memory = plan_layer(
                config,
                hardware,
                context=context,
                multiplier=board.device.family,
                pass_groups=groups,
                scheme=scheme,
                memory_bytes=board.memory.size_bytes,
                memory_name=f"memory of {board.name}",
                query_rows=query_rows,
                same_sequence=same_sequence,
                layers=layers,
            )
        except CapacityError:
            # A program of more passes is longer.
            if cycles:
                break
            raise
        passes = len(schedule.passes)
        total = predict(program, schedule.core, memory, positions).total
        if cycles and total >= min(cycles.values()):
            cycles.setdefault(passes, total)
            break
        chosen, cycles[passes] = groups, total
    limit = _limit(config, hardware, board, min(cycles), query_rows, scheme)
    return HeadPasses(groups=chosen, cycles=cycles, limit=limit)


def _limit(
    config: ModelConfig,
    hardware: HardwareConfig,
    board: Board,
    passes: int,
    query_rows: int,
    scheme: str,
) -> str:
    """Return what keeps a step from fewer passes."""
    if scheme == "naive":
        return "keys and values are made head by head"
    if passes == 1:
        return ""
    groups = -(-config.num_attention_heads // hardware.rows)
    try:
        larger = schedule_layer(
            config,
            hardware,
            multiplier=board.device.family,
            pass_groups=-(-groups // (passes - 1)),
            query_rows=query_rows,
            scheme=scheme,
        ).core
        check_device(larger, board.device, board.name)
    except MlaHwError as error:
        return str(error)
    return ""
