"""Cores that are synthesised without a layer, and without asking whether the device has room."""

import hashlib
import json
from pathlib import Path

from mla_hw.hardware import CoreConfig
from rtl_gen.accelerator import Accelerator
from rtl_gen.verilog import emit_verilog, port_table

__all__ = ["core_files", "write_core"]


def core_files(core: CoreConfig) -> tuple[dict[str, str], str]:
    """Return a core's Verilog by file, and a hash of it."""
    files = emit_verilog(Accelerator(core), name="accelerator")
    return files, hashlib.sha256("".join(files.values()).encode()).hexdigest()[:16]


def write_core(folder: Path, board: str, core: CoreConfig) -> None:
    """Make a folder of a core that ``synth`` takes."""
    files, digest = core_files(core)
    (folder / "verilog").mkdir()
    for name, text in files.items():
        (folder / "verilog" / name).write_text(text, encoding="utf-8")
    manifest = {
        "board": board,
        "hash": digest,
        "ports": port_table(Accelerator(core)),
        "verilog": sorted(files),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
