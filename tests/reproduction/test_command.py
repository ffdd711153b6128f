"""``mla-hw paper``: files, text, exit code."""

import csv
import json
import re
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import matplotlib
import pytest

import mla_hw.cli.paper
from mla_hw.cli import main
from mla_hw.cli.paper import paper
from mla_hw.cli.paper_text import print_paper
from mla_hw.graph import graph_work
from mla_hw.reproduction.counts import METHODS
from mla_hw.reproduction.curves import FIG2_SLIP, figure5
from mla_hw.reproduction.draw import svg
from tests.cli.command import run_process, snapshot

FIGURES = ("fig2_counted", "fig2_printed", "fig3", "fig4", "fig5", "fig6")
SVG = "{http://www.w3.org/2000/svg}"


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_files(report):
    assert report.ok
    names = {f"{figure}{suffix}" for figure in FIGURES for suffix in (".csv", ".svg")}
    assert {path.name for path in report.directory.iterdir()} == {
        "table1.csv",
        "paper.json",
        *names,
    }


@pytest.mark.parametrize(
    ("name", "count", "columns"),
    [
        ("fig2_printed", 80, 9),
        ("fig2_counted", 80, 9),
        ("fig3", 65, 16),
        ("fig4", 80, 8),
        ("fig5", 41, 24 + 12),
        ("fig6", 20, 12 + 12),
    ],
)
def test_tables_of_the_figures(report, name, count, columns):
    head, *body = rows(report.directory / f"{name}.csv")
    assert len(set(head)) == len(head) == columns + 1
    assert len(body) == count
    values = [[float(cell) for cell in row] for row in body]
    assert all(len(row) == len(head) for row in values)
    assert values == sorted(values)


def test_points_stand_beside_the_curves(report):
    head, *body = rows(report.directory / "fig5.csv")
    assert body[0][head.index("MLA_rc_L1024_paper")] == "0.2778"
    model, at = head.index("MLA_rc_L1024_roofline"), [row[0] for row in body].index("70.58")
    assert float(body[at][model]) / 1.1907 - 1 == pytest.approx(1.2503, abs=1e-4)


def test_table_1(report):
    assert rows(report.directory / "table1.csv")[-1] == [
        "parameters in full",
        "174063616",
        "469762048",
        "172006912",
    ]


def test_json(report):
    found = json.loads((report.directory / "paper.json").read_text(encoding="utf-8"))
    assert found == report.to_dict()
    assert found["ok"] is True
    assert found["versions"].keys() == {"mla-hw", "python", "numpy", "matplotlib"}
    assert len(found["curves"]) == 9 + 9 + 16 + 8 + 24 + 12
    for curve in found["curves"]:
        assert abs(curve["largest"]) <= curve["bound"]["largest"]
        assert curve["ok"] is True
    assert [crossing["closed_form"] for crossing in found["crossings"]] == [192, 3]


