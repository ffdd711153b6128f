"""What the schedule is for: predicted figures of merit at the dimensions of real models."""

import pytest

from boards import load_board
from mla_hw.cli.hardware_file import read_hardware
from mla_hw.cli.head_passes import fitting_groups
from mla_hw.compile_layer import instruction_phases, plan_layer
from mla_hw.config import ModelConfig
from mla_hw.cycles.figures import phase_figures, roofline_efficiency
from mla_hw.cycles.predict import predict
from tests.reference_cases import case_dir

HARDWARE = {"rows": 8, "columns": 16, "port_bytes": 16}
# Model, cached tokens; least utilisation of the array in attention, of the port in each projection,
# least efficiency of the step. Every start and end that is simulated is as predicted.
BARS = [
    ("v2lite-dims", 128, 0.80, 0.97, 0.95),
    ("v2lite-dims", 1024, 0.95, 0.97, 0.95),
    ("v2lite-dims", 4096, 0.95, 0.97, 0.95),
    ("v3-quarter-heads", 1024, 0.95, 0.0, 0.95),
]


@pytest.mark.parametrize(("model", "cached", "array", "port", "step"), BARS)
def test_array_and_port_are_busy(model, cached, array, port, step):
    config = ModelConfig.from_file(case_dir(model) / "config.json")
    board = load_board("lfe5u-85f-512m")
    hardware = read_hardware(board, HARDWARE)
    schedule, program, memory = plan_layer(
        config,
        hardware,
        context=cached + 1,
        multiplier=board.device.family,
        pass_groups=fitting_groups(config, hardware, board, 1),
        memory_bytes=board.memory.size_bytes,
    )
    timeline = predict(program, schedule.core, memory, cached)
    cycles = {
        phase.name: phase.cycles for phase in timeline.phases(instruction_phases(schedule, program))
    }
    figures = phase_figures(config, schedule.core, cached + 1, cycles)
    assert roofline_efficiency(figures) >= step
    for phase in figures:
        if phase.phase == "attention":
            assert phase.array_utilisation >= array
        else:
            assert phase.port_utilisation >= port
