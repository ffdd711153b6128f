"""The documentation agrees with the project."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

from mla_hw.cli.commands import build_parser
from mla_hw.cli.main import RUNS
from mla_hw.config import _KNOWN_MODELS
from mla_hw.cycles import Timing
from mla_hw.cycles.vector_engine import vector_cycles
from mla_hw.documentation import generated_pages, main, write_pages
from mla_hw.errors import ConfigError
from mla_hw.hardware import HardwareConfig
from mla_hw.program.documentation import instructions_markdown
from mla_hw.program.instructions import FIELDS, INSTRUCTIONS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([
    *ROOT.glob("*.md"),
    *DOCS.rglob("*.md"),
    *(ROOT / "examples").rglob("*.md"),
])
FIGURES = sorted((DOCS / "figures").rglob("*.svg"))
WIDTH = 120
# Absolute paths, which only mean something on one machine, and marks of unfinished text.
LOCAL = re.compile(
    r"""(?:^|[\s`"'(])/[a-z][\w.-]*/|\b(?:TODO|FIXME|TBD)\b|@[A-Z]+@""", re.MULTILINE
)


def ids(path):
    return str(path.relative_to(ROOT))


def text_of(path):
    return path.read_text(encoding="utf-8")


def without_code(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(path):
    """Anchors that GitHub gives to the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", without_code(text_of(path)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def table(text, *head):
    """Rows of the table with this head, without code marks."""
    lines = iter(text.splitlines())
    wanted = f"| {' | '.join(head)} |"
    assert any(line == wanted for line in lines), f"no table {wanted}"
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().replace("`", "") for cell in line.strip("|").split("|")])
    return rows


def resolve(module, name, arguments):
    """Value of a constant or timing function of mla_hw.cycles."""
    value = getattr(importlib.import_module(f"mla_hw.cycles.{module}"), name)
    if arguments is not None:
        value = value(*(int(part) for part in arguments.split(",") if part.strip()))
    return value.latency if isinstance(value, Timing) else value


def test_the_pages_are_all_there():
    assert {ids(page) for page in PAGES} >= {"README.md", "CHANGELOG.md", "docs/numbers.md"}
    assert len(FIGURES) == 8


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_resolve(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(text_of(page))):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{target} does not exist"
        if anchor:
            assert anchor in anchors(path), f"{target}: no such heading"


@pytest.mark.parametrize("page", [*PAGES, *FIGURES], ids=ids)
def test_nothing_of_the_machine_that_it_was_written_on(page):
    assert not LOCAL.search(text_of(page))


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_lines_are_not_too_long(page):
    lines = enumerate(text_of(page).splitlines(), 1)
    # A row of a table cannot be broken, nor can a generated line of notes.
    breakable = page.name not in generated_pages()
    long = [n for n, line in lines if len(line) > WIDTH and breakable and line[0] != "|"]
    assert not long


@pytest.mark.parametrize("name", generated_pages())
def test_generated_pages_are_up_to_date(name):
    wanted = generated_pages()[name]
    assert text_of(DOCS / name) == wanted, "run make docs"


def test_pages_are_written_where_asked_for(tmp_path, capsys):
    assert main([str(tmp_path)]) == 0
    assert {path.name: text_of(path) for path in tmp_path.iterdir()} == generated_pages()
    with pytest.raises(ConfigError, match=r"\.md cannot be written"):
        write_pages(tmp_path / "missing")
    assert main([str(tmp_path / "missing")]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_every_instruction_shows_all_its_fields():
    sections = dict(
        re.findall(r"^## ([A-Z]+)\n(.*?)(?=^## |\Z)", instructions_markdown(), re.M | re.S)
    )
    assert sections.keys() == INSTRUCTIONS.keys()
    for name, kind in INSTRUCTIONS.items():
        shown = set(re.findall(r"`(\w+)`", sections[name]))
        hidden = {field for field in kind.fields if field.endswith("_stride1")}
        assert set(kind.fields) - hidden <= shown
        assert not (FIELDS.keys() - set(kind.fields)) & shown


def commands(page):
    blocks = re.findall(r"^```sh\n(.*?)^```$", text_of(page), re.MULTILINE | re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`(mla-hw [^`]+)`", text_of(page))
    lines += re.findall(r"^ *- run: (mla-hw .+)$", text_of(page), re.MULTILINE)
    words = [shlex.split(line, comments=True) for line in lines if line.startswith("mla-hw ")]
    # Names of commands in running text are no command lines.
    return [line[1:] for line in words if len(line) > 2 or line[1] in ("models", "boards")]


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_command_lines_parse(page):
    for arguments in commands(page):
        assert callable(build_parser(RUNS).parse_args(arguments).run)


def test_the_readme_shows_commands_and_every_option():
    shown = commands(ROOT / "README.md")
    assert set(RUNS) <= {line[0] for line in shown}
    subparsers = next(a for a in build_parser(RUNS)._actions if isinstance(a.choices, dict))
    for name in ("generate", "simulate", "synth", "run", "report", "analyze", "fit"):
        rows = table(text_of(ROOT / "README.md"), f"option of `{name}`", "default", "meaning")
        options = {
            option
            for action in subparsers.choices[name]._actions
            for option in action.option_strings
        }
        documented = {row[0].split()[0] for row in rows}
        assert documented == options - {"-h", "--help", "--out"}


def test_the_readme_names_every_model_type():
    sentence = re.search(r"The `model_type` of .+?;", text_of(ROOT / "README.md"), re.DOTALL)[0]
    assert set(re.findall(r"\w+_\w+|youtu|minicpm3", sentence)) - {"model_type", "text_config"} == {
        *_KNOWN_MODELS
    }


def test_the_readme_shows_every_hardware_key():
    rows = table(text_of(ROOT / "README.md"), "key", "meaning")
    keys = {key for row in rows for key in row[0].split(", ")}
    assert keys == HardwareConfig().to_dict().keys()


def test_the_readme_can_take_results():
    assert re.search(
        r"^<!-- results -->\n(.+)^<!-- /results -->$", text_of(ROOT / "README.md"), re.M | re.S
    )


def test_every_unit_is_in_the_microarchitecture_page():
    text = text_of(DOCS / "microarchitecture.md")
    units = {path.stem for path in (ROOT / "rtl_gen" / "units").glob("*.py")} - {"__init__"}
    # Containers without timing or function of their own.
    units -= {"array_engine", "simple_memory"}
    assert not {unit for unit in units if f"`{unit}`" not in text}


def test_latencies_are_those_of_the_cycle_model():
    text = text_of(DOCS / "microarchitecture.md")
    figures = re.findall(r"(\d+)\s+\(`(\w+)\.(\w+)(?:\(([\d, ]*)\))?`\)", text)
    assert len(figures) > 25
    calls = re.findall(r"\(`\w+\.(\w+)\(", text)
    for value, module, name, arguments in figures:
        assert resolve(module, name, arguments if name in calls else None) == int(value), name


def test_durations_of_the_vector_engine():
    rows = table(text_of(DOCS / "microarchitecture.md"), "instruction", "cycles from start to end")
    assert {row[0] for row in rows} == {
        kind.name for kind in INSTRUCTIONS.values() if kind.engine.value == "vector"
    }
    for name, formula in rows:
        for k, n, rows_ in ((32, 8, 4), (1, 1, 1), (512, 64, 8), (6, 20, 3)):
            names = {"k": k, "n": n, "rows": rows_, "max": max}
            cycles = vector_cycles(name, k=k, n=n, rows=rows_)
            assert eval(formula, {"__builtins__": {}}, names) == cycles, name
