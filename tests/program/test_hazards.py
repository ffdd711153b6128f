"""Programs without hazards, each semaphore of which is needed, and programs with hazards."""

import dataclasses
import re

import pytest

from mla_hw.errors import ProgramError
from mla_hw.golden.dispatcher import resolve
from mla_hw.program.accesses import reads, writes
from mla_hw.program.hazards import verify_hazards
from mla_hw.program.instructions import FIELDS
from mla_hw.program.program import Instruction
from mla_hw.program.verify import verify_program
from tests.program.programs import (
    SHAPES,
    change,
    find,
    index_of,
    insert,
    matched_sites,
    move,
    neighbour,
    scheduled,
    sites,
    without,
)

#: Semaphores, by shape, without which the order of all uses would still be known. There are none:
#: the scheduler lets an instruction wait only where nothing else tells it.
REDUNDANT = dict.fromkeys(SHAPES, ())


def is_refused(program, core):
    try:
        verify_program(program)
        verify_hazards(program, core)
    except ProgramError:
        return True
    return False


@pytest.mark.parametrize("shape", SHAPES)
def test_scheduled_programs_have_no_hazards(shape):
    program, core = scheduled(shape)
    verify_program(program)
    verify_hazards(program, core)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_semaphore_bit_is_needed(shape):
    program, core = scheduled(shape)
    kept = [site for site in sites(program) if not is_refused(without(program, [site]), core)]
    assert not kept


@pytest.mark.parametrize("shape", SHAPES)
def test_every_give_with_its_take_is_needed(shape):
    """Without a single bit the counts are wrong; here they are right and only the order lacks."""
    program, core = scheduled(shape)
    redundant = []
    for group in matched_sites(program, core):
        spoilt = without(program, group)
        verify_program(spoilt)
        if not is_refused(spoilt, core):
            redundant.append(program.semaphores[group[0][-1]])
    assert tuple(sorted(redundant)) == REDUNDANT[shape]


@pytest.mark.parametrize("shape", SHAPES)
def test_waits_are_not_too_late_and_gives_not_too_early(shape):
    program, core = scheduled(shape)
    moved = 0
    for site in sites(program):
        if (other := neighbour(program, site)) is None:
            continue
        index, field, semaphore = other
        bits = program.instructions[index][field] | 1 << semaphore
        spoilt = change(without(program, [site]), index, **{field: bits})
        assert is_refused(spoilt, core), (site, other)
        moved += 1
    assert moved > 5


def without_semaphore(program, name):
    semaphore = program.semaphores.index(name)
    return without(program, [site for site in sites(program) if site[-1] == semaphore])


@pytest.mark.parametrize(
    ("semaphore", "message"),
    [
        ("loaded", "reads constants that instruction 0 (LOAD) writes"),
        ("q_down", "reads scratch that instruction 4 (MATMUL) writes"),
        ("c_q", "reads vector that instruction 9 (NORM) writes"),
        ("row", "reads row that instruction 12 (PACK) writes"),
        ("stored", "reads memory.cache that instruction 13 (STORE) writes"),
        ("drained", "reads projection that instruction 18 (MATMUL) writes"),
        ("scores", "reads scores that instruction 25 (MATMUL) writes"),
        ("probabilities", "releases the tile that instruction 25 (MATMUL) reads"),
        ("context", "uses the read port of context that instruction 27 (MATMUL) uses"),
        ("y", "reads output that instruction 35 (MATMUL) writes"),
    ],
)
def test_messages_name_the_use(semaphore, message):
    program, core = scheduled("one pass")
    with pytest.raises(ProgramError, match=re.escape(f"{message}, without waiting for it")):
        verify_hazards(without_semaphore(program, semaphore), core)


def test_credits_of_the_dispatcher_say_nothing():
    program, core = scheduled("one pass")
    semaphore = program.semaphores.index("loaded")
    spoilt = without(program, [(2, "post", semaphore)])
    spoilt = insert(spoilt, 0, Instruction.make("POST", post=1 << semaphore))
    verify_program(spoilt)
    with pytest.raises(ProgramError, match="without waiting for it"):
        verify_hazards(spoilt, core)


def names(accesses):
    return {access.memory for access in accesses}


def test_every_memory_is_looked_at():
    program, core = scheduled("one pass")
    found = {}
    for command in resolve(
        program.instructions,
        position=2 * core.tile_tokens - 1,
        tile_tokens=core.tile_tokens,
        bases=[0] * 7,
        port_bytes=core.port_bytes,
    ):
        read, written = found.setdefault(command.name, (set(), set()))
        read |= names(reads(command, core, "region", joins=True))
        written |= names(writes(command, core, "region"))
    assert found == {
        "LOAD": ({"memory.region"}, {"constants", "table", "projection"}),
        "STREAM": (set(), set()),
        "TILE": ({"memory.region"}, set()),
        "MATMUL": (
            {"projection", "vector", "constants", "controls", "context"},
            {"projection", "scratch", "output", "scores", "scales", "maxima", "context"},
        ),
        "NORM": ({"scratch", "constants"}, {"staging", "vector"}),
        "ROPE": ({"scratch", "table"}, {"staging", "vector"}),
        "SOFTMAX": (
            {"scores", "scales", "maxima", "state"},
            {"vector", "controls", "state"},
        ),
        "NORMALIZE": ({"context", "state", "constants"}, {"vector"}),
        "PACK": ({"staging", "constants"}, {"row"}),
        "STORE": ({"row", "output"}, {"memory.region"}),
        **dict.fromkeys(("LOOP", "NEXT", "HALT"), (set(), set())),
    }


