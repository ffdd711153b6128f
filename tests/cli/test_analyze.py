"""``mla-hw analyze`` and ``mla-hw models --cache``: what they print, and what they refuse."""

import json

import pytest

from mla_hw.analysis.baselines import ANALYSIS_SCHEMES
from mla_hw.analysis.quantity import quantity
from mla_hw.presets import PRESETS
from tests.reference_cases import case_dir


def cells(output, name):
    """Return the cells of the lines that begin with a name."""
    return [line.split() for line in output.splitlines() if line.split()[:1] == [name]]


def test_one_table_per_context_and_batch(command, tmp_path):
    report = tmp_path / "report.json"
    output = command.succeeds(*(
        "analyze",
        "deepseek-v3",
        "--context",
        "128,1024",
        "--batch",
        "1,4",
        "--json",
        report,
    ))
    found = json.loads(report.read_text())
    assert len(found["estimates"]) == 4 * len(ANALYSIS_SCHEMES)
    for scheme in ANALYSIS_SCHEMES:
        # In decode order: context, then batch.
        rows = cells(output, scheme)
        items = [item for item in found["estimates"] if item["scheme"] == scheme]
        assert [(i["context"], i["batch"]) for i in items] == [
            *((128, 1), (128, 4), (1024, 1), (1024, 4)),
        ]
        for row, item in zip(rows, items, strict=True):
            text = " ".join(row[1:])
            for key in ("parameters", "macs", "weight_bytes", "cycles", "tokens_per_second"):
                assert quantity(item[key]) in text
            assert item["bound"] in text
            assert sum(phase["macs"] for phase in item["phases"]) == item["macs"]
            assert sum(phase["cycles"] for phase in item["phases"]) == pytest.approx(item["cycles"])
    assert "1024 cached tokens, 4 sequences" in output
    assert "Phases of" not in output


def test_phases_and_break_even_points_of_one_step(command):
    output = command.succeeds(
        *("analyze", "deepseek-v3", "--context", 1024, "--schemes", "recompute,reuse", "--paper"),
        *("--peak-macs", 100, "--bandwidth", 1, "--clock", 10),
    )
    assert "Phases of recompute" in output
    assert "Phases of reuse" in output
    # Norms, rotations and softmax are left out.
    attention = cells(output, "attention")
    assert [row[3] for row in attention] == ["0", "0"]
    assert any(row[-1] == "192" for row in cells(output, "balance"))
    assert "1 MAC per byte" in output


def test_prefill(command, tmp_path):
    report = tmp_path / "report.json"
    command.succeeds(
        *("analyze", "deepseek-v2-lite", "--phase", "prefill", "--context", 64, "--json", report),
        *("--schemes", "absorb,naive"),
    )
    absorb, naive = json.loads(report.read_text())["estimates"]
    assert absorb["context"] == 64
    # Half of all pairs: 64 · 65 / 2.
    assert absorb["phases"][3]["macs"] == 16 * (512 + 512 + 64) * 2080
    assert naive["macs"] < absorb["macs"]


def test_a_checkpoint_folder_and_a_board(command, tmp_path):
    folder = case_dir("tiny-v3")
    report = tmp_path / "report.json"
    output = command.succeeds(*(
        "analyze",
        folder,
        "--board",
        "ulx3s-25f",
        "--clock",
        40,
        "--json",
        report,
    ))
    found = json.loads(report.read_text())
    assert found["model"] == "tiny-v3"
    assert found["machine"]["clock_mhz"] == 40
    # 16 bits at 60 MHz are 3 bytes per cycle of 40 MHz.
    assert found["machine"]["bytes_per_cycle"] == 3
    assert "2×4 core on ulx3s-25f" in output
    assert found["cache"]["mla"] == 40


def test_storage_changes_the_bytes_only(command, tmp_path):
    reports = {}
    for storage in ("int8", "bf16", "elements"):
        path = tmp_path / storage
        command.succeeds(
            *("analyze", "deepseek-v3", "--storage", storage, "--schemes", "absorb"),
            *("--context", 7, "--json", path, "--peak-macs", 1, "--bandwidth", 1, "--clock", 1),
        )
        (reports[storage],) = json.loads(path.read_text())["estimates"]
    elements = reports["elements"]
    assert reports["bf16"]["macs"] == elements["macs"]
    for key in ("weight_bytes", "cache_bytes", "activation_bytes"):
        assert reports["bf16"][key] == 2 * elements[key]
    assert reports["int8"]["cache_bytes"] == elements["cache_bytes"] + 2 * (8 + 1)


def test_the_cycle_model_beside_it(command, tmp_path):
    report = tmp_path / "report.json"
    keys = tmp_path / "keys.yaml"
    keys.write_text("rows: 2\ncolumns: 4\nactivation_bytes: 1024\n")
    output = command.succeeds(
        *("analyze", "small-v2lite", "--hardware", keys, "--context", 30, "--predict"),
        *("--schemes", "absorb,naive,mha", "--json", report),
    )
    absorb, naive = json.loads(report.read_text())["predictions"]
    assert absorb["scheme"] == "absorb"
    for phase, cycles in absorb["cycles"].items():
        assert sum(absorb["reasons"][phase].values()) == cycles
    assert absorb["total"] == sum(absorb["cycles"].values())
    assert str(absorb["total"]) in output
    # This one has no room, and says what is missing.
    assert naive["missing"].startswith("activation buffer: needs")
    assert "no prediction for naive at 30: activation buffer: needs" in output


