"""Several layers in one image: one program for all, each layer as in an image of its own."""

import json
import weakref
from dataclasses import replace
from itertools import count, pairwise

import numpy as np
import pytest

import boards
from mla_hw.cli import generate as generate_module
from mla_hw.cli import head_passes
from mla_hw.cycles.predict import predict
from mla_hw.design import Design
from mla_hw.errors import ConfigError
from mla_hw.host.layers import layer_design
from mla_hw.presets import PRESETS
from mla_hw.program.image import LAYER_REGIONS
from tests.cli.command import snapshot
from tests.cli.test_bad_folders import edit, refuses
from tests.model.checkpoints import TINY, write_layers

COUNT = 4
#: What says nothing of the weights.
SHARED = ("program.bin", "program.txt", "predicted.json", "registers.h", "registers.md")
OPTIONS = {
    "absorb": (),
    "reuse": ("--scheme", "reuse"),
    "recompute": ("--scheme", "recompute"),
    "naive": ("--scheme", "naive"),
    "sequences": ("--rows", 2),
    "consecutive": ("--rows", 2, "--same-sequence"),
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_layers(tmp_path_factory.mktemp("layers") / "checkpoint", COUNT)


@pytest.fixture(autouse=True)
def _without_verilog(monkeypatch):
    """Saves the seconds that the gateware takes, which does not depend on the layers."""
    monkeypatch.setattr(generate_module, "_verilog", lambda _: ({}, {}))
    monkeypatch.setattr(head_passes, "check_device", lambda *_: None)


@pytest.fixture
def generate(command, checkpoint):
    """Generates from the checkpoint; returns the folder."""
    number = count()

    def run(*options):
        command.generates(checkpoint, "--context", 24, *options)
        return command.out.rename(command.parent / str(next(number)))

    return run


def manifest_of(folder):
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def decode(design, tokens=6):
    """Rows of y of the golden model for the same hidden states, whatever the layer."""
    core = design.core
    x = np.random.default_rng(3).standard_normal((tokens, core.query_rows, TINY["hidden_size"]))
    machine, found = design.machine(), []
    for step, row in enumerate(design.quantize_hidden(x)[0]):
        machine.write_hidden(row)
        machine.run(design.memory.positions(step))
        found.append(machine.y())
    return np.array(found)


@pytest.mark.parametrize("kind", OPTIONS)
def test_each_layer_is_what_it_is_in_an_image_of_its_own(generate, kind):
    several = generate(*OPTIONS[kind], "--layers", "2,0,3")
    image, results = Design.load(several), []
    assert image.layers == (2, 0, 3)
    for number in image.layers:
        alone = generate(*OPTIONS[kind], "--layer", number)
        for name in SHARED:
            assert (several / name).read_bytes() == (alone / name).read_bytes()
        single, chosen = Design.load(alone), layer_design(image, number)
        assert chosen.scales == single.scales
        results.append(decode(chosen))
        np.testing.assert_array_equal(results[-1], decode(single))
        for name, region in single.regions.items():
            place = chosen.regions[name]
            assert place.size == region.size
            assert image.image[place.offset : place.end] == single.image[region.offset : region.end]
        position = image.memory.positions(8)
        wanted = predict(single.program, single.core, single.memory, position)
        assert predict(image.program, image.core, chosen.memory, position).total == wanted.total
    assert not np.array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])
    # One program would not do if any of these were in an instruction.
    manifest = manifest_of(several)
    entries = [manifest, *manifest["layers"]]
    for name in ("score_post", "key_ratio", "epsilon_kv"):
        assert len({entry["layer_constants"][name] for entry in entries}) > 1


def test_the_first_layer_is_the_default(generate):
    several, alone = generate("--layers", "3,1"), generate("--layer", 3)
    image = Design.load(several)
    assert layer_design(image, None) is layer_design(image, 3) is image
    assert manifest_of(several)["layer"] == 3
    for name in ("scales", "layer_constants", "calibration"):
        assert manifest_of(several)[name] == manifest_of(alone)[name]
    with pytest.raises(ConfigError, match=r"--layer: must be one that the image holds \(1, 3\)"):
        layer_design(image, 0)


@pytest.mark.parametrize("options", [(), ("--rows", 3)])
def test_nothing_overlaps_and_nothing_is_there_twice(generate, options):
    image = Design.load(generate(*options, "--layers", "all"))
    assert image.layers == tuple(range(COUNT))
    layers = image.memory.layers
    places = {region: name for regions in layers for name, region in regions.items()}
    assert len(places) == len(image.regions) + (COUNT - 1) * len(LAYER_REGIONS)
    in_order = sorted(places, key=lambda region: region.offset)
    assert all(before.end <= after.offset for before, after in pairwise(in_order))
    assert all(region.offset % (16 * image.core.port_bytes) == 0 for region in places)
    # Caches are not stored.
    assert [places[region] for region in in_order[-COUNT:]] == ["cache"] * COUNT
    assert len(image.image) == in_order[-COUNT].offset
    assert image.memory.size == in_order[-1].end
    assert Design.load(generate(*options, "--layers", "0,1,2,3")).image == image.image


