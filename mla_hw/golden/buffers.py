"""Contents of the on-chip memories as the interpreter leaves them, bit by bit."""

from collections.abc import Iterable

import numpy as np

from mla_hw.golden.arithmetic import Ints
from mla_hw.golden.context_accumulator import CONTEXT_BITS
from mla_hw.golden.interpreter import Machine
from mla_hw.golden.latent_ring import place_latent
from mla_hw.golden.score_unit import SCORE_BITS

__all__ = ["memory_contents"]


def memory_contents(machine: Machine) -> dict[str, list[int]]:
    """Return the words of every data memory of the core, as unsigned numbers.

    Parameters
    ----------
    machine : Machine

    Returns
    -------
    dict
        By the memory's place in the accelerator's hierarchy.
    """
    core = machine.core
    contents: dict[str, list[int]] = {}
    for half, name in enumerate(("projection", "vector")):
        for lane in range(core.rows):
            contents[f"activation_buffer.{name}_{lane}"] = _words(machine.halves[half, :, lane], 16)
    contents["scratch.memory"] = _words(machine.scratch, 16)
    pairs = machine.table.reshape(-1, 2) & 0xFFFF
    contents["rope_row.memory"] = _words(pairs[:, 0] | pairs[:, 1] << 16, 32)
    contents["array_constants.memory"] = _words(machine.constants, 32)
    contents["vector_constants.memory"] = _words(machine.constants, 32)
    contents["score_unit.scores"] = _words(machine.scores, SCORE_BITS)
    contents["score_unit.scales"] = _words(machine.scales, 16)
    contents["score_unit.maxima"] = _words(machine.maxima, SCORE_BITS)
    for lane in range(core.accumulator_lanes):
        contents[f"context_accumulator.lane_{lane}.sums"] = _words(
            machine.context[:, lane], CONTEXT_BITS
        )
    contents |= _ring(machine)
    contents["vector_engine.softmax.state"] = [
        0 if state is None else (state.exponent & 0xFFFF) | state.total << 16
        for state in machine.states
    ]
    contents["vector_engine.pack.staging"] = _words(machine.staging, 16)
    contents["row_buffer.memory"] = _beats(machine.row.tobytes(), core.port_bytes)
    contents["output_buffer.memory"] = _beats(
        machine.output.astype("<i2").tobytes(), core.port_bytes
    )
    return contents


def _words(values: Ints, bits: int) -> list[int]:
    mask = (1 << bits) - 1
    return [value & mask for value in np.asarray(values).tolist()]


def _beats(raw: bytes, port_bytes: int) -> list[int]:
    starts: Iterable[int] = range(0, len(raw), port_bytes)
    return [int.from_bytes(raw[start : start + port_bytes], "little") for start in starts]


def _ring(machine: Machine) -> dict[str, list[int]]:
    core = machine.core
    banks = np.zeros((core.columns, core.ring_depth), np.int64)
    tokens, channels = np.meshgrid(
        np.arange(core.ring_blocks * core.columns),
        np.arange(core.token_words * core.columns),
        indexing="ij",
    )
    bank, address = place_latent(core, tokens // core.columns, tokens % core.columns, channels)
    banks[bank, address] = machine.ring
    contents = {
        f"latent_ring.bank_{number}": _words(contents, 8) for number, contents in enumerate(banks)
    }
    contents["latent_ring.scales"] = _words(machine.ring_scale, 16)
    return contents


