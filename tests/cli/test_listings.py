import inspect
from importlib import metadata

import pytest

import boards
import mla_hw
from mla_hw.cli import main
from mla_hw.devices import UNBOUNDED
from mla_hw.presets import PRESETS


def rows(output):
    return {line.split()[0]: line.split() for line in output.splitlines() if line.strip()}


def test_models_lists_every_preset(command):
    table = rows(command.succeeds("models"))
    for name, preset in PRESETS.items():
        row = table[name]
        assert row[1] == str(preset.config.hidden_size)
        assert row[2] == str(preset.config.num_attention_heads)
        assert row[3] == str(preset.config.q_lora_rank or "–")
        assert row[9].startswith(preset.config.rope.rope_type)


def test_models_marks_what_is_assumed(command):
    output = command.succeeds("models")
    table = rows(output)
    marked = {name for name in PRESETS if any(cell.endswith("?") for cell in table[name])}
    assert marked == {"kimi-k2", "minicpm3-4b"}
    flat = " ".join(output.split())
    for name in marked:
        assert f"? assumed in {name}: {', '.join(PRESETS[name].assumed)}" in flat


def test_boards(command):
    table = rows(command.succeeds("boards"))
    for name in boards.list_boards():
        board = boards.load_board(name)
        counts = [board.device.lut, board.device.dsp, board.device.bram]
        known = ["–" if count == UNBOUNDED else str(count) for count in counts]
        assert table[name][1:5] == [board.device.name, *known]
        assert table[name][-2] == f"{board.hardware['rows']}×{board.hardware['columns']}"
    # 32 multipliers at 60 MHz, 0.12 GB/s; a port that is as fast as the memory.
    assert table["ulx3s-85f"][-1] == "16.0"
    assert table["generic-axi"][-1] == "16.0"
    assert "128 KiB spram" in " ".join(table["icebreaker"])


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"mla-hw {metadata.version('mla-hw')}\n"


@pytest.mark.parametrize("name", ["generate", "simulate", "synth", "report", "analyze", "paper"])
def test_commands_are_documented_functions(name):
    function = getattr(mla_hw, name)
    assert name in mla_hw.__all__
    text = inspect.getdoc(function)
    for parameter in inspect.signature(function).parameters:
        assert f"{parameter} :" in text or f"{parameter}," in text
    assert "Raises" in text


def test_unknown_attribute():
    name = "analyse"
    with pytest.raises(AttributeError, match=name):
        getattr(mla_hw, name)
