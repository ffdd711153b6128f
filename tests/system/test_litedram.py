"""Cores with LiteDRAM and the model of the chip: bit-exact, in the cycles of ``--memory dram``."""

import pytest

from benchmarks.litedram_programs import PROGRAMS, measure_program

pytestmark = [pytest.mark.slow, pytest.mark.rtl]

#: Difference of the model to LiteDRAM; phases begin and end at bursts, which may be in the other.
BOUND, PHASE_BOUND = 0.01, 0.02


def test_whole_program(tmp_path):
    # Raises where a bit differs or the chip complains.
    found = measure_program(PROGRAMS[0], tmp_path)
    cycles = found["cycles"]
    assert len(cycles["litedram"]) == PROGRAMS[0].tokens
    assert cycles["simulated"] == pytest.approx(cycles["litedram"], rel=BOUND)
    assert cycles["simulated"] == pytest.approx(cycles["predicted"], rel=0.02)
    for phase in found["phases"]:
        assert phase["simulated"] == pytest.approx(phase["litedram"], rel=PHASE_BOUND), phase
