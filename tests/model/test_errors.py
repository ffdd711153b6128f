import pickle

import pytest

from mla_hw.errors import CapacityError, ConfigError, MlaHwError, ScheduleError


def test_capacity_error_says_what_is_missing():
    error = CapacityError(140, 128, "multipliers", "LFE5U-45F", "reduce rows or columns")
    assert str(error) == (
        "LFE5U-45F: needs 140 multipliers, has 128 (12 too many); reduce rows or columns"
    )
    assert str(CapacityError(2, 1, "bytes", "memory")) == (
        "memory: needs 2 bytes, has 1 (1 too many)"
    )


def test_capacity_error_survives_pickling():
    error = pickle.loads(pickle.dumps(CapacityError(2, 1, "bytes", "memory", "do less")))
    assert (error.demand, error.bound, error.hint) == (2, 1, "do less")
    assert str(error) == "memory: needs 2 bytes, has 1 (1 too many); do less"


def test_one_base():
    assert issubclass(CapacityError, ScheduleError)
    with pytest.raises(MlaHwError):
        raise ConfigError("x")
    with pytest.raises(ValueError, match="x"):
        raise ConfigError("x")