def test_every_memory_of_other_schemes_is_looked_at():
    for shape, ring, streamed in (
        ("naive", {"score", "context"}, set()),
        ("recompute, two passes", set(), {"project"}),
    ):
        program, core = scheduled(shape)
        users = {"read": set(), "written": set()}
        for command in resolve(
            program.instructions,
            position=core.tile_tokens,
            tile_tokens=core.tile_tokens,
            bases=[0] * 7,
            port_bytes=core.port_bytes,
        ):
            if command.name != "MATMUL":
                continue
            mode = FIELDS["mode"].choices[command.fields["mode"]]
            if "products" in names(reads(command, core, "", joins=True)):
                users["read"].add(mode)
            if "products" in names(writes(command, core, "")):
                users["written"].add(mode)
        assert users == {"read": ring | streamed, "written": {"expand"}}


@pytest.mark.parametrize(
    ("shape", "semaphore", "message"),
    [
        ("naive", "weights_free", "overwrites projection that instruction"),
        ("naive", "loaded", "reads constants that instruction 0 (LOAD) writes"),
        ("naive", "drained", "reads products that instruction"),
        ("recompute, two words", "drained", "reads products that instruction"),
        ("recompute, two passes", "pass_done", "uses the write port of projection that"),
    ],
)
def test_messages_name_the_use_of_product_rows(shape, semaphore, message):
    program, core = scheduled(shape)
    with pytest.raises(ProgramError, match=re.escape(message)):
        verify_hazards(without_semaphore(program, semaphore), core)


@pytest.mark.parametrize(
    ("shape", "choices", "fields", "message"),
    [
        ("naive", {"mode": "expand"}, {"a": 1536}, "leaves projection"),
        ("naive", {"mode": "expand"}, {"target": "spread"}, "has no target spread"),
        ("naive", {"mode": "expand"}, {"c": 1 << 23}, "leaves products"),
        ("naive", {"mode": "score"}, {"a": 0}, "reads projection from LOAD of lanes, not from p"),
        ("recompute, two words", {"mode": "project", "product": 1}, {"k": 300}, "leaves products"),
        ("one pass", {"mode": "score"}, {"mode": "expand"}, "which this core has no rows for"),
    ],
)
def test_rejects_operands_of_product_rows(shape, choices, fields, message):
    program, core = scheduled(shape)
    index = index_of(program, "MATMUL", **choices)
    with pytest.raises(ProgramError, match=re.escape(message)):
        verify_hazards(change(program, index, **fields), core)


def test_only_cores_with_product_rows_load_lanes():
    program, core = scheduled("one pass")
    x = index_of(program, "LOAD", target="spread")
    with pytest.raises(ProgramError, match="has no target lanes"):
        verify_hazards(change(program, x, target="lanes"), core)
    with pytest.raises(ProgramError, match=r"leaves memory\.weights"):
        verify_hazards(change(program, x, base="weights"), core)


# Memory.


def store_after_attention(program):
    return move(program, index_of(program, "STORE", target="row"), find(program, "NEXT")[1] + 1)


def test_a_row_is_stored_before_its_tile_is_read():
    program, core = scheduled("one pass")
    late = store_after_attention(program)
    with pytest.raises(ProgramError, match="takes semaphore stored before it is given"):
        verify_program(late)
    late = store_after_attention(without_semaphore(program, "stored"))
    verify_program(late)
    with pytest.raises(ProgramError, match=r"reads memory\.cache where nothing has been written"):
        verify_hazards(late, core)


def test_the_wrong_order_is_found_even_if_it_is_enforced():
    program, core = scheduled("one pass")
    semaphore = 1 << program.semaphores.index("stored")
    late = store_after_attention(without_semaphore(program, "stored"))
    store, tile = index_of(late, "STORE", target="row"), index_of(late, "TILE")
    late = change(late, tile, final=semaphore)
    late = change(late, store, wait=late.instructions[store]["wait"] | semaphore)
    verify_program(late)
    with pytest.raises(ProgramError, match=r"reads memory\.cache where nothing has been written"):
        verify_hazards(late, core)


