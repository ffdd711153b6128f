"""Layers of one image on the simulator: one core, each bit-exact and as if it were alone."""

import numpy as np
import pytest

import mla_hw
from mla_hw.checkpoint import load_layer
from mla_hw.cli.simulate import Corruption
from mla_hw.compile_layer import compile_layer
from mla_hw.design import Design
from mla_hw.host.layers import layer_design
from tests.model.checkpoints import TINY, write_layers
from tests.system.conftest import ARRAYS
from tests.system.test_bit_exact import assert_predicted

CONTEXT = 32
LAYERS = (1, 2, 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder of an image of three layers; its checkpoint and hidden states lie beside it."""
    root = tmp_path_factory.mktemp("layers")
    write_layers(root / "checkpoint", len(LAYERS))
    (root / "hardware.yaml").write_text(ARRAYS["2x4"])
    mla_hw.generate(
        root / "checkpoint",
        out=root / "core",
        layers=LAYERS,
        hardware=root / "hardware.yaml",
        context=CONTEXT,
    )
    x = np.random.default_rng(4).standard_normal((20, TINY["hidden_size"]))
    np.savez(root / "hidden.npz", x=x)
    return root / "core"


def alone(folder, layer):
    """Return y of an image of this layer alone, by its golden model."""
    weights = load_layer(folder.parent / "checkpoint", layer)
    design = compile_layer(weights, Design.load(folder).hardware, context=CONTEXT).design
    machine, found = design.machine(), []
    with np.load(folder.parent / "hidden.npz") as stored:
        x, _ = design.quantize_hidden(stored["x"])
    for position, row in enumerate(x):
        machine.write_hidden(row)
        machine.run(position)
        found.append(machine.y())
    return np.array(found)


@pytest.mark.rtl
def test_each_layer(folder, tmp_path):
    lines, output = [], tmp_path / "y.npz"
    options = {"hidden": folder.parent / "hidden.npz", "output": output, "progress": lines.append}
    for layer in (None, 2, 0):
        number = LAYERS[0] if layer is None else layer
        report = mla_hw.simulate(folder, layer=layer, **options)
        assert report.bit_exact, report.difference
        assert report.layer == report.to_dict()["layer"] == layer
        assert_predicted(report)
        with np.load(output) as stored:
            y_int, y = stored["y_int"], stored["y"]
        np.testing.assert_array_equal(y_int, alone(folder, number))
        design = layer_design(Design.load(folder), number)
        np.testing.assert_array_equal(y, y_int * design.scales["y"])
    # One core for all of them.
    assert sum(line.startswith("build the simulation") for line in lines) == 1


@pytest.mark.rtl
def test_a_layer_reads_its_own_weights_and_cache(folder):
    design = Design.load(folder)
    chosen = layer_design(design, 2)
    first = 17
    options = {"hidden": folder.parent / "hidden.npz", "layer": 2, "prefill": first}

    def corrupt(name, offset):
        return Corruption(region=name, offset=offset + 5, mask=0x10, token=first)

    others = [
        corrupt(name, regions[name].offset - place.offset)
        for name, place in chosen.regions.items()
        for regions in design.memory.layers
        if regions[name] != place
    ]
    assert len(others) == 6
    report = mla_hw.simulate(folder, corrupt=others, **options)
    assert report.bit_exact, report.difference
    for name in ("weights", "constants", "cache"):
        assert not mla_hw.simulate(folder, corrupt=[corrupt(name, 0)], **options).bit_exact
