"""Compiler, golden model and cycle model of an FPGA core for Multi-head Latent Attention.

The commands of the command line are functions of this package: :func:`generate`,
:func:`simulate` and :func:`synth`. They are loaded when they are first used, because they bring
Amaranth and the simulators with them.
"""

from importlib import import_module
from typing import Any

__all__ = ["generate", "simulate", "synth"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"mla_hw.cli.{name}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
