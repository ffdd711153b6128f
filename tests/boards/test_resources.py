import json
from dataclasses import replace

import pytest
from amaranth import Module
from amaranth.hdl import Instance
from amaranth.hdl._ir import Fragment
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from benchmarks.fit_luts import OUTPUT, fit
from mla_hw.cli.fpga_tools import find_yosys, run_tool
from mla_hw.cli.generate import generate
from mla_hw.cli.synth import synth
from mla_hw.config import ModelConfig
from mla_hw.devices import MemoryMapping, find_device
from mla_hw.errors import CapacityError, ConfigError
from mla_hw.hardware import CoreConfig, HardwareConfig
from mla_hw.schedule import schedule_layer
from rtl_gen import resources
from rtl_gen.accelerator import Accelerator
from rtl_gen.verilog import emit_verilog
from tests.configs import ODD
from tests.reference_cases import case_dir

DEVICE = find_device("LFE5U-85F")


def core_of(case, multiplier, query_rows=1, **hardware):
    config = ModelConfig.from_file(case_dir(case) / "config.json")
    return schedule_layer(
        config, HardwareConfig(**hardware), multiplier=multiplier, query_rows=query_rows
    ).core


def synthesise(folder, components, steps):
    """Return the cells that Yosys makes of each component in the given steps, in one run."""
    script = []
    for index, component in enumerate(components):
        files = emit_verilog(component, name="top")
        (folder / f"{index}.v").write_text("\n".join(files.values()), encoding="utf-8")
        script += [
            f"tee -q read_verilog -sv {index}.v",
            f"tee -q synth_ecp5 -top top -run {steps}",
            f"tee -q -o {index}.json stat -json",
            "design -reset",
        ]
    (folder / "all.ys").write_text("\n".join(script) + "\n", encoding="utf-8")
    command, _ = find_yosys("all.ys")
    run_tool(command, log=folder / "all.log", name="yosys")
    reports = [
        json.loads((folder / f"{index}.json").read_text(encoding="utf-8"))
        for index in range(len(components))
    ]
    return [report["design"]["num_cells_by_type"] for report in reports]


class Ports(wiring.Component):
    """A memory with attributes and any kinds of read ports, its ports outside."""

    def __init__(self, width, depth, kinds, attrs):
        self.shape = width, depth
        self.kinds = kinds
        self.attrs = attrs
        super().__init__({
            "w_data": In(width),
            "w_addr": In(range(depth)),
            "w_en": In(1),
            "r_addr": In(range(depth)).array(len(kinds)),
            "r_en": In(len(kinds)),
            "r_data": Out(width).array(len(kinds)),
        })

    def elaborate(self, platform):
        width, depth = self.shape
        m = Module()
        m.submodules.storage = storage = memory.Memory(
            shape=width, depth=depth, init=[], attrs=self.attrs
        )
        w_port = storage.write_port()
        m.d.comb += [
            w_port.addr.eq(self.w_addr),
            w_port.data.eq(self.w_data),
            w_port.en.eq(self.w_en),
        ]
        for i, kind in enumerate(self.kinds):
            r_port = storage.read_port(
                domain="comb" if kind == "comb" else "sync",
                transparent_for=[w_port] if kind == "new" else [],
            )
            if kind != "comb":
                m.d.comb += r_port.en.eq(self.r_en[i])
            m.d.comb += [r_port.addr.eq(self.r_addr[i]), self.r_data[i].eq(r_port.data)]
        return m


UNCHECKED = {"no_rw_check": 1}
KINDS = [
    (("old",), {}),
    (("old",), UNCHECKED),
    (("new",), UNCHECKED),
    (("old", "old"), UNCHECKED),
    (("comb",), {}),
    (("old", "comb"), UNCHECKED),
    (("old",), {"ram_style": "distributed"}),
    (("old",), {"ram_style": "block"}),
    (("old",), {"ram_style": "registers"}),
]
# On either side of the border to distributed RAM with and without the attribute; far from it.
SIZES = [(8, 168), (16, 88), (24, 56), (36, 48), (16, 512), (4, 4), (2, 2)]
MEMORIES = [(*size, *kind) for size in SIZES for kind in KINDS]


@pytest.fixture(scope="module")
def memory_cells(tmp_path_factory):
    components = [Ports(*parameters) for parameters in MEMORIES]
    return synthesise(tmp_path_factory.mktemp("ports"), components, "begin:map_ffs")


@pytest.mark.synth
@pytest.mark.slow
@pytest.mark.parametrize("index", range(len(MEMORIES)), ids=lambda index: str(MEMORIES[index]))
def test_memory_of_a_design_is_mapped_as_by_yosys(monkeypatch, memory_cells, index):
    monkeypatch.setattr(resources, "Accelerator", lambda parameters: Ports(*parameters))
    cells = memory_cells[index]
    assert resources.map_memories(MEMORIES[index], DEVICE) == MemoryMapping(
        blocks=cells.get("DP16KD", 0), distributed=cells.get("TRELLIS_DPR16X4", 0)
    )


def test_the_attribute_moves_the_border():
    assert DEVICE.map_memory(16, 88).blocks != DEVICE.map_memory(16, 88, unchecked=True).blocks


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"style": "huge"}, "style must be one of block, distributed, registers, not 'huge'"),
        ({"style": "block", "combinational": True}, "style block .* combinational read"),
    ],
)
def test_rejects_style(options, message):
    with pytest.raises(ConfigError, match=message):
        DEVICE.map_memory(16, 64, **options)