@pytest.mark.parametrize("clock", [40, 160])
def test_the_cycle_model_has_the_same_clock(command, tmp_path, clock):
    """The board's memory delivers the more per cycle the slower the core is."""
    report = tmp_path / "report.json"
    command.succeeds(
        *("analyze", "small-v2lite", "--board", "ulx3s-85f", "--clock", clock, "--context", 500),
        *("--schemes", "absorb", "--predict", "--json", report),
    )
    found = json.loads(report.read_text())
    (estimate,), (prediction,) = found["estimates"], found["predictions"]
    assert estimate["cycles"] == pytest.approx(prediction["total"], rel=0.15)


def test_a_context_beyond_the_model_is_a_warning(command, capsys):
    command.succeeds("analyze", "minicpm3-4b", "--context", "32768", "--schemes", "absorb")
    assert command.warnings == ""
    command.succeeds("analyze", "minicpm3-4b", "--context", "32769", "--schemes", "absorb")
    assert command.warnings == (
        "mla-hw: warning: --context: 32769 is beyond max_position_embeddings = 32768\n"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("deepseek-v4", "deepseek-v4: neither a folder nor a preset (did you mean deepseek-v"),
        ("deepseek-v3 --schemes absorbed", "--schemes: must be of absorb, reuse, "),
        ("deepseek-v3 --schemes absorb,", "--schemes: must not be empty"),
        ("deepseek-v3 --context 0", "--context: must be an integer of at least 1, not '0'"),
        ("deepseek-v3 --context 5,-1", "--context: must be an integer of at least 1, not '-1'"),
        ("deepseek-v3 --batch 1.5", "--batch: must be an integer of at least 1, not '1.5'"),
        ("deepseek-v3 --batch 0", "--batch: must be an integer of at least 1, not '0'"),
        ("deepseek-v3 --clock 0", "--clock: must be a finite number above 0, not '0'"),
        ("deepseek-v3 --bandwidth nan", "--bandwidth: must be a finite number above 0, not 'nan'"),
        ("deepseek-v3 --mac-pj -1", "--mac-pj: must be a finite number above 0, not '-1'"),
        ("deepseek-v3 --phase both", "--phase: must be one of decode, prefill, not 'both'"),
        ("deepseek-v3 --storage fp4", "--storage: must be one of int8, bf16, elements, not 'fp4'"),
        ("deepseek-v3 --peak-macs 5", "--peak-macs, --bandwidth, --clock: describe a machine tog"),
        (
            "deepseek-v3 --peak-macs 5 --bandwidth 1 --clock 1 --board ulx3s-85f",
            "--peak-macs, --bandwidth: describe a machine of their own, without",
        ),
        (
            "deepseek-v3 --peak-macs 5 --bandwidth 1 --clock 1 --predict",
            "--predict: needs a core",
        ),
        ("deepseek-v3 --predict --phase prefill", "--predict: needs a core"),
        ("deepseek-v3 --predict --batch 2", "--predict: predicts one sequence; --batch has no 1"),
        ("deepseek-v3 --predict --storage bf16", "--predict: the core's programs are int8"),
        ("deepseek-v3 --paper --storage bf16", "--storage: --paper counts a byte per element"),
        ("deepseek-v3 --context 1" + 30 * "0", "--context: must be at most 1000000000000, not 1"),
        ("deepseek-v3 --batch 1" + 400 * "0", "--batch: must be at most 1000000000000, not 1"),
        ("deepseek-v3 --mac-pj 1e300", "--mac-pj: must be from 1e-09 to 1e+15, not 1e+300"),
        ("deepseek-v3 --clock 1e-300", "--clock: must be from 1e-09 to 1e+15, not 1e-300"),
        ("deepseek-v3 --board ulx3s-84f", "--board: unknown board 'ulx3s-84f'"),
        ("deepseek-v3 --hardware no.yaml", "--hardware no.yaml: cannot be read: No such"),
        ("deepseek-v3 --html missing/page.html", "--html missing/page.html: the folder "),
        ("deepseek-v3 --json x --html x", "--html x: is the file of --json"),
    ],
)
def test_what_is_refused(command, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    assert command.fails("analyze", *options.split()).startswith(message)
    assert set(tmp_path.rglob("*")) == before


def test_cache_of_the_presets(command):
    output = command.succeeds("models", "--cache")
    for name, preset in PRESETS.items():
        (row,) = cells(output, name)
        assert row[1] == str(preset.config.cache_row)
    assert "“8192 against 2856 units”: none of these" in output
    assert "gqa: deepseek-v2, deepseek-v2-lite, deepseek-v3" in output
