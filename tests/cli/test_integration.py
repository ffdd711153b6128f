"""Files for a design of the user's own: wrapper, constraints, notes."""

import re
import subprocess

import pytest

from mla_hw.cli.fpga_tools import find_yosys
from mla_hw.cli.generate import generate
from mla_hw.design import Design
from mla_hw.hardware import BURST_BEATS
from mla_hw.host.steps import setup_writes
from mla_hw.registers import register
from rtl_gen.axi_wrapper import AXI_WRAPPER_NAME, axi_wrapper_verilog, standard_name
from tests.model.checkpoints import write_layers


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("axi") / "core"
    generate("tiny-v3", out=out, board="generic-axi", hardware={"rows": 2, "columns": 4})
    return out


@pytest.mark.parametrize(
    ("port", "name"),
    [
        ("memory__ar__valid", "m_axi_arvalid"),
        ("memory__w__strb", "m_axi_wstrb"),
        ("control__b__resp", "s_axi_bresp"),
        ("interrupt", "interrupt"),
    ],
)
def test_names_of_the_standard(port, name):
    assert standard_name(port) == name


def test_directions_and_widths_stay():
    ports = {
        "clk": {"direction": "input", "width": 1},
        "memory__ar__addr": {"direction": "output", "width": 32},
        "memory__ar__ready": {"direction": "input", "width": 1},
        "rst": {"direction": "input", "width": 1},
    }
    text = axi_wrapper_verilog(ports)
    assert "    output wire [31:0] m_axi_araddr,\n    input wire m_axi_arready\n);" in text
    assert ".memory__ar__addr(m_axi_araddr)" in text
    assert ".rst(~aresetn)" in text


def test_the_wrapper_is_a_top_that_needs_nothing_else(folder):
    """Synthesis finds every module, and no cell of a vendor."""
    files = sorted((folder / "verilog").glob("*.v"))
    script = "".join(f"read_verilog -sv {file.name}\n" for file in files)
    script += f"hierarchy -check -top {AXI_WRAPPER_NAME}\nproc\nflatten\ncheck -assert\nstat\n"
    (folder / "verilog" / "check.ys").write_text(script, encoding="utf-8")
    command, _ = find_yosys("check.ys")
    result = subprocess.run(
        command, cwd=folder / "verilog", capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout[-2000:]


def test_notes_and_constraints_say_what_the_core_has(folder):
    notes = (folder / "integration.md").read_text(encoding="utf-8")
    assert "AXI4 manager, 64 bits of data, 32 of address" in notes
    assert f"at most {BURST_BEATS} beats" in notes
    design = Design.load(folder)
    assert f"of {design.context} tokens, take {design.memory.size} bytes of memory" in notes
    for word in ("identity", "hash", "status"):
        assert f"`{word}" in notes
        assert word in (folder / "registers.md").read_text(encoding="utf-8")
    # What a run needs beside the base registers, as the driver writes it.
    written = dict(setup_writes(design.core, design.memory))
    for name in ("program_beats", "capacity"):
        assert f"`{name}` = {written[register(name).address]}" in notes
    for name, region in design.regions.items():
        assert f"| `base_{name}` | {region.offset:#x} |" in notes
    assert "no vendor cells" not in notes
    constraints = (folder / "constraints.sdc").read_text(encoding="utf-8")
    assert re.search(
        r"^create_clock -name aclk -period 10\.000 \[get_ports aclk\]$", constraints, re.M
    )


def test_notes_say_what_is_different_with_rows_layers_and_vendor_cells(tmp_path):
    generate(
        write_layers(tmp_path / "model", 3),
        out=tmp_path / "core",
        board="generic-axi",
        hardware={"rows": 2, "columns": 4, "multiplier": "ecp5"},
        layers=(2, 0),
        rows=2,
        image=False,
    )
    notes = (tmp_path / "core" / "integration.md").read_text(encoding="utf-8")
    design = Design.load(tmp_path / "core")
    assert "Multipliers are cells of the family ecp5." in notes
    assert "`base_cache_1`" in notes
    assert "`position_1`" in notes
    offsets = " | ".join(f"{regions['weights'].offset:#x}" for regions in design.memory.layers)
    assert "| register | layer 2 | layer 0 |" in notes
    assert f"| `base_weights` | {offsets} |" in notes


def test_a_board_with_a_memory_of_its_own_has_none(tmp_path):
    generate(
        "tiny-v3",
        out=tmp_path / "core",
        board="ulx3s-85f",
        hardware={"rows": 2, "columns": 4},
        image=False,
    )
    assert not (tmp_path / "core" / "integration.md").exists()
    assert not (tmp_path / "core" / "verilog" / f"{AXI_WRAPPER_NAME}.v").exists()
