"""How far the core counts: sizes that an instruction, a register or an address cannot hold.

All bounds are widths of the instruction table or of the register map.
"""

from mla_hw.errors import ConfigError
from mla_hw.hardware import MOST_PORT_BYTES
from mla_hw.program.instructions import (
    ADDRESS_OFFSET_BITS,
    FIELDS,
    INSTRUCTION_WORDS,
    VECTOR_COUNT_BITS,
    Engine,
)
from mla_hw.registers import POSITION_BITS, register
from mla_hw.schedule.dimension import sources_of
from mla_hw.schedule.placement import Placement
from mla_hw.schedule.plan import Plan
from mla_hw.schedule.schedule import Body, Loop, Step
from mla_hw.schedule.sizes import program_length

__all__ = ["check_groups", "check_limits", "check_memories", "longest_program"]

_WORD_BYTES = 4


def longest_program() -> int:
    """Instructions that LOAD can bring to the program memory."""
    # Loaded are whole beats.
    beat = MOST_PORT_BYTES // _WORD_BYTES
    words = ((1 << FIELDS["k"].width) - 1) // beat * beat
    return min(words // INSTRUCTION_WORDS, register("error_program_counter").mask)


def check_groups(plan: Plan) -> None:
    """Refuse a layer of more heads than a program can have instructions, or a loop turns, for.

    Raises
    ------
    ConfigError
        Names the number of heads.
    """
    heads, rows = plan.config.num_attention_heads, plan.hardware.rows
    if plan.scheme == "naive":
        _check_loop(heads)
        return
    # Scores, softmax and context of each group.
    _check_program(plan, int(3 * -(-heads // rows)))


def check_memories(plan: Plan, placement: Placement) -> None:
    """Refuse a pass of too many groups, and memories with elements beyond the last address.

    Raises
    ------
    ConfigError
        Names the dimensions.
    """
    groups, heads, lanes = (
        plan.pass_groups,
        plan.pass_groups * plan.hardware.rows,
        plan.hardware.lanes,
    )
    if groups > 1 << FIELDS["group"].width:
        raise ConfigError(
            f"num_attention_heads = {plan.config.num_attention_heads}: the core counts to "
            f"{1 << FIELDS['group'].width} groups of {plan.hardware.rows} heads in a pass, not to "
            f"{groups}; raise rows (--hardware)"
        )
    values = plan.config.v_head_dim if plan.scheme == "naive" else plan.config.kv_lora_rank
    sums = heads // lanes * values
    elements = {
        f"a half of the activation buffer ({name})": placement.depth(name) << plan.lane_bits
        for name in ("projection", "vector")
    }
    elements["scratch"] = placement.depth("scratch")
    elements["score memory"] = heads * plan.tile_limit
    elements["context memory"] = sums << (int(lanes) - 1).bit_length()
    if products := plan.products:
        rows = products["product_blocks"] * plan.hardware.columns
        elements["product rows"] = rows * products["product_words"] * plan.hardware.columns
    for memory, demand in elements.items():
        if demand > 1 << ADDRESS_OFFSET_BITS:
            raise _error(demand, f"{1 << ADDRESS_OFFSET_BITS} elements of {memory}")


def check_limits(plan: Plan, body: Body) -> None:
    """Refuse steps with numbers that do not fit their fields, and a program that is too long.

    Raises
    ------
    ConfigError
        Names the dimensions, the bound and what is counted.
    """
    for item in body:
        if isinstance(item, Loop):
            _check_loop(item.count or 0)
            check_limits(plan, item.body)
            continue
        step = item
        for name, value in step.fields.items():
            if isinstance(value, int) and value >= 1 << _width(step, name):
                counted = f"{FIELDS[name].doc} ({name} of {step.instruction}: {step.what})"
                raise _error(value, f"{(1 << _width(step, name)) - 1} for the {counted}")
    _check_program(plan, program_length(body))


def _check_loop(count: int) -> None:
    if count >= 1 << POSITION_BITS:
        raise _error(count, f"{(1 << POSITION_BITS) - 1} iterations of a loop")


def _check_program(plan: Plan, length: int) -> None:
    if length > longest_program():
        heads = plan.config.num_attention_heads
        raise ConfigError(
            f"num_attention_heads = {heads}: the core counts to {longest_program()} instructions "
            f"of a program, not to {length}; raise rows or activation_bytes (--hardware)"
        )


def _width(step: Step, field: str) -> int:
    if field == "n" and step.engine is Engine.VECTOR:
        return VECTOR_COUNT_BITS
    return FIELDS[field].width


def _error(demand: int, bound: str) -> ConfigError:
    sources = sources_of(demand)
    assert sources, "what is too large comes from a setting"
    settings = [source for source in sources if not source.startswith(_HARDWARE)]
    hint = [source.split()[0] for source in sources if source.startswith(_HARDWARE)]
    end = f"; {' or '.join(hint)} (--hardware) may mend it" if hint else ""
    return ConfigError(
        f"{', '.join(settings or sources)}: the core counts to {bound}, not to {demand}{end}"
    )


_HARDWARE = ("rows", "columns", "port_bytes", "tile_tokens", "accumulator_lanes")
