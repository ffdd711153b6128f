"""Contents of the on-chip memories as the interpreter leaves them."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mla_hw.golden.arithmetic import Ints
from mla_hw.golden.context_accumulator import CONTEXT_BITS
from mla_hw.golden.latent_ring import place_latent, place_product
from mla_hw.golden.score_unit import SCORE_BITS
from mla_hw.golden.softmax import SUM_BITS
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
    states = [
        0 if state is None else state.exponent & 0xFFFF | state.total << _EXPONENT_BITS
        for state in machine.states
    ]
    # Words and their bits.
    simple: dict[str, tuple[Ints, int]] = {
        "array_constants": (machine.constants, 32),
        "vector_constants": (machine.constants, 32),
        "rope_row": (machine.table.reshape(-1, 2), 32),
        "scratch": (machine.scratch, 16),
        "vector_engine.pack.staging": (machine.staging, 16),
        "row_buffer.words": (
            machine.row.astype(np.int64).reshape(-1, core.port_bytes),
            8 * core.port_bytes,
        ),
        **_ring(machine),
        "score_unit.scores": (machine.scores, SCORE_BITS),
        "score_unit.scales": (machine.scales, 16),
        "score_unit.maxima": (machine.maxima, SCORE_BITS),
        "vector_engine.softmax.state": (
            np.array(states, np.int64),
            _EXPONENT_BITS + SUM_BITS,
        ),
    }
    halves = machine.requantize_constants.reshape(-1, core.columns // 2)
    contents["requantizer.constants"] = halves
    for lane in range(core.accumulator_lanes):
        contents[f"context_accumulator.lane_{lane}.table"] = _shift_table(machine, lane)
        simple[f"context_accumulator.lane_{lane}.sums"] = (machine.context[:, lane], CONTEXT_BITS)
    for half, name in enumerate(("projection", "vector")):
        for lane in range(core.rows):
            simple[f"activation_buffer.{name}_{lane}"] = (machine.halves[half, :, lane], 16)
    words = machine.output.reshape(-1, core.port_bytes // 2)
    simple["output_buffer.words"] = (words, 8 * core.port_bytes)
    for name, (words, width) in simple.items():
        contents |= _slices(name, words, width)
    return contents


def _slices(name: str, words: NDArray[np.int64], width: int) -> dict[str, Ints]:
    """Cut the contents of a memory into its slices; entries that nobody uses stay 0."""
    depths = memory_slices(len(words), width)
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


def _ring(machine: "Machine") -> dict[str, tuple[Ints, int]]:
    core = machine.core
    banks = np.zeros((core.columns, core.ring_depth), np.int64)
    tokens, channels = np.meshgrid(
        np.arange(core.ring_blocks * core.columns),
        np.arange(core.token_words * core.columns),
        indexing="ij",
    )
    bank, address = place_latent(core, tokens // core.columns, tokens % core.columns, channels)
    banks[bank, address] = machine.ring
    contents = {f"latent_ring.bank_{number}": (bank, 8) for number, bank in enumerate(banks)}
    contents["latent_ring.scales"] = (machine.ring_scale, 16)
    if core.product_blocks:
        rows, channels = np.indices(machine.products.shape)
        bank, address = place_product(core, rows, channels)
        products = np.zeros((core.columns, core.product_depth), np.int64)
        products[bank, address] = machine.products
        for number, held in enumerate(products):
            contents[f"latent_ring.product_{number}"] = (held, 8)
    return contents
