"""Scheduling of a layer: head passes, steps, lifetimes, placement, size of the core."""

from bisect import bisect_left
from collections.abc import Iterable

from mla_hw.config import ModelConfig
from mla_hw.errors import CapacityError, ConfigError
from mla_hw.fields import check_positive_int
from mla_hw.hardware import HardwareConfig
from mla_hw.schedule.absorb import absorb_steps
from mla_hw.schedule.limits import check_groups, check_limits, check_memories
from mla_hw.schedule.naive import naive_steps
from mla_hw.schedule.operands import alive, resolve_operands
from mla_hw.schedule.placement import Placement, place
from mla_hw.schedule.plan import Plan
from mla_hw.schedule.recompute import recompute_steps
from mla_hw.schedule.reuse import reuse_steps
from mla_hw.schedule.schedule import Body, Schedule
from mla_hw.schedule.sizes import core_config

__all__ = ["SCHEMES", "check_scheme", "schedule_layer"]

_STEPS = {
    "absorb": absorb_steps,
    "reuse": reuse_steps,
    "recompute": recompute_steps,
    "naive": naive_steps,
}
#: Schemes that there are programs for.
SCHEMES = tuple(_STEPS)


def check_scheme(scheme: str, query_rows: int = 1) -> str:
    """Return the name of a scheme that there is a program for.

    Raises
    ------
    ConfigError
        For any other name, and for several query rows of a scheme that takes one.
    """
    if scheme not in SCHEMES:
        raise ConfigError(f"--scheme: must be one of {', '.join(SCHEMES)}, not {scheme!r}")
    if query_rows > 1 and scheme != "absorb":
        raise ConfigError(f"--rows: only the scheme absorb takes several rows, not {scheme}")
    return scheme


def schedule_layer(
    config: ModelConfig,
    hardware: HardwareConfig,
    *,
    multiplier: str = "portable",
    pass_groups: int | None = None,
    query_rows: int = 1,
    scheme: str = "absorb",
) -> Schedule:
    """Schedule one layer.

    Parameters
    ----------
    config : ModelConfig
    hardware : HardwareConfig
    multiplier : str
        What ``multiplier: auto`` stands for on the board's device.
    pass_groups : int or None
        Head groups per pass over the cache; None takes as many as the activation buffer holds.
    query_rows : int
        Sequences, or tokens of one, that share the weight stream; at most the rows of the array.
    scheme : str
        One of :data:`SCHEMES`.

    Raises
    ------
    CapacityError
        When the activation buffer cannot hold one group of heads.
    ConfigError
        When a dimension is beyond what the core counts to, for an unknown scheme, and for several
        query rows of a scheme that takes one.
    """
    check_scheme(scheme, query_rows)
    groups = 1 if scheme == "naive" else -(-config.num_attention_heads // hardware.rows)
    if pass_groups is None:
        check_groups(Plan(config, hardware, groups, query_rows, scheme))
        candidates: Iterable[int] = range(groups, 0, -1)
    else:
        candidates = (min(check_positive_int("pass_groups", pass_groups), groups),)
    # Equal passes: no more groups than the number of passes asks for.
    sizes = list(dict.fromkeys(-(-groups // -(-groups // count)) for count in candidates))

    def fits(count: int) -> bool:
        try:
            _place(Plan(config, hardware, count, query_rows, scheme))
        except (CapacityError, ConfigError):
            return False
        return True

    # The fewer groups, the less memory: the first size that fits, or the last one with its error.
    chosen = min(bisect_left(sizes, True, key=fits), len(sizes) - 1)
    return _schedule(Plan(config, hardware, sizes[chosen], query_rows, scheme), multiplier)


def _place(plan: Plan) -> tuple[Body, Placement]:
    """Return steps and placed buffers of a plan that the core's memories have room for."""
    hardware = plan.hardware
    body = _STEPS[plan.scheme](plan)
    placement = place(alive(plan.buffers(), body))
    need = 4 * hardware.rows * max(placement.depth("projection"), placement.depth("vector"))
    if need > hardware.activation_bytes:
        # No memory mends a dimension that is too large.
        check_limits(plan, body)
        raise CapacityError(
            int(need),
            int(hardware.activation_bytes),
            "bytes",
            "activation buffer",
            _more_activation(plan, placement),
        )
    check_memories(plan, placement)
    return body, placement


def _more_activation(plan: Plan, placement: Placement) -> str:
    """Say what mends an activation buffer that is too small."""
    hint = "raise activation_bytes (--hardware)"
    if plan.query_rows > 1:
        return f"{hint} or lower --rows"
    if not plan.products:
        return hint
    held = 2 * plan.hardware.rows * placement["weights"].words
    return (
        f"{held} bytes of a half are one head's weights, which --scheme {plan.scheme} multiplies "
        f"from there and --scheme absorb does not; {hint}"
    )


def _schedule(plan: Plan, multiplier: str) -> Schedule:
    body, placement = _place(plan)
    steps = resolve_operands(plan, placement, body)
    check_limits(plan, steps)
    return Schedule(
        core=core_config(plan, placement, steps, multiplier),
        placement=placement,
        body=steps,
        constants=plan.constants,
        passes=plan.passes,
        operands=plan.operands,
    )
