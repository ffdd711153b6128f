"""Compiler, golden model and cycle model of an FPGA core for Multi-head Latent Attention.

The commands of the command line are functions of this package: :func:`generate`,
:func:`simulate`, :func:`synth`, :func:`run`, :func:`report`, :func:`analyze`, :func:`paper`,
:func:`fit`, :func:`models` and :func:`boards`. They are loaded when they are first used, because
they bring Amaranth, simulators and plotting libraries with them.
"""

from importlib import import_module
from typing import Any

__all__ = [
    "analyze",
    "boards",
    "fit",
    "generate",
    "models",
    "paper",
    "report",
    "run",
    "simulate",
    "synth",
]

_MODULES = {
    "analyze": "analyze",
    "boards": "listing",
    "fit": "fit",
    "generate": "generate",
    "models": "listing",
    "paper": "paper",
    "report": "report",
    "run": "run",
    "simulate": "simulate",
    "synth": "synth",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"mla_hw.cli.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
