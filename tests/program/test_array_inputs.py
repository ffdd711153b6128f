"""Weights and tiles fit the products that take them."""

import dataclasses
import re

import pytest

from mla_hw.errors import ProgramError
from mla_hw.program.hazards import verify_hazards
from mla_hw.program.program import Instruction
from mla_hw.program.verify import verify_program
from tests.program.programs import change, find, index_of, insert, move, remove, scheduled

GROUPS = "two passes of two groups"


def expect(program, core, message):
    verify_program(program)
    with pytest.raises(ProgramError, match=re.escape(message)):
        verify_hazards(program, core)


def test_a_tile_is_released_by_its_last_product():
    """A product starts while the scores ahead of it drain, which read the scales of tokens."""
    program, core = scheduled(GROUPS)
    products = find(program, "MATMUL", mode="context")
    last = find(program, "MATMUL", mode="context", release=1)
    assert len(last) == 2
    assert len(products) == 4
    for index in products:
        if index not in last:
            early = change(change(program, index + 2, release=0), index, release=1)
            expect(early, core, "releases the tile that instruction")
            expect(change(program, index, release=1), core, "releases the tile that instruction")
    for index in last:
        kept = change(program, index, release=0)
        expect(kept, core, "1 tiles of the latent ring are not released")


def test_a_released_tile_is_not_read():
    program, core = scheduled("one pass")
    context = index_of(program, "MATMUL", mode="context")
    again = change(program, context, wait=0, final=0).instructions[context]
    expect(insert(program, context + 1, again), core, "finds no tile in the latent ring")


def test_only_context_products_release():
    program, core = scheduled(GROUPS)
    score = index_of(program, "MATMUL", mode="score")
    expect(change(program, score, release=1), core, "which only a context product does")


def test_a_tile_comes_before_its_products():
    program, core = scheduled("one pass")
    tile, context = index_of(program, "TILE"), index_of(program, "MATMUL", mode="context")
    expect(move(program, tile, context), core, "finds no tile in the latent ring")
    another = insert(program, tile + 1, Instruction.make("TILE", base="cache", n=1))
    expect(another, core, "1 tiles of the latent ring are not released")
    expect(remove(program, index_of(program, "STREAM")), core, "takes 3168 bytes of weights, 0")


def test_a_tile_fits_into_the_ring():
    program, core = scheduled("one pass")
    blocks = core.tile_blocks
    verify_hazards(program, dataclasses.replace(core, ring_blocks=blocks))
    expect(
        program,
        dataclasses.replace(core, ring_blocks=blocks - 1),
        f"needs {blocks} blocks of the latent ring, where 0 of {blocks - 1} have not been",
    )


@pytest.mark.parametrize(
    ("name", "choices", "fields", "message"),
    [
        ("MATMUL", {"mode": "score"}, {"tile_n": 0, "n": 1}, "reads 1 tokens of a tile of 64"),
        ("MATMUL", {"mode": "context"}, {"tile_k": 0, "k": 1}, "reads 1 tokens of a tile of 64"),
        ("MATMUL", {"mode": "context"}, {"n": 33}, "reads 33 latent channels of 32"),
        ("MATMUL", {"mode": "project"}, {"n": 49}, "bytes of weights, 3168 are left"),
        ("MATMUL", {"mode": "project"}, {"n": 40}, "before the products of the weights ahead"),
        ("STREAM", {}, {"n": 395}, "takes 3168 bytes of weights, 3160 are left"),
        ("STREAM", {}, {"k": 1}, "takes 3168 bytes of weights, 3160 are left"),
        ("STREAM", {}, {"n": 397}, "before the products of the weights ahead of it"),
    ],
)
def test_rejects_counts(name, choices, fields, message):
    program, core = scheduled("one pass")
    expect(change(program, index_of(program, name, **choices), **fields), core, message)


@pytest.mark.parametrize(
    ("shape", "choices", "fields", "message"),
    [
        ("naive", {"mode": "expand"}, {"k": 41}, "reads 41 latent channels of 40"),
        ("naive", {"mode": "expand"}, {"tile_n": 0, "n": 1}, "reads 1 tokens of a tile of 64"),
        ("recompute, two words", {"target": "row"}, {"k": 31}, "reads 31 tokens of a tile of 32"),
        ("recompute, two words", {"target": "row"}, {"b": 96}, "reads 128 latent channels of 96"),
        ("recompute, two words", {"target": "row", "release": 1}, {"release": 0}, "of a tile of"),
        ("recompute, two words", {"product": 1}, {"product": 0}, "bytes of weights, 128 are left"),
    ],
)
def test_rejects_counts_of_product_rows(shape, choices, fields, message):
    program, core = scheduled(shape)
    expect(change(program, index_of(program, "MATMUL", **choices), **fields), core, message)


def test_no_weights_are_left():
    program, core = scheduled("one pass")
    last = find(program, "STREAM")[-1]
    beats = program.instructions[last]["n"]
    expect(change(program, last, n=beats + 1), core, "8 bytes of weights are left in front of")
