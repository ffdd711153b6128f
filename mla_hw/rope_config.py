"""Settings of the rotary position embedding, in the spellings of Hugging Face's config.json."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from mla_hw.errors import ConfigError
from mla_hw.fields import (
    check_boolean,
    check_choice,
    check_known,
    check_number,
    check_numbers,
    check_positive_int,
)

__all__ = ["ROPE_TYPES", "RopeConfig", "rope_from_hf", "yarn_mscale"]

ROPE_TYPES = ("default", "yarn", "longrope")
#: What a float64 can hold to the last token.
_LARGEST_CONTEXT = 2**53


def yarn_mscale(factor: float, mscale: float = 1.0) -> float:
    """Compute YaRN's magnitude correction ``0.1 mscale ln(factor) + 1``, 1 without stretching."""
    return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class RopeConfig:
    """Rotary position embedding.

    The field names are those of Hugging Face's ``rope_parameters``; fields that a type does not
    use are kept and ignored.

    Parameters
    ----------
    rope_type : str
        ``"default"``, ``"yarn"`` or ``"longrope"``.
    rope_theta : float
        Base of the frequencies, above 1.
    factor : float or None
        Ratio by which the context is stretched; needed by yarn and longrope.
    original_max_position_embeddings : int or None
        Context length before stretching, in tokens; needed by yarn and longrope.
    attention_factor : float or None
        Multiplier of cos and sin; None takes the one that follows from the other fields.
    mscale, mscale_all_dim : float or None
        YaRN's magnitude corrections of cos and sin, and of the score. None or 0 is "not set".
    beta_fast, beta_slow : float
        Rotations within the original context that bound YaRN's ramp.
    truncate : bool
        Round YaRN's ramp to whole frequencies.
    short_factor, long_factor : tuple of float or None
        Divisors of each frequency for sequences within and beyond the original context.

    Raises
    ------
    ConfigError
        For a value of the wrong type or range, and for fields that the type needs.
    """

    rope_type: str = "default"
    rope_theta: float = 10000.0
    factor: float | None = None
    original_max_position_embeddings: int | None = None
    attention_factor: float | None = None
    mscale: float | None = None
    mscale_all_dim: float | None = None
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    short_factor: tuple[float, ...] | None = None
    long_factor: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        _check_rope_type("rope_type", self.rope_type)
        check_number("rope_theta", self.rope_theta, minimum=1.0)
        for name in ("factor", "attention_factor"):
            if (value := getattr(self, name)) is not None:
                check_number(name, value)
        for name in ("mscale", "mscale_all_dim"):
            # Zero is as good as absent.
            if (value := getattr(self, name)) is not None and (value != 0 or value is False):
                check_number(name, value)
        if (original := self.original_max_position_embeddings) is not None:
            check_positive_int("original_max_position_embeddings", original)
            if original > _LARGEST_CONTEXT:
                raise ConfigError(
                    f"original_max_position_embeddings must be at most {_LARGEST_CONTEXT}"
                )
        check_number("beta_fast", self.beta_fast)
        check_number("beta_slow", self.beta_slow)
        check_boolean("truncate", self.truncate)
        for name in ("short_factor", "long_factor"):
            if (value := getattr(self, name)) is not None:
                check_numbers(name, value)
        for name in _REQUIRED[self.rope_type]:
            if getattr(self, name) is None:
                raise ConfigError(f"missing field {name}, which rope_type {self.rope_type} needs")
        try:
            finite = math.isfinite(self.score_mscale)
        except OverflowError:
            finite = False
        if not finite:
            raise ConfigError("mscale_all_dim is too large: the softmax scale overflows")
        if self.rope_type == "longrope" and self.original_max_position_embeddings == 1:
            raise ConfigError("original_max_position_embeddings must be above 1 for longrope")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "RopeConfig":
        """Build from what :meth:`to_dict` returned; an unknown key is an error."""
        check_known(values, _FIELDS, section="rope")
        return cls(**{name: _plain_to_field(name, value) for name, value in values.items()})

    def to_dict(self) -> dict[str, object]:
        """Return the fields as plain values that JSON can hold."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @property
    def score_mscale(self) -> float:
        """Factor that stretching puts on the softmax scale: the squared ``mscale_all_dim``."""
        if self.rope_type == "default" or not self.mscale_all_dim or self.factor is None:
            return 1.0
        return yarn_mscale(self.factor, self.mscale_all_dim) ** 2


_FIELDS = tuple(field.name for field in fields(RopeConfig))
_REQUIRED: dict[str, tuple[str, ...]] = {
    "default": (),
    "yarn": ("factor", "original_max_position_embeddings"),
    "longrope": ("factor", "original_max_position_embeddings", "short_factor", "long_factor"),
}


def _plain_to_field(name: str, value: Any) -> Any:
    # Numbers become floats, so that 40 and 40.0 in a file give the same printed configuration.
    if isinstance(value, list):
        return check_numbers(name, value)
    if type(value) is int and name != "original_max_position_embeddings":
        # What no float can hold is left for the check of the field to refuse.
        return float(value) if abs(value) < 2**53 else value
    return value


def _check_rope_type(name: str, value: object) -> str:
    return check_choice(name, value, ROPE_TYPES)


def rope_from_hf(config: Mapping[str, object]) -> RopeConfig:
    """Read the RoPE settings of a Hugging Face configuration.

    Both spellings are understood: ``rope_parameters`` with everything in it, and ``rope_scaling``
    (null, or with ``rope_type`` or the older ``type``) beside ``rope_theta``. As in Hugging Face
    a missing ``rope_theta`` is 10000; longrope's original context defaults to
    ``max_position_embeddings`` and its factor to the ratio of the two.

    Raises
    ------
    ConfigError
        For another RoPE type, an unknown, missing or mistyped field, and for two spellings that
        contradict each other.
    """
    spellings = ("rope_parameters", "rope_scaling")
    for name in spellings:
        if config.get(name) is not None and not isinstance(config[name], Mapping):
            raise ConfigError(f"{name} must be an object, not {config[name]!r}")
    sections = [name for name in spellings if config.get(name)]
    readings = {name: _read_section(name, config) for name in sections}
    if not readings:
        return _read_section("", config)
    if len(set(readings.values())) > 1:
        raise ConfigError("rope_parameters and rope_scaling contradict each other; keep one")
    return readings[sections[0]]


def _read_section(name: str, config: Mapping[str, object]) -> RopeConfig:
    section = config[name] if name else {}
    assert isinstance(section, Mapping)
    values = dict(section)
    old_type = values.pop("type", None)
    rope_type = _check_rope_type(
        f"{name}.rope_type", values.setdefault("rope_type", old_type or "default")
    )
    if (partial := values.pop("partial_rotary_factor", 1)) != 1:
        raise ConfigError(f"{name}.partial_rotary_factor must be 1, not {partial!r}")
    check_known(values, _FIELDS, section=name)
    for field in ("rope_theta", "original_max_position_embeddings"):
        if values.get(field) is None and config.get(field) is not None:
            values[field] = config[field]
    if rope_type == "longrope":
        limit = check_positive_int("max_position_embeddings", config.get("max_position_embeddings"))
        if values.get("original_max_position_embeddings") is None:
            values["original_max_position_embeddings"] = limit
        if values.get("factor") is None:
            original = check_positive_int(
                f"{name}.original_max_position_embeddings",
                values["original_max_position_embeddings"],
            )
            values["factor"] = limit / original
    try:
        return RopeConfig.from_dict({k: v for k, v in values.items() if v is not None})
    except ConfigError as err:
        raise ConfigError(f"{name}: {err}" if name else str(err)) from None
