"""Asynchronous serial line: eight data bits, no parity, one stop bit."""

from typing import Any

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from mla_hw.errors import ConfigError

__all__ = [
    "MIN_DIVISOR",
    "UartReceiver",
    "UartTransmitter",
    "check_divisor",
    "received_layout",
    "uart_divisor",
]

#: Clocks per bit below which the middle of a bit is not met with clocks that differ.
MIN_DIVISOR = 4
#: Largest difference of the bit rate from the wanted one; as much is left for the other side.
_TOLERANCE = 0.02


def uart_divisor(clock_hz: float, baud: int) -> int:
    """Return the clocks per bit.

    Raises
    ------
    ConfigError
        If the clock is too slow, or no number of its cycles comes within 2 % of a bit.
    """
    divisor = round(clock_hz / baud) if baud > 0 else 0
    if divisor < MIN_DIVISOR:
        raise ConfigError(
            f"{baud} Bd needs a clock of {MIN_DIVISOR * baud} Hz at least, not {clock_hz:.0f} Hz"
        )
    difference = clock_hz / divisor / baud - 1
    if abs(difference) > _TOLERANCE:
        raise ConfigError(
            f"{baud} Bd cannot be made from {clock_hz:.0f} Hz: {divisor} clocks per bit are "
            f"{100 * difference:+.1f} % off, {100 * _TOLERANCE:g} % are allowed; the nearest is "
            f"{clock_hz / divisor:.0f} Bd"
        )
    return divisor


def check_divisor(divisor: int) -> None:
    """Refuse a number of clocks per bit that is too small."""
    if divisor < MIN_DIVISOR:
        raise ConfigError(f"divisor must be {MIN_DIVISOR} or more, not {divisor!r}")


def received_layout() -> data.StructLayout:
    """Return a byte, and whether its stop bit was missing."""
    return data.StructLayout({"data": 8, "error": 1})


class UartReceiver(wiring.Component):
    """Bytes from a serial line.

    A bit is sampled once, in its middle as counted from the edge of the start bit; a start bit that
    has gone by its middle is taken for noise. A byte comes in the middle of its stop bit, three
    cycles of synchroniser and sampling later; throughput is a byte in ten bits. Nothing stalls: a
    byte that is not taken in its cycle is lost. Both sides' clocks may differ by 2 % each.

    Parameters
    ----------
    divisor : int
        Clocks per bit, at least :data:`MIN_DIVISOR`.

    Members
    -------
    rx : :py:`In(1)`
        Line, from any clock.
    o : :py:`Out(stream.Signature(received_layout(), always_ready=True))`

    Raises
    ------
    ConfigError
        If the divisor is too small.
    """

    rx: Signal
    o: Any

    def __init__(self, divisor: int) -> None:
        check_divisor(divisor)
        self.divisor = divisor
        super().__init__({
            "rx": In(1),
            "o": Out(stream.Signature(received_layout(), always_ready=True)),
        })

    def elaborate(self, platform):
        m = Module()

        # Two stages settle what comes from another clock.
        stages = Signal(3, init=0b111)
        m.d.sync += stages.eq(Cat(self.rx, stages))
        line, before = stages[1], stages[2]

        # Ones, into which the start bit is shifted as the first zero: at the end, the next bit is
        # the stop bit.
        bits = Signal(9, init=0x1FF)
        busy = Signal()
        clocks = Signal(range(self.divisor))
        m.d.comb += self.o.p.data.eq(bits[1:])
        m.d.sync += self.o.valid.eq(0)
        with m.If(~busy):
            # The edge was up to a clock before `line` shows it, and a clock goes by until here.
            m.d.sync += clocks.eq((self.divisor - 2) // 2)
            # Only an edge starts: a line that stays low is a pulled cable.
            with m.If(before & ~line):
                m.d.sync += [busy.eq(1), bits.eq(bits.init)]
        with m.Elif(clocks != 0):
            m.d.sync += clocks.eq(clocks - 1)
        with m.Else():
            m.d.sync += clocks.eq(self.divisor - 1)
            with m.If(bits[0]):
                m.d.sync += [bits.eq(Cat(bits[1:], line)), busy.eq(~bits.all() | ~line)]
            with m.Else():
                m.d.sync += [self.o.valid.eq(1), self.o.p.error.eq(~line), busy.eq(0)]

        return m


class UartTransmitter(wiring.Component):
    """Bytes to a serial line.

    The start bit begins in the cycle after a byte was taken, and the next byte is taken in the last
    cycle of the stop bit: a byte in ten bits, without a gap. Between bytes the line stays high.

    Parameters
    ----------
    divisor : int
        Clocks per bit, at least :data:`MIN_DIVISOR`.

    Members
    -------
    i : :py:`In(stream.Signature(8))`
    tx : :py:`Out(1)`

    Raises
    ------
    ConfigError
        If the divisor is too small.
    """

    i: stream.Interface
    tx: Signal

    def __init__(self, divisor: int) -> None:
        check_divisor(divisor)
        self.divisor = divisor
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1)})

    def elaborate(self, platform):
        m = Module()

        # Start bit, data, stop bit; the stop bit is the last one that is left, and stays.
        bits = Signal(10, init=1)
        clocks = Signal(range(self.divisor))
        next_bit = Signal()
        m.d.comb += [
            self.tx.eq(bits[0]),
            next_bit.eq(clocks == 0),
            self.i.ready.eq(next_bit & ~bits[1:].any()),
        ]
        with m.If(~next_bit):
            m.d.sync += clocks.eq(clocks - 1)
        with m.Elif(bits[1:].any() | self.i.valid):
            m.d.sync += [clocks.eq(self.divisor - 1), bits.eq(bits >> 1)]
            with m.If(~bits[1:].any()):
                m.d.sync += bits.eq(Cat(C(0, 1), self.i.payload, C(1, 1)))

        return m
