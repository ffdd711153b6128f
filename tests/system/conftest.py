"""Generated cores, one per case and array, shared by the tests of a session."""

import numpy as np
import pytest

import mla_hw
from tests.reference_cases import load_case, write_case

ARRAYS = {
    "2x4": "rows: 2\ncolumns: 4\n",
    "4x8": "rows: 4\ncolumns: 8\n",
    "8x16": "rows: 8\ncolumns: 16\nport_bytes: 16\n",
}
#: Rows that are no power of two, ports narrower than a word, small tiles, several passes.
UNUSUAL = {
    "3x4": (
        "rows: 3\ncolumns: 4\nport_bytes: 4\ntile_tokens: 16\naccumulator_lanes: 1\n"
        "outstanding_reads: 4\n"
    ),
    "2x8": "rows: 2\ncolumns: 8\nport_bytes: 4\ntile_tokens: 32\nactivation_bytes: 2600\n",
    # The same with room for the passes of two query rows.
    "2x8-rows": ("rows: 2\ncolumns: 8\nport_bytes: 4\ntile_tokens: 32\nactivation_bytes: 5200\n"),
    "2x8-passes": ("rows: 2\ncolumns: 8\nport_bytes: 4\ntile_tokens: 32\nactivation_bytes: 4400\n"),
    "4x2": "rows: 4\ncolumns: 2\nport_bytes: 16\ntile_tokens: 8\naccumulator_lanes: 2\n",
}


class Cores:
    """Makes and remembers generated folders."""

    def __init__(self, root):
        self.root = root
        self._made = {}

    def __call__(self, case, array, **options):
        """Return the generated folder and the file of hidden states."""
        key = (case, array, tuple(options.items()))
        if key not in self._made:
            folder = self.root / f"{case}_{array}_{len(self._made)}"
            folder.mkdir()
            write_case(case, folder / "checkpoint")
            half = len(load_case(case).x) // 2
            np.savez(folder / "calibration.npz", x=load_case(case).x[:half])
            (folder / "hardware.yaml").write_text({**ARRAYS, **UNUSUAL}[array])
            mla_hw.generate(
                folder / "checkpoint",
                out=folder / "core",
                hardware=folder / "hardware.yaml",
                calibration=folder / "calibration.npz",
                context=128,
                **options,
            )
            self._made[key] = folder / "core", folder / "checkpoint" / "expected.npz"
        return self._made[key]


@pytest.fixture(scope="session")
def cores(tmp_path_factory):
    return Cores(tmp_path_factory.mktemp("cores"))
