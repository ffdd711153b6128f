"""What the tree as a whole promises."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OUTER = {
    "amaranth",
    "amaranth_boards",
    "boards",
    "cocotb",
    "litedram",
    "litex",
    "migen",
    "rtl_gen",
    "sim",
}
# What each package may not import, at any depth of a file.
FORBIDDEN = {"mla_hw": OUTER, "rtl_gen": {"boards", "sim", "cocotb"}}


def python_files(folder):
    return sorted((ROOT / folder).rglob("*.py"))


def imported_packages(nodes):
    packages = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            packages |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            packages.add(node.module.split(".")[0])
    return packages


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_point_one_way(package):
    command_line = ROOT / "mla_hw" / "cli"
    files = [path for path in python_files(package) if not path.is_relative_to(command_line)]
    assert files
    found = {
        str(path.relative_to(ROOT)): imported_packages(ast.walk(parse(path))) & FORBIDDEN[package]
        for path in files
    }
    assert not {path: packages for path, packages in found.items() if packages}


def test_the_command_line_loads_the_outer_packages_only_when_needed():
    script = (
        "import sys, mla_hw, mla_hw.cli\n"
        f"loaded = {sorted(OUTER)!r}\n"
        "print([name for name in loaded if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert result.stdout.strip() == "[]"


def test_no_suppression_comments():
    suppression = re.compile(r"#\s*(noqa|type:\s*ignore|ruff:\s*noqa|fmt:\s*(off|skip))")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for folder in ("mla_hw", "rtl_gen", "sim", "boards", "tests", "examples")
        for path in python_files(folder)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if suppression.search(line)
    ]
    assert not found


def test_every_package_of_the_tree_is_installed(project):
    include = project["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {pattern.removesuffix("*") for pattern in include} == {
        "boards",
        "mla_hw",
        "rtl_gen",
        "sim",
    }
    patterns = project["tool"]["setuptools"]["package-data"]["*"]
    suffixes = {
        path.suffix
        for package in ("boards", "mla_hw", "rtl_gen", "sim")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert suffixes <= {".py", ".pyc", *(pattern.removeprefix("*") for pattern in patterns)}


def test_make_help_lists_every_target():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()
    result = subprocess.run(["make", "-C", ROOT], capture_output=True, text=True, check=True)
    assert re.findall(r"^  make (\S+)", result.stdout, re.MULTILINE) == phony


def test_ci_calls_make_test_before_everything_else():
    steps = re.findall(r"^\s*step \"([^\"]+)\"", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert steps[0] == "make test"
    assert {"make demo", "make lint", "make types", "make check-slow"} < set(steps)
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert "run: .ci/run" in workflow


def test_every_marker_of_the_tests_is_known(project):
    known = {m.split(":")[0] for m in project["tool"]["pytest"]["ini_options"]["markers"]}
    assert known == {"slow", "rtl", "icarus", "synth", "browser"}
