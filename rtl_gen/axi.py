"""AXI4 and AXI4-Lite: interface signatures, seen from the manager, and how bursts are cut.

A channel is one interface, so a Verilog port is called ``<bus>__<channel>__<member>``, for example
``memory__ar__valid``. The standard's name of a member is channel and member joined: ``ar.valid`` is
ARVALID, ``w.strb`` is WSTRB; :data:`AXI4_SIGNALS` lists them all. Members that are not there have
their default: no identifiers (one thread, in order), no lock, region, quality of service or user
bits.
"""

from amaranth import *
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out, Signature
from amaranth.utils import exact_log2

from mla_hw.errors import ConfigError
from mla_hw.hardware import BURST_BEATS

__all__ = [
    "AXI4_SIGNALS",
    "BURST_BITS",
    "BurstSplitter",
    "Response",
    "address_channel_signature",
    "axi4_read_signature",
    "axi4_signature",
    "axi4_write_signature",
    "axi_lite_signature",
    "burst_layout",
    "drive_address_constants",
    "is_error",
    "segment_layout",
]

#: Width of a number of beats within a burst, 0 to BURST_BEATS.
BURST_BITS = BURST_BEATS.bit_length()

_HANDSHAKE = ("valid", "ready")
_ADDRESS = ("addr", "len", "size", "burst", "cache", "prot")
_CHANNELS = {
    "ar": _ADDRESS,
    "r": ("data", "resp", "last"),
    "aw": _ADDRESS,
    "w": ("data", "strb", "last"),
    "b": ("resp",),
}
#: The standard's name of every member of :func:`axi4_signature`, by its path.
AXI4_SIGNALS = {
    f"{channel}.{member}": f"{channel}{member}".upper()
    for channel, members in _CHANNELS.items()
    for member in (*_HANDSHAKE, *members)
}

_INCREMENTING = 0b01
#: Normal, non-cacheable, bufferable: a bridge may pass writes on in its own time.
_CACHE = 0b0011


class Response(enum.IntEnum, shape=2):
    """RRESP and BRESP."""

    #: Success.
    OKAY = 0
    #: Success of an exclusive access, which nothing here asks for.
    EXOKAY = 1
    #: The subordinate was reached and refused.
    SLVERR = 2
    #: There is no subordinate at the address.
    DECERR = 3


def _channel(members) -> Signature:
    """Add the handshake; the side that sends is the channel's own."""
    return Signature({"valid": Out(1), "ready": In(1), **members})


def _check_widths(address_bits: int, data_bits: int) -> None:
    if not 1 <= address_bits <= 64:
        raise ConfigError(f"address_bits must be from 1 to 64, not {address_bits!r}")
    if data_bits not in (8, 16, 32, 64, 128, 256, 512, 1024):
        raise ConfigError(
            f"data_bits must be a power of two from 8 to 1024 (port_bytes from 1 to 128), "
            f"not {data_bits!r}"
        )


def address_channel_signature(address_bits: int) -> Signature:
    """AR or AW, seen from the manager; ``len`` is the number of beats minus one."""
    return _channel({
        "addr": Out(address_bits),
        "len": Out(8),
        "size": Out(3),
        "burst": Out(2),
        "cache": Out(4),
        "prot": Out(3),
    })


def axi4_read_signature(*, address_bits: int = 32, data_bits: int) -> Signature:
    """Read half of AXI4, seen from the manager: channels ``ar`` and ``r``."""
    _check_widths(address_bits, data_bits)
    return Signature({
        "ar": Out(address_channel_signature(address_bits)),
        "r": In(_channel({"data": Out(data_bits), "resp": Out(Response), "last": Out(1)})),
    })