def test_a_list_of_one_is_a_single_layer(generate):
    assert snapshot(generate("--layers", 1)) == snapshot(generate("--layer", 1))
    assert "layers" not in manifest_of(generate("--layers", "2"))


def test_one_line_for_each_layer(command, checkpoint):
    lines = command.generates(checkpoint, "--context", 8, "--layers", "1,3").splitlines()
    assert lines[:4] == [
        "choose head passes",
        f"compile layer 1 of {checkpoint} for ulx3s-85f",
        f"compile layer 3 of {checkpoint} for ulx3s-85f",
        "predict cycles",
    ]


def test_one_layer_of_the_checkpoint_at_a_time(command, checkpoint, monkeypatch):
    load, alive = generate_module.load_model, []

    def watched(*arguments, **options):
        assert not [tensor for tensor in alive if tensor() is not None]
        weights = load(*arguments, **options)
        alive.extend(weakref.ref(tensor) for tensor in weights.tensors.values())
        return weights

    monkeypatch.setattr(generate_module, "load_model", watched)
    command.generates(checkpoint, "--context", 8, "--layers", "all")
    assert len(alive) == COUNT * 7


def test_calibration_rows_of_each_layer(generate, tmp_path):
    rng = np.random.default_rng(5)
    for number in (0, 2):
        x = rng.standard_normal((9 + number, TINY["hidden_size"]))
        np.savez(tmp_path / f"rows-{number}.npz", x=x * 10**number)
    several = manifest_of(
        generate("--layers", "0,2", "--calibration", tmp_path / "rows-{layer}.npz")
    )
    (other,) = several["layers"]
    for entry, number in ((several, 0), (other, 2)):
        assert entry["calibration"]["rows"] == 9 + number
        path = tmp_path / f"rows-{number}.npz"
        alone = manifest_of(generate("--layer", number, "--calibration", path))
        assert entry["scales"] == alone["scales"]
    # One file does for all of them, too.
    both = manifest_of(generate("--layers", "0,2", "--calibration", tmp_path / "rows-0.npz"))
    assert both["scales"]["x"] == both["layers"][0]["scales"]["x"] == several["scales"]["x"]


def test_layers_of_a_preset(command, monkeypatch):
    """Each is drawn from the seed and its number."""
    preset = PRESETS["tiny-v3"]
    config = replace(preset.config, num_hidden_layers=3)
    monkeypatch.setitem(PRESETS, "tiny-v3", replace(preset, config=config))
    images = []
    for seed in (0, 1):
        command.generates("tiny-v3", "--context", 8, "--layers", "0,2", "--seed", seed)
        images.append(Design.load(command.out))
    weights = [
        image.image[place["weights"].offset : place["weights"].end]
        for image in images
        for place in image.memory.layers
    ]
    assert len(set(weights)) == 4


# What cannot be.


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (("--layers", "0,7"), "--layers: must be from 0 to 3, the last one of {}, not 7"),
        (("--layers", "1,2,1"), "--layers: must have no layer twice, as 1"),
        (("--layers", "0", "--layer", 0), "--layers: takes the place of --layer, not both"),
        (("--layers", "all", "--layer", 1), "--layers: takes the place of --layer, not both"),
        (
            ("--layers", "0,one"),
            "--layers: must be an integer of at least 0, not 'one'; or all; see mla-hw generate "
            "--help",
        ),
        (
            ("--layers", "0,,1"),
            "--layers: must be an integer of at least 0, not ''; or all; see mla-hw generate "
            "--help",
        ),
        (
            ("--layers", "-1"),
            "--layers: must be an integer of at least 0, not '-1'; or all; see mla-hw generate "
            "--help",
        ),
    ],
)
def test_lists_of_layers_that_do_not_do(command, checkpoint, monkeypatch, options, wanted):
    def no_weights(*_, **__):
        raise AssertionError("nothing is read before the list is known to do")

    monkeypatch.setattr(generate_module, "load_model", no_weights)
    assert command.refuses(checkpoint, *options) == wanted.format(checkpoint)


@pytest.mark.parametrize(
    ("layers", "wanted"),
    [
        ((), r"--layers: must be numbers of layers, or all, not \(\)"),
        ("every", "--layers: must be numbers of layers, or all, not 'every'"),
        ((0, True), "--layers: must be an integer of at least 0, not True"),
        ((0, 1.0), "--layers: must be an integer of at least 0, not 1.0"),
    ],
)
def test_lists_that_only_the_function_can_be_given(command, checkpoint, layers, wanted):
    with pytest.raises(ConfigError, match=f"^{wanted}$"):
        generate_module.generate(checkpoint, out=command.out, layers=layers)


