"""Contents of the on-chip memories as the interpreter leaves them."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mla_hw.golden.arithmetic import Ints
from mla_hw.golden.latent_ring import place_latent, place_product

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
    contents: dict[str, Ints] = {
        "array_constants.memory": machine.constants,
        "vector_constants.memory": machine.constants,
        "rope_row.memory": machine.table.reshape(-1, 2),
        "scratch.memory": machine.scratch,
        "vector_engine.pack.staging": machine.staging,
        "row_buffer.memory": _words(machine.row.astype(np.int64), core.port_bytes),
        **_ring(machine),
        "score_unit.scores": machine.scores,
        "score_unit.scales": machine.scales,
        "score_unit.maxima": machine.maxima,
        "score_unit.running": machine.running_maxima,
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
        contents[f"context_accumulator.lane_{lane}.sums"] = machine.context[:, lane]
    for half, name in enumerate(("projection", "vector")):
        for lane in range(core.rows):
            contents[f"activation_buffer.{name}_{lane}"] = machine.halves[half, :, lane]
    contents["output_buffer.memory"] = _words(machine.output, core.port_bytes // 2)
    return contents


def _words(elements: NDArray[np.int64], per_word: int) -> Ints:
    """Group elements into memory words; the memory has at least two."""
    words = elements.reshape(-1, per_word)
    return np.concatenate([words, np.zeros((max(0, 2 - len(words)), per_word), np.int64)])


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
    if core.product_blocks:
        rows, channels = np.indices(machine.products.shape)
        bank, address = place_product(core, rows, channels)
        products = np.zeros((core.columns, core.product_depth), np.int64)
        products[bank, address] = machine.products
        for number, held in enumerate(products):
            contents[f"latent_ring.product_{number}"] = held
    return contents
