"""Command line: every subcommand is a short wrapper over a typed function."""

from mla_hw.cli.main import main

__all__ = ["main"]