@pytest.mark.parametrize(
    ("name", "choices", "fields", "message"),
    [
        ("STORE", {"target": "row"}, {"a_stride2": 0}, "overwrites memory.cache that the host wr"),
        ("STORE", {"target": "row"}, {"a": 1}, "leaves memory.cache"),
        ("STORE", {"target": "row"}, {"base": "y"}, "reads memory.cache where nothing has been w"),
        ("STORE", {"target": "row"}, {"n": 1}, "reads memory.cache where nothing has been writ"),
        ("STORE", {"target": "output"}, {"base": "x"}, "overwrites memory.x that the host wrote"),
        ("STORE", {"target": "output"}, {"base": "weights"}, "leaves memory.weights"),
        ("STORE", {"target": "output"}, {"a": 1}, "leaves memory.y"),
        ("STORE", {"target": "output"}, {"n": 17}, "leaves output"),
        ("STORE", {"target": "output"}, {"target": "spread"}, "has no target spread"),
        ("TILE", {}, {"a": 1}, "leaves memory.cache"),
        ("LOAD", {"target": "spread"}, {"base": "y"}, "reads memory.y where nothing has been wri"),
        ("LOAD", {"target": "spread"}, {"n": 15}, "reads projection where nothing has been wri"),
        ("LOAD", {"target": "table"}, {"a_stride2": 3}, "leaves memory.rope"),
        ("LOAD", {"target": "table"}, {"target": "scratch"}, "has no target scratch"),
    ],
)
def test_rejects_accesses_to_memory(name, choices, fields, message):
    program, core = scheduled("one pass")
    with pytest.raises(ProgramError, match=re.escape(message)):
        verify_hazards(change(program, index_of(program, name, **choices), **fields), core)


def test_rejects_two_stores_of_y():
    program, core = scheduled("one pass")
    store = index_of(program, "STORE", target="output")
    again = insert(program, store + 1, *change(program, store, wait=0).instructions[store:-1])
    verify_program(again)
    with pytest.raises(ProgramError, match=r"overwrites memory\.y that nobody has read"):
        verify_hazards(again, core)


# On-chip memories.


@pytest.mark.parametrize(
    ("name", "choices", "fields", "message"),
    [
        ("NORM", {"target": "row"}, {"k": 31}, "reads staging where nothing has been written"),
        ("NORM", {"target": "row"}, {"k": 33}, "reads scratch where nothing has been written"),
        ("ROPE", {"target": "lanes"}, {"n": 3}, "reads vector where nothing has been written"),
        ("ROPE", {"target": "lanes"}, {"a": 0}, "writes scratch that nobody reads"),
        ("ROPE", {"target": "row"}, {"c": 0}, "overwrites staging that nobody has read"),
        ("PACK", {}, {"k": 0}, "uses nothing of staging"),
        ("MATMUL", {"mode": "score"}, {"b": 0}, "reads vector"),
        ("MATMUL", {"mode": "score"}, {"group": 1}, "leaves scales"),
        ("MATMUL", {"mode": "score"}, {"target": "row", "mode": "project"}, "weights"),
        ("MATMUL", {"mode": "context"}, {"c": 1}, "leaves context"),
        ("MATMUL", {"mode": "context"}, {"a": 288}, "reads vector from ROPE, not from SOFTMAX"),
        ("NORMALIZE", {}, {"b": 3}, "leaves state"),
        ("NORMALIZE", {}, {"a": 1}, "leaves context"),
        ("SOFTMAX", {}, {"c": 1}, "reads vector"),
        ("SOFTMAX", {}, {"rows": 3}, "reads vector where different tensors lie"),
        ("SOFTMAX", {}, {"tile_n": 0, "n": 1}, "reads vector where nothing has been written"),
    ],
)
def test_rejects_accesses_to_chip(name, choices, fields, message):
    program, core = scheduled("one pass")
    with pytest.raises(ProgramError, match=re.escape(message)):
        verify_hazards(change(program, index_of(program, name, **choices), **fields), core)


def test_results_are_not_written_over_operands():
    program, core = scheduled("two passes of two groups")
    q_nope = index_of(program, "MATMUL", target="spread")
    spoilt = change(program, q_nope, c=program.instructions[q_nope]["a"])
    with pytest.raises(ProgramError, match="overwrites projection that it reads itself"):
        verify_hazards(spoilt, core)


# Ports.


def test_loads_and_requantised_elements_share_a_port():
    program, core = scheduled("one pass")
    load = program.instructions[index_of(program, "LOAD", target="spread")]
    # To where nothing else lies, while the array may still write elsewhere.
    elsewhere = core.activation_depth << core.spread_bits
    load = Instruction.make("LOAD", **{**dict(load.values), "post": 0, "c": elsewhere})
    wide = dataclasses.replace(core, activation_depth=2 * core.activation_depth)
    spoilt = insert(program, find(program, "STREAM")[-1], load)
    verify_program(spoilt)
    with pytest.raises(ProgramError, match="uses the write port of projection that instruction"):
        verify_hazards(spoilt, wide)


def test_sums_are_not_read_while_others_come_in():
    program, core = scheduled("two passes of two groups")
    first, second = find(program, "MATMUL", mode="context")[:2]
    final = program.instructions[second]["final"]
    # The first head's sums are complete, but they lie in the same memory.
    spoilt = change(change(program, second, final=0), first, final=final)
    verify_program(spoilt)
    message = f"uses the read port of context that instruction {second} (MATMUL) uses"
    with pytest.raises(ProgramError, match=re.escape(message)):
        verify_hazards(spoilt, core)
