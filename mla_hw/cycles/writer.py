"""Timing of :class:`rtl_gen.units.writer.Writer`."""

from collections.abc import Iterator

from mla_hw.cycles.output_buffer import OUTPUT_READ_LATENCY
from mla_hw.hardware import BURST_BEATS

__all__ = [
    "WRITER_ADDRESS_LATENCY",
    "WRITER_DATA_LATENCY",
    "WRITER_DONE_LATENCY",
    "WRITER_RESTART",
    "split_bursts",
    "store_cycles",
]

#: Cycles from the accepted command to the first AWVALID; further ones follow one per cycle.
WRITER_ADDRESS_LATENCY = 3
#: Cycles from the accepted command to the first WVALID; one beat per cycle while WREADY is high.
WRITER_DATA_LATENCY = OUTPUT_READ_LATENCY + 2
#: Cycles from the last accepted write response to ``done``.
WRITER_DONE_LATENCY = 2
#: Cycles from ``done`` to the next command that can be accepted.
WRITER_RESTART = 0


def split_bursts(first_beat: int, beats: int) -> Iterator[int]:
    """Cut consecutive beats into bursts that cross no multiple of BURST_BEATS; give their lengths.

    Parameters
    ----------
    first_beat : int
        Address of the first beat, in beats.
    beats : int
    """
    while beats > 0:
        length = min(beats, BURST_BEATS - first_beat % BURST_BEATS)
        yield length
        first_beat += length
        beats -= length


def store_cycles(beats: int, response_latency: int) -> int:
    """Count cycles from the accepted STORE to its ``done``.

    Parameters
    ----------
    beats : int
        At least 1.
    response_latency : int
        Cycles of the memory from the last data beat of a burst to its response; AWREADY and WREADY
        are always high.
    """
    return WRITER_DATA_LATENCY + beats - 1 + response_latency + WRITER_DONE_LATENCY
