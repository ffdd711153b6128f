"""Connections that compare what `amaranth.lib.wiring.connect` does not."""

from amaranth import *
from amaranth.lib import stream, wiring

__all__ = ["connect_streams"]


def connect_streams(m: Module, source: stream.Interface, sink: stream.Interface) -> None:
    """Connect two streams of the same payload; widths alone would let swapped fields pass.

    Raises
    ------
    TypeError
        When the payloads differ.
    """
    if source.payload.shape() != sink.payload.shape():
        raise TypeError(
            f"A stream of {source.payload.shape()!r} cannot feed one of {sink.payload.shape()!r}"
        )
    wiring.connect(m, source, sink)
