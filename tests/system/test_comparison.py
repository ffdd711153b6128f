"""The comparison notices what the core sees wrongly, and says where."""

import numpy as np
import pytest

import mla_hw
from mla_hw.cli.simulate import Corruption
from mla_hw.design import Design
from mla_hw.golden.latent_ring import place_latent
from mla_hw.program.instructions import FIELDS, INSTRUCTION_WORDS

CASE, ARRAY = "tiny-v3", "4x8"
pytestmark = pytest.mark.rtl
CHANNEL = 5


@pytest.fixture(scope="module")
def core(cores, tmp_path_factory):
    """Folder, design, and a file with three tokens."""
    folder, hidden = cores(CASE, ARRAY)
    three = tmp_path_factory.mktemp("hidden") / "three.npz"
    with np.load(hidden) as stored:
        np.savez(three, x=stored["x"][:3])
    return folder, Design.load(folder), three


def run(core, region, offset, mask, token):
    folder, _, hidden = core
    corruption = Corruption(region=region, offset=offset, mask=mask, token=token)
    report = mla_hw.simulate(folder, hidden=hidden, corrupt=[corruption])
    assert not report.bit_exact
    assert report.tokens == token + 1
    assert report.difference.token == token
    return report.difference


def tile_offset(design, name, channel):
    """Offset of the tile of the channel, and the channel's lane."""
    tensor = next(item for item in design.memory.tensors if item.projection == name)
    columns = design.core.columns
    tiles = -(-design.model.hidden_size // columns)
    tile, lane = divmod(channel, columns)
    return tensor.offset + tile * tensor.size // tiles, lane


def largest_operand(design, hidden):
    """Step of the last projection whose operand is largest for token 1."""
    machine = design.machine()
    with np.load(hidden) as stored:
        rows, _ = design.quantize_hidden(stored["x"])
    for position in range(2):
        machine.write_hidden(rows[position])
        machine.run(position)
    matmul = [item for item in design.program.instructions if item.name == "MATMUL"][-1]
    elements = matmul["a"] + np.arange(matmul["k"])
    bits = design.core.spread_bits
    operands = machine.halves[0, elements >> bits, elements & ((1 << bits) - 1)]
    return int(np.abs(operands).argmax())


def test_one_weight(core):
    _, design, hidden = core
    start, lane = tile_offset(design, "y", CHANNEL)
    step = largest_operand(design, hidden)
    offset = start + (2 + step) * design.core.columns + lane
    difference = run(core, "weights", offset, 0x40, token=1)
    per_word = design.core.port_bytes // 2
    assert difference.buffer == "output_buffer.words.memory"
    assert difference.element == (CHANNEL // per_word, CHANNEL % per_word)


def test_one_requantise_constant(core):
    _, design, _ = core
    start, lane = tile_offset(design, "y", CHANNEL)
    difference = run(core, "weights", start + 2 * lane + 1, 0x20, token=2)
    # The banks still hold the constants of the last tiles: nearer to the cause than the result.
    assert difference.buffer == "requantizer.constants"
    half, within = divmod(lane, design.core.columns // 2)
    word, element = difference.element
    assert (word % 2, element) == (half, within)


@pytest.mark.parametrize(("index", "field"), [(0, "opcode"), (4, "c"), (-2, "a")])
def test_one_program_word(core, index, field):
    _, design, _ = core
    index %= len(design.program)
    word, bit = divmod(FIELDS[field].lsb, 32)
    place = INSTRUCTION_WORDS * index + word
    difference = run(core, "program", 4 * place + bit // 8, 1 << bit % 8, token=1)
    assert difference.buffer == "dispatcher.memory"
    assert difference.element == (place,)


def test_one_cache_byte(core):
    _, design, _ = core
    token, channel = 0, 7
    offset = token * design.core.row_bytes + channel
    difference = run(core, "cache", offset, 0x10, token=2)
    # Tokens 0 and 1 have filled one block each.
    bank, address = place_latent(design.core, 2, token, channel)
    assert difference.buffer == f"latent_ring.bank_{bank}.memory"
    assert difference.element == (int(address),)