# Everything up to where logic is mapped, which changes neither of the two counts.
def assert_counts(folder, *cores):
    steps = "begin:map_gates"
    for core, cells in zip(
        cores, synthesise(folder, [Accelerator(core) for core in cores], steps), strict=True
    ):
        assert cells["MULT18X18D"] == resources.count_multipliers(core)
        mapping = resources.map_memories(core, DEVICE)
        assert cells["DP16KD"] == mapping.blocks
        # Bits that nothing reads are dropped.
        assert 0.8 * mapping.distributed < cells["TRELLIS_DPR16X4"] <= mapping.distributed


@pytest.mark.slow
@pytest.mark.synth
@pytest.mark.parametrize("multiplier", ["portable", "ecp5"])
def test_counts_are_those_of_synthesis(tmp_path, multiplier):
    assert_counts(tmp_path, core_of("tiny-v3", multiplier, rows=2, columns=4))


@pytest.mark.slow
@pytest.mark.synth
def test_counts_of_odd_cores_are_those_of_synthesis(tmp_path):
    odd = core_of("odd-shape", "portable", rows=3, columns=4, tile_tokens=24, port_bytes=4)
    wide = core_of("odd-shape", "ecp5", rows=4, columns=8, accumulator_lanes=2, port_bytes=16)
    assert_counts(tmp_path, ODD, odd, wide)


@pytest.mark.slow
@pytest.mark.synth
def test_counts_of_cores_for_several_rows_are_those_of_synthesis(tmp_path):
    several = core_of("odd-shape", "ecp5", query_rows=2, rows=5, columns=4, tile_tokens=24)
    # Elements of y are written alone.
    shared = core_of("odd-shape", "ecp5", query_rows=3, rows=3, columns=4, port_bytes=16)
    assert_counts(tmp_path, several, shared)


@pytest.mark.slow
@pytest.mark.synth
@pytest.mark.parametrize("case", ["small-v2lite", "v2lite-dims"])
def test_counts_of_large_cores_are_those_of_synthesis(tmp_path, case):
    assert_counts(tmp_path, core_of(case, "ecp5", rows=8, columns=16))


@pytest.mark.slow
@pytest.mark.synth
@pytest.mark.parametrize("rows", [1, 4])
def test_a_generated_folder_takes_what_is_predicted(tmp_path, rows):
    design = generate(case_dir("tiny-v3"), out=tmp_path / "core", image=False, rows=rows).design
    report = synth(tmp_path / "core", core=True)
    mapping = resources.map_memories(design.core, DEVICE)
    assert report.dsp.used == resources.count_multipliers(design.core)
    assert report.bram.used == mapping.blocks
    estimate = resources.estimate_luts(design.core, DEVICE, mapping.distributed)
    assert estimate == pytest.approx(report.lut.used, rel=0.1)


def test_multipliers_are_those_of_the_elaborated_core():
    def instances(fragment):
        own = isinstance(fragment, Instance) and fragment.type == "MULT18X18D"
        return own + sum(instances(child) for child, _, _ in fragment.subfragments)

    core = core_of("odd-shape", "ecp5", rows=3, columns=4)
    fragment = Fragment.get(Accelerator(core), None)
    assert instances(fragment) == resources.count_multipliers(core)


@pytest.fixture(scope="module")
def recorded():
    return json.loads(OUTPUT.read_text(encoding="utf-8"))


@pytest.mark.parametrize("held_out", [False, True], ids=["fitted", "held_out"])
def test_luts_of_synthesised_cores_are_estimated_within_a_tenth(recorded, held_out):
    points = [point for point in recorded["points"] if point["held_out"] == held_out]
    assert len(points) >= (3 if held_out else len(resources.LUT_COSTS))
    for point in points:
        core = CoreConfig(**point["core"])
        mapping = resources.map_memories(core, DEVICE)
        estimate = resources.estimate_luts(core, DEVICE, mapping.distributed)
        assert estimate == pytest.approx(point["lut"], rel=0.1), (point["model"], core)


def test_costs_are_those_of_the_recorded_fit(recorded):
    assert recorded["costs"] == resources.LUT_COSTS
    assert fit(recorded["points"]) == pytest.approx(recorded["costs"], rel=1e-3)


@pytest.mark.parametrize(
    ("resource", "unit"),
    [("dsp", "multipliers"), ("bram", "block RAMs"), ("lut", r"look-up tables \(estimated\)")],
)
def test_a_core_that_does_not_fit_is_refused(resource, unit):
    core = core_of("tiny-v3", "ecp5", rows=2, columns=4)
    mapping = resources.map_memories(core, DEVICE)
    need = {
        "dsp": resources.count_multipliers(core),
        "bram": mapping.blocks,
        "lut": resources.estimate_luts(core, DEVICE, mapping.distributed),
    }[resource]
    resources.check_device(core, replace(DEVICE, **{resource: need}), "board")
    message = f"LFE5U-85F of board: needs {need} {unit}, has {need - 1}"
    with pytest.raises(CapacityError, match=message):
        resources.check_device(core, replace(DEVICE, **{resource: need - 1}), "board")