def axi4_write_signature(*, address_bits: int = 32, data_bits: int) -> Signature:
    """Write half of AXI4, seen from the manager: channels ``aw``, ``w`` and ``b``."""
    _check_widths(address_bits, data_bits)
    return Signature({
        "aw": Out(address_channel_signature(address_bits)),
        "w": Out(_channel({"data": Out(data_bits), "strb": Out(data_bits // 8), "last": Out(1)})),
        "b": In(_channel({"resp": Out(Response)})),
    })


def axi4_signature(*, address_bits: int = 32, data_bits: int) -> Signature:
    """AXI4 seen from the manager; both halves, channel by channel.

    Parameters
    ----------
    address_bits : int
        Width of byte addresses.
    data_bits : int
        Width of the data channels, a power of two.

    Raises
    ------
    ConfigError
        If a width is not one of AXI's.
    """
    widths = {"address_bits": address_bits, "data_bits": data_bits}
    return Signature({
        **dict(axi4_read_signature(**widths).members.items()),
        **dict(axi4_write_signature(**widths).members.items()),
    })


def axi_lite_signature(address_bits: int) -> Signature:
    """AXI4-Lite with 32 data bits, seen from the manager."""
    _check_widths(address_bits, 32)
    address = {"addr": Out(address_bits), "prot": Out(3)}
    return Signature({
        "ar": Out(_channel(address)),
        "r": In(_channel({"data": Out(32), "resp": Out(Response)})),
        "aw": Out(_channel(address)),
        "w": Out(_channel({"data": Out(32), "strb": Out(4)})),
        "b": In(_channel({"resp": Out(Response)})),
    })


def drive_address_constants(m: Module, channel, port_bytes: int) -> None:
    """Drive the members of AR or AW that never change: whole beats, incrementing addresses."""
    m.d.comb += [
        channel.size.eq(exact_log2(port_bytes)),
        channel.burst.eq(_INCREMENTING),
        channel.cache.eq(_CACHE),
        channel.prot.eq(0),
    ]


def is_error(response: Value) -> Value:
    """Whether RRESP or BRESP reports an error, combinationally."""
    return response[1]


def segment_layout(beat_address_bits: int) -> data.StructLayout:
    """Consecutive beats, at least one; the address counts beats."""
    return data.StructLayout({"address": beat_address_bits, "beats": 24})


def burst_layout(beat_address_bits: int) -> data.StructLayout:
    """Up to BURST_BEATS consecutive beats; ``last`` marks the last burst of a segment.

    ``length`` is the number of beats minus one, as AXI counts.
    """
    return data.StructLayout({
        "address": beat_address_bits,
        "beats": BURST_BITS,
        "length": exact_log2(BURST_BEATS),
        "last": 1,
    })


class BurstSplitter(wiring.Component):
    """Cut a segment into bursts that do not cross a multiple of BURST_BEATS beats.

    The first burst is shorter where the segment does not start at such a multiple. A segment that
    is taken in one cycle gives its first burst two cycles later, then one per cycle; the next
    segment is taken in the cycle after the last burst at the earliest.

    Parameters
    ----------
    beat_address_bits : int
        Width of an address in beats.

    Members
    -------
    i : :py:`In(stream.Signature(segment_layout(beat_address_bits)))`
        Segments.
    o : :py:`Out(stream.Signature(burst_layout(beat_address_bits)))`
        Bursts.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, beat_address_bits: int) -> None:
        super().__init__({
            "i": In(stream.Signature(segment_layout(beat_address_bits))),
            "o": Out(stream.Signature(burst_layout(beat_address_bits))),
        })

    def elaborate(self, platform):
        m = Module()

        # Beats are counted from the multiple of BURST_BEATS below `address`, so that a step is one
        # carry chain over the upper bits. Which burst is the last one is found a cycle ahead.
        low_bits = exact_log2(BURST_BEATS)
        address = Signal.like(self.i.p.address, reset_less=True)
        remaining = Signal(len(self.i.p.beats) + 1, reset_less=True)
        low = address[:low_bits]
        idle, taken, last = Signal(init=1), Signal(), Signal(reset_less=True)
        in_burst = Mux(last, remaining, BURST_BEATS)
        m.d.comb += [
            self.i.ready.eq(idle),
            self.o.p.address.eq(address),
            self.o.p.last.eq(last),
            self.o.p.beats.eq(in_burst - low),
            # One carry chain, not two: -low - 1 is ~low.
            self.o.p.length.eq(in_burst + ~low),
        ]
        with m.If(idle):
            m.d.sync += [
                address.eq(self.i.p.address),
                remaining.eq(self.i.p.beats),
                idle.eq(~self.i.valid),
                taken.eq(self.i.valid),
            ]
        with m.Elif(taken):
            few = ~remaining[BURST_BITS:].any()
            m.d.sync += [
                taken.eq(0),
                self.o.valid.eq(1),
                remaining.eq(remaining + low),
                last.eq(few & (remaining[:BURST_BITS] + low <= BURST_BEATS)),
            ]
        with m.Elif(self.o.ready):
            m.d.sync += [
                low.eq(0),
                address[low_bits:].eq(address[low_bits:] + 1),
                remaining[low_bits:].eq(remaining[low_bits:] - 1),
                last.eq(remaining <= 2 * BURST_BEATS),
                idle.eq(last),
                self.o.valid.eq(~last),
            ]

        return m
