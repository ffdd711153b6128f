"""Serial normaliser: bring a number's highest bit to the top."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from mla_hw.cycles.serial_normalizer import normalizer_steps, serial_normalizer_timing
from mla_hw.errors import ConfigError

__all__ = ["SerialNormalizer"]


class SerialNormalizer(wiring.Component):
    """Shift left by whole strides until one of the top ``stride`` bits is set.

    Computes :py:`normalized = value << (stride * count)` with the largest :py:`count` that loses
    no bit, bit-exact with :func:`mla_hw.golden.serial_normalizer.normalize_left`, by binary
    search. The latency is a constant (:attr:`timing`); a start while a search is under way
    abandons it.

    Parameters
    ----------
    bits : int
        Width of the unsigned value, which must not be 0.
    stride : int
        1, or 2 where the shift has to be even.

    Members
    -------
    start : :py:`In(1)`
        The value is valid.
    value : :py:`In(unsigned(bits))`
    done : :py:`Out(1)`
        Pulse in the first cycle of the result.
    normalized : :py:`Out(unsigned(bits))`
    count : :py:`Out(range((bits - 1) // stride + 1))`
        Both stay until the next start.
    """

    start: Signal
    value: Signal
    done: Signal
    normalized: Signal
    count: Signal

    def __init__(self, *, bits: int, stride: int = 1) -> None:
        if not 1 <= stride < bits:
            raise ConfigError(f"stride must be from 1 to bits - 1 = {bits - 1}, not {stride}")
        self.bits = bits
        self.stride = stride
        self.timing = serial_normalizer_timing(bits, stride)
        super().__init__({
            "start": In(1),
            "value": In(unsigned(bits)),
            "done": Out(1),
            "normalized": Out(unsigned(bits)),
            "count": Out(range((bits - 1) // stride + 1)),
        })

    def elaborate(self, platform):
        m = Module()

        steps = normalizer_steps(self.bits, self.stride)
        normalized = Signal(self.bits, reset_less=True)
        count = Signal(steps, reset_less=True)
        m.d.comb += [self.normalized.eq(normalized), self.count.eq(count)]

        # Two cycles per step, as a look at half of the word and a shift are too much for one: bit
        # 2 * step + 1 of the ring looks, and bit `step` of `clear` shifts. The search begins with
        # the widest.
        ring = Signal(2 * steps)
        clear = Signal(steps)
        m.d.sync += [ring.eq(ring >> 1), self.done.eq(ring[0])]
        following = Mux(self.start, self.value, 0)
        for step in range(steps):
            width = self.stride << step
            m.d.sync += clear[step].eq(ring[2 * step + 1] & ~normalized[-width:].any())
            following = following | Mux(clear[step], normalized << width, 0)[: self.bits]
        with m.If(self.start | clear.any()):
            m.d.sync += [normalized.eq(following), count.eq(Mux(self.start, 0, count | clear))]
        with m.If(self.start):
            m.d.sync += [ring.eq(1 << (2 * steps - 1)), self.done.eq(0)]

        return m
