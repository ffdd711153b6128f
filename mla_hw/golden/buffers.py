"""Contents of the on-chip memories as the interpreter leaves them."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mla_hw.golden.arithmetic import Ints
from mla_hw.golden.latent_ring import place_latent
from mla_hw.hardware import memory_slices

if TYPE_CHECKING:
    from mla_hw.golden.interpreter import Machine

__all__ = ["memory_contents"]

_EXPONENT_BITS = 16


def memory_contents(machine: "Machine") -> dict[str, Ints]:
    """Return the contents of every data memory of the core.

    Parameters
    ----------
    machine : Machine

    Returns
    -------
    dict
        By the memory's place in the accelerator's hierarchy: [words], or [words, elements] where
        a word holds several.
    """
    core = machine.core
    # In the order of the data, so that the first difference is close to its cause.
    contents: dict[str, Ints] = {"score_unit.running": machine.running_maxima}
    simple: dict[str, Ints] = {
        "array_constants": machine.constants,
        "vector_constants": machine.constants,
        "rope_row": machine.table.reshape(-1, 2),
        "scratch": machine.scratch,
        "vector_engine.pack.staging": machine.staging,
        "row_buffer.words": machine.row.astype(np.int64).reshape(-1, core.port_bytes),
        **_ring(machine),
        "score_unit.scores": machine.scores,
        "score_unit.scales": machine.scales,
        "score_unit.maxima": machine.maxima,
        "vector_engine.softmax.state": np.array(
            [
                0 if state is None else state.exponent & 0xFFFF | state.total << _EXPONENT_BITS
                for state in machine.states
            ],
            np.int64,
        ),
    }
    halves = machine.requantize_constants.reshape(-1, core.columns // 2)
    contents["requantizer.constants"] = halves
    for lane in range(core.accumulator_lanes):
        contents[f"context_accumulator.lane_{lane}.table"] = _shift_table(machine, lane)
        simple[f"context_accumulator.lane_{lane}.sums"] = machine.context[:, lane]
    for half, name in enumerate(("projection", "vector")):
        for lane in range(core.rows):
            simple[f"activation_buffer.{name}_{lane}"] = machine.halves[half, :, lane]
    simple["output_buffer.words"] = machine.output.reshape(-1, core.port_bytes // 2)
    for name, words in simple.items():
        contents |= _slices(name, words)
    return contents


def _slices(name: str, words: NDArray[np.int64]) -> dict[str, Ints]:
    """Cut the contents of a memory into its slices; entries that nobody uses stay 0."""
    depths = memory_slices(len(words))
    padded = np.zeros((sum(depths), *words.shape[1:]), np.int64)
    padded[: len(words)] = words
    parts = np.split(padded, np.cumsum(depths)[:-1])
    return {
        f"{name}.memory{f'_{number}' if number else ''}": part for number, part in enumerate(parts)
    }


def _shift_table(machine: "Machine", lane: int) -> Ints:
    """Shift controls of a lane's heads: first, swap, six bits of shift, halve."""
    core = machine.core
    slots = core.rows // core.accumulator_lanes
    slot_bits = (slots - 1).bit_length()
    table = np.zeros(max(2, core.groups << slot_bits), np.int64)
    for group in range(core.groups):
        for slot in range(slots):
            row = slot * core.accumulator_lanes + lane
            control = machine.controls[group << core.lane_bits | row]
            if control is not None:
                table[group << slot_bits | slot] = (
                    control.first | control.swap << 1 | control.shift << 2 | control.halve << 8
                )
    return table


def _ring(machine: "Machine") -> dict[str, Ints]:
    core = machine.core
    banks = np.zeros((core.columns, core.ring_depth), np.int64)
    tokens, channels = np.meshgrid(
        np.arange(core.ring_blocks * core.columns),
        np.arange(core.token_words * core.columns),
        indexing="ij",
    )
    bank, address = place_latent(core, tokens // core.columns, tokens % core.columns, channels)
    banks[bank, address] = machine.ring
    contents = {f"latent_ring.bank_{number}": bank for number, bank in enumerate(banks)}
    contents["latent_ring.scales"] = machine.ring_scale
    return contents
