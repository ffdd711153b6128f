"""A run that ends with an error leaves the bus idle, and the next one is as if it had not been."""

import numpy as np
import pytest

import mla_hw
from mla_hw.cli.simulate import Interruption
from mla_hw.cycles.dispatcher import RESTART_CYCLES
from mla_hw.design import Design
from mla_hw.registers import ErrorCode
from tests.system.test_bit_exact import assert_predicted

pytestmark = pytest.mark.rtl
ABORTS = 24
FIRST = 40  # tokens that are cached already


@pytest.fixture(scope="module")
def core(cores, tmp_path_factory):
    """Folder, design, and a file with the cached tokens and two more."""
    folder, hidden = cores("tiny-v3", "4x8")
    rows = tmp_path_factory.mktemp("hidden") / "rows.npz"
    with np.load(hidden) as stored:
        np.savez(rows, x=stored["x"][: FIRST + 2])
    return folder, Design.load(folder), rows


def restarts(core, interruptions, **options):
    folder, _, hidden = core
    report = mla_hw.simulate(
        folder, hidden=hidden, prefill=FIRST, interrupt=interruptions, **options
    )
    assert report.bit_exact, report.difference
    assert report.tokens == 2
    return report


@pytest.mark.parametrize("memory", ["fixed:32", "random:5"])
def test_abort_at_any_time(core, memory):
    """From the load of the program to the last STORE, at odd distances."""
    folder, _, hidden = core
    total = mla_hw.simulate(folder, hidden=hidden, prefill=FIRST).cycles["predicted"][0]
    interruptions = [
        Interruption(
            token=FIRST + index % 2,
            code=ErrorCode.ABORT,
            # The first start waits for the end of the reset.
            abort_after=RESTART_CYCLES + index * (total - RESTART_CYCLES - 50) // ABORTS,
        )
        for index in range(ABORTS)
    ]
    report = restarts(core, interruptions, memory=memory)
    if memory.startswith("fixed"):
        assert_predicted(report)


def test_refused_reads_and_writes(core):
    """One beat of every region that the core reads or writes."""
    design = core[1]
    row = design.core.row_bytes
    reads = [
        (name, design.regions[name].size // 2) for name in ("program", "weights", "constants", "x")
    ]
    reads += [("program", 0), ("weights", 0), ("weights", design.regions["weights"].size - 1)]
    reads += [("cache", 0), ("cache", (FIRST - 1) * row)]
    reads.append(("rope", FIRST * design.regions["rope"].size // design.context))
    writes = [("cache", FIRST * row), ("y", 0), ("y", design.regions["y"].size - 1)]
    interruptions = [
        Interruption(token=FIRST, code=code, refused=place)
        for code, places in ((ErrorCode.READ, reads), (ErrorCode.WRITE, writes))
        for place in places
    ]
    assert_predicted(restarts(core, interruptions))
