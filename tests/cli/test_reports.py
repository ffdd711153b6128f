"""What simulate and synth say at the end."""

import importlib
from pathlib import Path

import pytest

from mla_hw.cli.simulate import SimulationReport
from mla_hw.cli.synth import SynthReport, Usage

# A path that is wider than the tables, and one that could be taken for markup.
FILES = (Path("core") / "results" / ("x" * 150), Path("a [bold] name") / "y.npz")


def written(output):
    lines = [line for line in output.splitlines() if line.startswith("written to ")]
    assert lines == output.splitlines()[-len(lines) :]
    return [line.removeprefix("written to ") for line in lines]


@pytest.fixture
def reports(monkeypatch):
    def put(name, report):
        module = importlib.import_module(f"mla_hw.cli.{name}")
        monkeypatch.setattr(module, name, lambda *_, **__: report)

    return put


@pytest.mark.parametrize("waves", [None, "core/results/waves.fst"])
def test_simulate_says_which_files_it_wrote(command, reports, waves):
    report = SimulationReport(
        bit_exact=True,
        difference=None,
        tokens=1,
        relative_error=(),
        cosine=(),
        relative_error_total=None,
        cycles={"simulated": [7], "predicted": [7]},
        phases=[{"phase": "o", "simulated": 7, "predicted": 7}],
        instructions=[],
        saturated={},
        counters=[],
        sim_cycles_per_second=1.0,
        memory="fixed:32",
        simulator="icarus",
        scheme="absorb",
        waves=waves,
        hash="",
        weights_hash="",
        tools={},
        files=FILES,
    )
    reports("simulate", report)
    assert written(command.succeeds("simulate", "core")) == [str(path) for path in FILES]
    assert "files" not in report.to_dict()


def synthesis(**values):
    return SynthReport(
        board="ulx3s-85f",
        device="LFE5U-85F",
        package="CABGA381",
        speed_grade=6,
        design="core",
        **dict.fromkeys(("lut", "ff", "dsp", "bram"), Usage(1, 2)),
        cells={},
        bitstream=str(FILES[0]),
        tools={},
        hash="",
        **values,
    )


def test_synth_says_which_files_it_wrote(command, reports):
    report = synthesis(fmax_mhz={1: 60.0}, timing_met={1: True}, files=FILES)
    reports("synth", report)
    assert written(command.succeeds("synth", "core")) == [str(path) for path in FILES]
    assert "files" not in report.to_dict()


@pytest.mark.parametrize("met", [True, False])
def test_timing_that_no_seed_meets_is_an_error(command, reports, met):
    clocks = {1: 50.0, 2: 55.0}
    reports("synth", synthesis(fmax_mhz=clocks, timing_met={1: False, 2: met}, files=()))
    arguments = ("synth", "core", "--place", "--seeds", "1,2")
    if met:
        assert "seed 1: 50.0 MHz, some clock is not met" in command.succeeds(*arguments)
    else:
        message = command.fails(*arguments)
        assert message.startswith("timing is missed with every seed: give other --seeds, or ")
