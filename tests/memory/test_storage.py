# amaranth: UnusedElaboratable=no
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import unsigned

from mla_hw.errors import ConfigError
from rtl_gen.memory.storage import Storage
from rtl_gen.verilog import emit_verilog
from tests.streams import simulate
from tests.verilog_bench import outputs

TWIN = Path(__file__).resolve().parents[2] / "sim" / "models" / "ice40.v"
# Width and depth; cells of iCE40 UltraPlus, which has four.
SHAPES = {"64x16k": (64, 16384, 4), "32x32k": (32, 32768, 4), "16x64": (16, 64, 1)}


def accesses(width, depth, count=400):
    """Draw accesses to a few addresses, all of which are written first: en, write, address, i."""
    rng = np.random.default_rng(width)
    addresses = sorted({0, depth - 1, *(int(a) for a in rng.integers(depth, size=20))})
    lines = [
        (1, (1 << width // 8) - 1, a, int.from_bytes(rng.bytes(width // 8))) for a in addresses
    ]
    for _ in range(count):
        write = int(rng.integers(1 << width // 8)) if rng.random() < 0.5 else 0
        data = int.from_bytes(rng.bytes(width // 8))
        lines.append((int(rng.random() < 0.8), write, int(rng.choice(addresses)), data))
    return lines


def words_read(lines, width):
    """Return the expected word for every line that reads, by line."""
    content, words = {}, {}
    for index, (en, write, address, data) in enumerate(lines):
        if en and not write:
            words[index] = content[address]
        for lane in range(width // 8 if en else 0):
            if write >> lane & 1:
                mask = 0xFF << 8 * lane
                content[address] = content.get(address, 0) & ~mask | data & mask
    return words


@pytest.mark.parametrize("form", ["portable", "nexus"])
def test_inferred(form):
    width, depth = 32, 256
    lines = accesses(width, depth)
    dut = Storage(width=width, depth=depth, form=form)
    found = {}

    async def bench(ctx):
        for index, (en, write, address, data) in enumerate(lines):
            ctx.set(dut.en, en)
            ctx.set(dut.write, write)
            ctx.set(dut.address, address)
            ctx.set(dut.i, data)
            await ctx.tick()
            if en and not write:
                found[index] = ctx.get(dut.o)

    simulate(dut, bench)
    assert found == words_read(lines, width)


@pytest.mark.icarus
@pytest.mark.parametrize("form", ["portable", "ice40"])
@pytest.mark.parametrize("shape", SHAPES)
def test_emitted_forms_are_equal(shape, form, tmp_path):
    width, depth, cells = SHAPES[shape]
    dut = Storage(width=width, depth=depth, form=form)
    texts = emit_verilog(dut, name="storage")
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    instances = "".join(texts.values()).count("SB_SPRAM256KA")
    assert instances == (cells if form == "ice40" else 0)
    assert dut.cells == cells
    lines = accesses(width, depth)
    found = outputs(
        tmp_path,
        [*texts, str(TWIN)],
        "storage",
        {
            "en": unsigned(1),
            "write": unsigned(width // 8),
            "address": unsigned(len(dut.address)),
            "i": unsigned(width),
        },
        ("o", unsigned(width)),
        lines,
    )
    expected = words_read(lines, width)
    assert {index: int(found[index]) for index in expected} == expected


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"form": "flash"}, "form must be one of portable, nexus, ice40"),
        ({"depth": 100}, "depth must be a power of two"),
        ({"depth": 1}, "depth must be a power of two"),
        ({"width": 24, "form": "ice40"}, "width must be a multiple of 16 for ice40"),
        ({"width": 12}, "width must be a multiple of 8"),
    ],
)
def test_rejects(keywords, message):
    with pytest.raises(ConfigError, match=message):
        Storage(**{"width": 64, "depth": 1024, **keywords})
