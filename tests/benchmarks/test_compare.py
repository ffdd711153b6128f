"""The comparison with SCALE-Sim and ZigZag: its products, and what it reads of the tools."""

import configparser
from dataclasses import replace
from importlib import metadata

import pytest

from benchmarks import compare, compare_scalesim, compare_zigzag
from benchmarks.compare_products import Product, products
from benchmarks.compare_scalesim import ScaleSimCycles
from benchmarks.report import OUTPUT, read_results
from mla_hw.errors import MlaHwError
from mla_hw.graph import SCHEMES, build_graph
from mla_hw.graph.nodes import Role
from mla_hw.hardware import CoreConfig
from mla_hw.presets import PRESETS, find_preset

# What SCALE-Sim 3.0.0 wrote for 1 × 128 × 512 on 8×16, mode USER; columns that are not read left
# out of the last.
REPORTS = {
    "COMPUTE": (
        "LayerID, Total Cycles (incl. prefetch), Total Cycles, Stall Cycles, Overall Util %, "
        "Mapping Efficiency %, Compute Util %,\n"
        "0, 10958, 8879, 4080, 5.7664151368397345, 12.5, 10.666666666666659,\n"
    ),
    "BANDWIDTH": (
        "LayerID, Avg IFMAP SRAM BW, Avg FILTER SRAM BW, Avg OFMAP SRAM BW, Avg IFMAP DRAM BW, "
        "Avg FILTER DRAM BW, Avg OFMAP DRAM BW,\n"
        "0, 0.461313, 7.381011, 0.144160, 16.0, 15.994142769981696, 16.0,\n"
    ),
    "DETAILED_ACCESS": (
        "LayerID, DRAM Filter Start Cycle, DRAM Filter Stop Cycle, DRAM Filter Reads,\n"
        "0, -2048.0, 6146.0, 131072,\n"
    ),
}
# What ZigZag 3.9.1 wrote for 16 × 576 × 1025.
LATENCY = {"data_onloading": 540.0, "computation": 74880.0, "data_offloading": 26.0}
PROJECTION = Product(name="q_lat", phase="uk", m=1, k=128, n=512, count=16, streamed=Role.WEIGHT)
CACHED = replace(PROJECTION, name="scores", m=16, k=576, n=1025, count=1, streamed=Role.CACHE)


@pytest.fixture(scope="module")
def step():
    return read_results(OUTPUT)["steps"][compare.STEP]


@pytest.fixture(scope="module")
def core(step):
    return CoreConfig(**step["core"])


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("preset", PRESETS)
def test_products_are_the_work_of_each_phase(preset, scheme):
    graph = build_graph(find_preset(preset).config, scheme)
    for context in (1, 1025):
        listed = products(graph, context)
        for phase in graph.phases:
            macs = sum(item.macs for item in listed if item.phase == phase)
            assert macs == graph.macs(context, phase)


def test_products_of_the_measured_step():
    listed = products(build_graph(find_preset(compare.MODEL).config), compare.CACHED + 1)
    assert [(item.name, item.phase, str(item), item.streamed) for item in listed] == [
        ("q", "q", "1 × 2048 × 3072", Role.WEIGHT),
        ("kv", "kv_a", "1 × 2048 × 576", Role.WEIGHT),
        ("q_lat", "uk", "16 · 1 × 128 × 512", Role.WEIGHT),
        ("scores", "attention", "16 × 576 × 1025", Role.CACHE),
        ("ctx", "attention", "16 × 1025 × 512", Role.CACHE),
        ("o", "uv", "16 · 1 × 512 × 128", Role.WEIGHT),
        ("y", "o", "1 × 2048 × 2048", Role.WEIGHT),
    ]


def test_sums_stay_apart_where_heads_share_one_part_only():
    listed = products(build_graph(find_preset(compare.MODEL).config, "naive"), 1025)
    shapes = {item.name: str(item) for item in listed}
    assert shapes["scores_nope"] == "16 · 1 × 128 × 1025"
    assert shapes["scores_rope"] == "16 × 64 × 1025"
    assert "scores" not in shapes


def test_reports_of_scalesim():
    assert compare_scalesim.read_cycles(REPORTS) == ScaleSimCycles(
        total=8879, stalls=4080, streamed_reads=131072, streamed_bandwidth=15.994142769981696
    )


