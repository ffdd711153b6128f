"""Small generated cores with hidden states, for all tests of the driver."""

import numpy as np
import pytest

import mla_hw
from mla_hw.design import Design
from tests.model.checkpoints import write_layers
from tests.reference_cases import load_case, write_case

CONTEXT = 8
SMALL_ARRAY = "rows: 2\ncolumns: 4\n"


@pytest.fixture(scope="session")
def core_folder(tmp_path_factory):
    """Folder with the core, and beside it the hidden states and their reference."""
    folder = tmp_path_factory.mktemp("host")
    write_case("tiny-v3", folder / "checkpoint")
    case = load_case("tiny-v3")
    (folder / "hardware.yaml").write_text(SMALL_ARRAY)
    np.savez(folder / "calibration.npz", x=case.x)
    mla_hw.generate(
        folder / "checkpoint",
        out=folder / "core",
        hardware=folder / "hardware.yaml",
        calibration=folder / "calibration.npz",
        context=CONTEXT,
    )
    np.savez(folder / "rows.npz", x=case.x[:3])
    return folder / "core"


@pytest.fixture(scope="session")
def design(core_folder):
    return Design.load(core_folder)


@pytest.fixture(scope="session")
def hidden(core_folder, design):
    """Quantised hidden states [tokens, hidden_size]."""
    with np.load(core_folder.parent / "rows.npz") as rows:
        return design.quantize_hidden(rows["x"])[0]


@pytest.fixture(scope="session")
def layers_folder(tmp_path_factory):
    """Folder of an image that holds layers 2 and 0 of a checkpoint, and its hidden states."""
    folder = tmp_path_factory.mktemp("layers")
    write_layers(folder / "checkpoint", 3)
    (folder / "hardware.yaml").write_text(SMALL_ARRAY)
    generated = mla_hw.generate(
        folder / "checkpoint",
        out=folder / "core",
        layers=(2, 0),
        hardware=folder / "hardware.yaml",
        context=CONTEXT,
    )
    width = generated.design.model.hidden_size
    np.savez(folder / "rows.npz", x=np.random.default_rng(6).standard_normal((3, width)))
    return folder / "core"