@pytest.mark.parametrize("name", FIGURES)
def test_drawings(report, name):
    text = (report.directory / f"{name}.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    words = " ".join("".join(node.itertext()) for node in root.iter(f"{SVG}text"))
    assert words.count("Fig ") >= 1
    methods = ("1>3>2", "1>2>3", "2>1>3") if name.startswith("fig2") else METHODS
    assert all(method in words for method in methods)
    assert not re.search(r"\d{4}-\d\d-\d\d", text)


def test_one_colour_per_method_in_all_figures(report):
    colours = ("#0072b2", "#56b4e9", "#d55e00", "#009e73")
    for name in ("fig3", "fig4", "fig5", "fig6"):
        text = (report.directory / f"{name}.svg").read_text(encoding="utf-8")
        assert all(f"stroke: {colour}" in text for colour in colours)


def test_both_versions_of_figure_2_explain_the_slips(report):
    for name in ("fig2_printed", "fig2_counted"):
        root = ElementTree.parse(report.directory / f"{name}.svg").getroot()
        words = " ".join(" ".join("".join(n.itertext()).split()) for n in root.iter(f"{SVG}text"))
        assert " ".join(FIG2_SLIP.split()) in words


def test_the_output_does_not_depend_on_the_process_or_the_users_settings(report, tmp_path):
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 9\nfont.size: 30\n")
    out = tmp_path / "out"
    result = run_process("paper", "--out", out, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert snapshot(out) == snapshot(report.directory)
    assert f"written to {out}" in result.stdout


def test_drawing_leaves_the_settings_of_matplotlib_alone(methods):
    with matplotlib.rc_context({"lines.linewidth": 9}):
        before = dict(matplotlib.rcParams)
        first = svg(figure5(methods))
        assert dict(matplotlib.rcParams) == before
    assert svg(figure5(methods)) == first


def test_pyplot_is_not_loaded(tmp_path):
    script = (
        "import sys; from mla_hw.cli import main; code = main(['paper', '--out', 'out']);"
        "sys.exit(code or 'matplotlib.pyplot' in sys.modules)"
    )
    result = run_script(script, tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    script = (
        "import sys, mla_hw.cli.paper, mla_hw.cli.paper_text;sys.exit('matplotlib' in sys.modules)"
    )
    assert run_script(script, tmp_path).returncode == 0


def run_script(script, folder):
    return subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False
    )


def test_printed_text(report, capsys):
    print_paper(report)
    text = " ".join(capsys.readouterr().out.split())
    assert " ".join(FIG2_SLIP.split()) in text
    assert "parameters in full 174063616 469762048 172006912" in text
    for wanted in ("192 MAC per element in closed form", "3 TOPS/W in closed form"):
        assert wanted in text
    assert re.search(r"MLA_rc L=1024 \+125\.03 % at 70\.58 125\.1 % 26\.9 % 26\.9 %", text)
    assert "Fig 5, additive model" in text
    assert "everything is within its bound" in text
    assert " !" not in text


def test_a_wrong_count_ends_with_exit_code_1(monkeypatch, tmp_path, capsys):
    def more_weights(graph):
        return tuple(replace(phase, weights=phase.weights + 10**6) for phase in graph_work(graph))

    monkeypatch.setattr("mla_hw.reproduction.counts.graph_work", more_weights)
    out = tmp_path / "out"
    assert main(["paper", "--out", str(out)]) == 1
    text, errors = capsys.readouterr()
    assert errors == ""
    assert "out of bound: Fig 3, MLA_rc decode accesses: +3.4e-02" in text
    assert "NOT as in the paper" in text
    # It is written all the same, to be looked at.
    found = json.loads((out / "paper.json").read_text(encoding="utf-8"))
    assert found["ok"] is False
    assert {curve["figure"] for curve in found["curves"] if not curve["ok"]} >= {"fig3", "fig4"}


def test_a_wrong_product_ends_with_exit_code_1(monkeypatch, tmp_path, capsys):
    counts = mla_hw.reproduction.counts.product_counts

    def fewer(graph):
        return {name: count for name, count in counts(graph).items() if name != "q"}

    monkeypatch.setattr("mla_hw.reproduction.counts.product_counts", fewer)
    assert main(["paper", "--out", str(tmp_path / "out")]) == 1
    text = capsys.readouterr().out
    assert "out of bound: Fig 2 as counted rightly, 1>2>3 B=1: " in text
    assert "out of bound: Fig 3" not in text


def test_wrong_parameters_end_with_exit_code_1(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("mla_hw.reproduction.counts.parameters", lambda graph: 174_063_616)
    assert main(["paper", "--out", str(tmp_path / "out")]) == 1
    assert "174063616, not 469762048 !" in capsys.readouterr().out


@pytest.fixture
def refuses(tmp_path, capsys):
    def refuse(out):
        before = snapshot(tmp_path)
        assert main(["paper", "--out", str(out)]) == 1
        assert snapshot(tmp_path) == before
        message = capsys.readouterr().err
        assert message.startswith("mla-hw: error: ")
        assert message.count("\n") == 1
        return message.removeprefix("mla-hw: error: ").rstrip("\n")

    return refuse


@pytest.mark.parametrize("mark", [None, "[]", "{}", '{"paper": "", "curves": []}'])
def test_a_folder_of_something_else_is_not_replaced(refuses, tmp_path, mark):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    if mark is not None:
        (out / "paper.json").write_text(mark)
    assert refuses(out) == (
        f"--out {out}: is not empty and was not made by paper, so it is not replaced"
    )


def test_a_folder_of_generate_is_not_replaced(refuses, tmp_path):
    mark = {"format": 1, "hash": "", "weights_hash": "", "regions": {}}
    (tmp_path / "manifest.json").write_text(json.dumps(mark))
    assert "was not made by paper" in refuses(tmp_path)


def test_generate_does_not_replace_a_folder_of_paper(report, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "paper.json").write_bytes((report.directory / "paper.json").read_bytes())
    assert main(["generate", "tiny-v3", "--out", str(out)]) == 1
    assert "is not empty and was not made by generate" in capsys.readouterr().err


def test_what_paper_made_is_replaced_as_a_whole(report, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "paper.json").write_bytes((report.directory / "paper.json").read_bytes())
    (out / "fig7.svg").write_text("of an older version")
    paper(out)
    assert snapshot(out) == snapshot(report.directory)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_bad_out(refuses, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    assert refuses(file) == f"--out {file}: must be a folder to make or replace, not a file"
    assert refuses(tmp_path / "no" / "out").endswith(f"the folder {tmp_path / 'no'} does not exist")
    assert refuses(file / "out").endswith("is a file, not a folder")


def test_nothing_is_left_when_drawing_fails(monkeypatch, tmp_path):
    def fail(figure):
        raise KeyboardInterrupt

    monkeypatch.setattr("mla_hw.cli.paper.svg", fail)
    assert main(["paper", "--out", str(tmp_path / "out")]) == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("paper", "--out: required, but missing; see mla-hw paper --help"),
        ("paper --out", "--out: expected one argument"),
        ("paper --oud x", "--oud: unknown option (did you mean --out?)"),
        ("paper x --out y", "x: unexpected argument"),
    ],
)
def test_usage(capsys, line, wanted):
    assert main(line.split()) == 1
    assert wanted in capsys.readouterr().err