@pytest.mark.parametrize("name", REPORTS)
def test_other_reports_of_scalesim_are_refused(name):
    with pytest.raises(MlaHwError, match=r"not those of version 3\.0"):
        compare_scalesim.read_cycles({**REPORTS, name: "LayerID, Cycles,\n0, 1,\n"})
    with pytest.raises(MlaHwError, match=r"not those of version 3\.0"):
        compare_scalesim.read_cycles({**REPORTS, name: ""})


@pytest.mark.parametrize("mode", compare_scalesim.MODES)
def test_scalesim_gets_the_array_and_the_port(core, mode):
    parser = configparser.ConfigParser()
    parser.read_string(compare_scalesim._configuration(core, mode))
    array = parser["architecture_presets"]
    assert (array["ArrayHeight"], array["ArrayWidth"], array["Dataflow"]) == ("8", "16", "os")
    assert array["Bandwidth"] == parser["layout"]["FilterSRAMBankBandwidth"] == "16"
    assert parser["run_presets"]["InterfaceBandwidth"] == mode


def test_report_of_zigzag():
    cycles = compare_zigzag.read_cycles({"outputs": {"latency": LATENCY}})
    assert (cycles.onloading, cycles.computation, cycles.offloading) == (540, 74880, 26)
    assert cycles.total == 75446


@pytest.mark.parametrize("report", [{}, {"outputs": {"latency": None}}, {"outputs": {}}])
def test_another_report_of_zigzag_is_refused(report):
    with pytest.raises(MlaHwError, match=r"not that of version 3\.9"):
        compare_zigzag.read_cycles(report)


@pytest.mark.parametrize(
    ("product", "stream_bytes", "order"),
    [
        (PROJECTION, 2048, [["K", 128], ["N", 32]]),
        (CACHED, 92160, [["K", 576], ["M", 2], ["N", 65]]),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_zigzag_gets_the_buffers_and_the_order_of_the_core(core, product, stream_bytes, order):
    accelerator = compare_zigzag._accelerator(product, core)
    assert accelerator["operational_array"]["sizes"] == [8, 16]
    memories = accelerator["memories"]
    assert list(memories)[-1] == "memory"
    assert memories["stream"]["size"] == 8 * stream_bytes
    assert memories["memory"]["ports"][0]["bandwidth_max"] == 128
    assert compare_zigzag._mapping(product, core)["temporal_ordering"] == order


def test_a_missing_tool_is_named(monkeypatch, tmp_path):
    def versions(*packages):
        raise metadata.PackageNotFoundError(packages[0])

    monkeypatch.setattr(compare, "tool_versions", versions)
    with pytest.raises(MlaHwError, match="scalesim is not installed: run `make compare`"):
        compare.measure(tmp_path)


def test_figures_of_another_core_are_refused(monkeypatch):
    results = read_results(OUTPUT)
    other = {**results, "hardware": {**results["hardware"], "tile_tokens": 32}}
    monkeypatch.setattr(compare, "read_results", lambda path: other)
    with pytest.raises(MlaHwError, match="is of another core: run `make bench`"):
        compare._ours()
    monkeypatch.setattr(compare, "read_results", lambda path: {})
    with pytest.raises(MlaHwError, match="has no step v2lite-dims:1024:fixed:32: run `make bench`"):
        compare._ours()


def test_the_table_adds_up():
    keys = list(compare.COLUMNS)
    figures = {
        "commit": "1234",
        "tools": {"scalesim": "3.0.0"},
        "products": [
            {"phase": "q", "shape": "1 × 2 × 3"},
            {"phase": "o", "shape": "2 · 4 × 5 × 6"},
            {"phase": "o", "shape": "7 × 8 × 9"},
        ],
        "phases": {
            "q": {key: 1000 + index for index, key in enumerate(keys)},
            "o": dict.fromkeys(keys, 1000),
        },
    }
    head, _, *rows, _, caption = compare.table(figures).splitlines()
    assert head.startswith("| phase | products M × K × N | roofline | predicted | simulated |")
    assert [row.split(" | ")[:3] for row in rows] == [
        ["| q", "1 × 2 × 3", "1 000"],
        ["| o", "2 · 4 × 5 × 6; 7 × 8 × 9", "1 000"],
        ["| total", "", "2 000"],
        ["| over simulated", "", "0.999"],
    ]
    assert caption == "Commit 1234; scalesim 3.0.0."