def test_a_layer_without_tensors_leaves_nothing(command, checkpoint, tmp_path):
    source = write_layers(tmp_path / "shorter", 2)
    config = (checkpoint / "config.json").read_text()
    (source / "config.json").write_text(config)
    message = command.refuses(source, "--context", 8, "--layers", "0,3")
    assert message == f"{source}: has no tensor named model.layers.3.self_attn.*"


def test_more_layers_than_the_memory_holds(command, checkpoint, monkeypatch):
    """What the message names fits, a little more does not."""
    command.generates(checkpoint, "--context", 64, "--layers", "0,1,2")
    size = manifest_of(command.out)["memory_bytes"]
    board = boards.load_board("ulx3s-85f")
    small = replace(board, memory=replace(board.memory, size_mib=size / 2**20))
    monkeypatch.setattr(generate_module, "load_board", lambda _: small)
    message = command.refuses(checkpoint, "--context", 64, "--layers", "all")
    needed = int(message.split()[4])
    assert needed > size
    largest = int(message.split("fits is ")[1].split(";")[0])
    assert 0 < largest < 64
    assert message == (
        f"memory of ulx3s-85f: needs {needed} bytes, has {size} ({needed - size} too many); the "
        f"largest --context that fits is {largest}; at --context 64 there is room for 3 of 4 "
        "layers (--layers)"
    )
    command.generates(checkpoint, "--context", 64, "--layers", "0,1,2")
    command.generates(checkpoint, "--context", largest, "--layers", "all")

    def no_search(*_, **__):
        raise AssertionError("the memory is too small for as many passes as there have to be")

    monkeypatch.setattr(head_passes, "predict", no_search)
    message = command.refuses(checkpoint, "--context", largest + 1, "--layers", "all")
    assert f"bytes, has {size} (" in message


# Folders that were edited.


def with_entry(**changes):
    return lambda manifest: manifest["layers"][0].update(changes)


def with_region(name, **changes):
    return lambda manifest: manifest["layers"][0]["regions"][name].update(changes)


def with_scales(**changes):
    return lambda manifest: manifest["layers"][0]["scales"].update(changes)


def without(name):
    return lambda manifest: manifest["layers"][0].pop(name)


NOT_AS_WRITTEN = "manifest.json or program.bin is not as generate writes it"
EDITS = {
    "null": (lambda manifest: manifest.update(layers=None), NOT_AS_WRITTEN),
    "numbers": (lambda manifest: manifest.update(layers=[3]), NOT_AS_WRITTEN),
    "object": (lambda manifest: manifest.update(layers={"a": "b"}), NOT_AS_WRITTEN),
    "no number": (without("layer"), "has no 'layer'"),
    "no regions": (without("regions"), "has no 'regions'"),
    "no scales": (without("scales"), "has no 'scales'"),
    "the first again": (with_entry(layer=2), "the list of layers does not fit"),
    "another one again": (with_entry(layer=3), "the list of layers does not fit"),
    "beyond the model": (with_entry(layer=COUNT), "the list of layers does not fit"),
    "negative": (with_entry(layer=-1), "the list of layers does not fit"),
    "text": (with_entry(layer="0"), "the list of layers does not fit"),
    "true": (with_entry(layer=True), "the list of layers does not fit"),
    "no cache": (lambda m: m["layers"][0]["regions"].pop("cache"), "has no 'cache'"),
    "moved": (with_region("weights", offset=4096), "the list of regions does not fit"),
    "between beats": (with_region("constants", offset=3), "the list of regions does not fit"),
    "longer": (with_region("cache", size=1 << 20), "the list of regions does not fit"),
    "no offset": (lambda m: m["layers"][0]["regions"]["cache"].pop("offset"), NOT_AS_WRITTEN),
    "text as offset": (with_region("cache", offset="0"), NOT_AS_WRITTEN),
    "no step": (with_scales(x=0), "the list of scales does not fit"),
    "text as step": (with_scales(y="1"), NOT_AS_WRITTEN),
    "one less": (lambda m: m["layers"].pop(), "the memory_bytes does not fit"),
    "order": (lambda m: m["layers"].reverse(), "the list of regions does not fit"),
}


@pytest.mark.parametrize("kind", EDITS)
def test_edited_lists_of_layers(command, generate, kind):
    folder = generate("--layers", "2,0,3")
    change, wanted = EDITS[kind]
    edit(folder, change)
    message = refuses(command, folder, "simulate", folder, "--layer", 0)
    assert message.startswith(f"{folder}: is damaged (")
    assert wanted in message
    assert message.endswith("): generate it again")


@pytest.mark.parametrize("layers", ["2", "2,0"])
def test_simulation_of_a_layer_that_is_not_there(command, generate, layers):
    folder = generate("--layers", layers)
    message = refuses(command, folder, "simulate", folder, "--layer", 1)
    held = ", ".join(sorted(layers.split(",")))
    assert message == f"--layer: must be one that the image holds ({held}), not 1"
