"""A unit has one name everywhere: gateware, golden model, timing, test."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted(
    path.stem for path in (ROOT / "rtl_gen" / "units").glob("*.py") if path.stem != "__init__"
)
# Units whose expected behaviour is not a function of their own.
WITHOUT_GOLDEN = {
    "accumulator": "sums in Python's integers",
    "array_engine": "systolic_array",
    "block_queue": "the order of its payloads",
    "counters": "counts in Python's integers",
    "drain_controller": "systolic_array",
    "engine_queue": "the order of its instructions",
    "matmul_sequencer": "systolic_array",
    "multiplier": "Python's product",
    "queue": "the order of its payloads",
    "reader": "the bytes of the memory",
    "registers": "mla_hw.registers",
    "rounding_shifter": "arithmetic",
    "semaphores": "counts in Python's integers",
    "simple_memory": "a list",
    "softmax_state": "softmax",
    "vector_engine": "its units",
    "weight_fifo": "width_adapter",
    "writer": "the bytes of its buffer",
}


@pytest.mark.parametrize("unit", UNITS)
def test_unit_has_one_name_everywhere(unit):
    assert (ROOT / "mla_hw" / "cycles" / f"{unit}.py").is_file()
    assert (ROOT / "tests" / "units" / f"test_{unit}.py").is_file()
    has_golden = (ROOT / "mla_hw" / "golden" / f"{unit}.py").is_file()
    assert has_golden != (unit in WITHOUT_GOLDEN)


def test_exceptions_are_units():
    assert set(WITHOUT_GOLDEN) <= set(UNITS)
