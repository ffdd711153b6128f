"""The fast loop over weight words against the unit's formulas, word by word."""

import numpy as np
import pytest

from mla_hw.compile_layer import compile_layer
from mla_hw.cycles.weight_fifo import freed_cycle, word_cycle
from mla_hw.cycles.weight_words import WeightWords
from mla_hw.hardware import HardwareConfig
from tests.reference_cases import load_case


def word_by_word(core, arrivals, padding, starts):
    """Cycle in which every word is taken, and in which every beat is freed."""
    per_beat = max(1, core.port_bytes // core.columns)
    beats = max(1, core.columns // core.port_bytes)
    freed, taken = [], [-1, -1]
    for first in range(0, len(arrivals), beats):
        for beat in range(first, first + beats):
            begins = taken[-2] if beat == first else -1
            freed.append(freed_cycle(arrivals[beat], freed[-1] if freed else -1, begins))
        for _ in range(per_beat - padding.get(first, 0)):
            earliest = starts.get(len(taken) - 2, 0)
            taken.append(max(earliest, word_cycle(core, freed[-1], taken[-1])))
    return taken[2:], freed


@pytest.mark.parametrize(("port_bytes", "columns"), [(4, 16), (8, 8), (16, 4), (64, 8)])
@pytest.mark.parametrize("seed", [0, 1])
def test_matches_the_formulas(port_bytes, columns, seed):
    hardware = HardwareConfig(rows=2, columns=columns, port_bytes=port_bytes)
    core = compile_layer(load_case("tiny-v3").weights, hardware, context=1).design.core
    random = np.random.default_rng(seed)
    # Bursts with pauses between them, and pauses of the array between its tiles.
    gaps = np.where(random.random(960) < 0.1, random.integers(1, 60, 960), 1)
    arrivals = np.cumsum(gaps).tolist()
    per_beat = max(1, port_bytes // columns)
    padding = {100: per_beat - 1, 501: per_beat // 2} if per_beat > 1 else {}
    starts = {int(word): int(word) * 3 for word in random.integers(0, 500, 20)}
    wanted, freed = word_by_word(core, arrivals, padding, starts)

    known = []
    words = WeightWords(core, known, padding)
    cycle, count, got = -1, 0, []
    while count < len(wanted):
        # As the array does: some words at a time, or as many as there are.
        cycle = max(cycle, starts.get(count, 0) - 1)
        behind = [word for word in starts if word > count]
        ahead = min([*behind, len(wanted)]) - count
        taken, cycle = words.take(cycle, ahead)
        count += taken
        if taken:
            got.append((count, cycle))
        if taken < ahead:
            known += arrivals[len(known) : len(known) + int(random.integers(1, 40))]
    assert known == arrivals[: len(known)]
    assert got == [(number, wanted[number - 1]) for number, _ in got]
    assert words.freed == freed[: len(words.freed)]
    assert len(got) > 20
