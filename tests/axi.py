"""AXI4 memory for Amaranth test benches, and checks of what the manager does."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from mla_hw.hardware import BURST_BEATS
from rtl_gen.axi import Response

__all__ = ["AxiMemory", "Pauses", "ReadBurst", "WriteBurst"]


@dataclass
class Pauses:
    """How far the memory is from the fixed-latency one.

    Parameters
    ----------
    rng : numpy.random.Generator or None
        None: addresses are taken at once, data flow without gaps.
    stall : float
        Probability that a channel pauses in a cycle.
    jitter : int
        Largest number of cycles added to a burst's latency.
    """

    rng: np.random.Generator | None = None
    stall: float = 0.3
    jitter: int = 20

    def go(self):
        """Decide whether a channel moves in this cycle."""
        return self.rng is None or self.rng.random() >= self.stall

    def extra(self):
        """Return cycles on top of a burst's latency."""
        return 0 if self.rng is None else int(self.rng.integers(self.jitter + 1))


@dataclass
class ReadBurst:
    """One burst: cycle of the first ARVALID, cycle of every accepted beat."""

    address: int
    beats: int
    offered: int
    due: int
    cycles: list[int] = field(default_factory=list)


@dataclass
class WriteBurst:
    """One burst: cycle of the first AWVALID, of every accepted beat and of the response."""

    address: int
    beats: int
    offered: int
    cycles: list[int] = field(default_factory=list)
    due: int | None = None
    answered: int | None = None


class AxiMemory:
    """Memory behind an AXI4 interface of a unit; :meth:`reads` and :meth:`writes` are test benches.

    Without pauses it is the fixed-latency memory of the cycle model: an address taken in cycle t
    gives its first beat in cycle t + latency, or behind the beats of the burst before; a write is
    answered latency cycles after its last beat. Cycles count from 0, the first clock edge ends
    cycle 0.

    Parameters
    ----------
    axi : interface
        Channels as the unit has them: ``ar`` and ``r``, or ``aw``, ``w`` and ``b``.
    content : bytearray
    port_bytes : int
    latency : int
        At least 1.
    pauses : Pauses
    errors : collection of int
        Byte addresses of bursts that are answered with SLVERR.
    """

    def __init__(self, axi, content, *, port_bytes, latency=8, pauses=None, errors=()):
        self.axi, self.content, self.port_bytes = axi, content, port_bytes
        self.latency, self.pauses, self.errors = latency, pauses or Pauses(), errors
        self.read_bursts: list[ReadBurst] = []
        self.write_bursts: list[WriteBurst] = []
        #: Most read bursts that were under way at once.
        self.most_reads = 0

    async def reads(self, ctx):
        ar, r = self.axi.ar, self.axi.r
        waiting, cycle, offered = deque(), 0, None
        ctx.set(ar.ready, self.pauses.go())
        while True:
            offered, accepted, (taken,) = await self._cycle(
                ctx, ar, cycle, offered, r.valid & r.ready
            )
            if taken:
                waiting[0].cycles.append(cycle)
                if len(waiting[0].cycles) == waiting[0].beats:
                    waiting.popleft()
            if accepted:
                due = cycle + self.latency + self.pauses.extra()
                waiting.append(ReadBurst(*offered, due))
                self.read_bursts.append(waiting[-1])
                self.most_reads = max(self.most_reads, len(waiting))
                offered = None
            cycle += 1
            ctx.set(ar.ready, self.pauses.go())
            # A beat that is offered stays until it is taken.
            if taken or not ctx.get(r.valid):
                offer = bool(waiting) and waiting[0].due <= cycle and self.pauses.go()
                ctx.set(r.valid, offer)
                if offer:
                    self._offer(ctx, r, waiting[0])

    def _offer(self, ctx, r, burst):
        beat = len(burst.cycles)
        start = burst.address + beat * self.port_bytes
        word = self.content[start : start + self.port_bytes]
        ctx.set(r.data, int.from_bytes(word, "little"))
        ctx.set(r.last, beat == burst.beats - 1)
        ctx.set(r.resp, self._response(burst))

    def _response(self, burst):
        return Response.SLVERR if burst.address in self.errors else Response.OKAY

    async def _cycle(self, ctx, channel, cycle, offered, *others):
        """Wait for the end of the cycle and check the address channel.

        Returns the burst that is offered, as address, beats and first cycle, or None; whether it
        is accepted; and the values of ``others``.
        """
        _, _, valid, ready, address, length, size, burst, *values = await ctx.tick().sample(
            channel.valid,
            channel.ready,
            channel.addr,
            channel.len,
            channel.size,
            channel.burst,
            *others,
        )
        if offered:
            assert (valid, address, length + 1) == (1, *offered[:2]), "address changed"
        elif valid:
            offered = (address, length + 1, cycle)
            assert (1 << size, burst) == (self.port_bytes, 1)
            assert address % self.port_bytes == 0
            first = address // self.port_bytes
            assert first // BURST_BEATS == (first + length) // BURST_BEATS, "burst too long"
        return offered, bool(valid and ready), values

    async def writes(self, ctx):
        aw, w, b = self.axi.aw, self.axi.w, self.axi.b
        addresses, words, answers = deque(), deque(), deque()
        cycle, offered, held = 0, None, None
        ctx.set(aw.ready, self.pauses.go())
        ctx.set(w.ready, self.pauses.go())
        while True:
            offered, accepted, values = await self._cycle(
                ctx, aw, cycle, offered, w.valid, w.ready, w.data, w.strb, w.last, b.valid & b.ready
            )
            w_valid, w_ready, *word, answered = values
            if answered:
                answers.popleft().answered = cycle
            if held:
                assert (w_valid, *word) == (1, *held), "data changed while waiting"
            held = word if w_valid and not w_ready else None
            if w_valid and w_ready:
                words.append((cycle, *word))
            if accepted:
                addresses.append(WriteBurst(*offered))
                self.write_bursts.append(addresses[-1])
                offered = None
            if addresses and len(words) >= addresses[0].beats:
                burst = addresses.popleft()
                self._write(burst, [words.popleft() for _ in range(burst.beats)])
                burst.due = cycle + self.latency + self.pauses.extra()
                answers.append(burst)
            cycle += 1
            ctx.set(aw.ready, self.pauses.go())
            ctx.set(w.ready, self.pauses.go())
            if answered or not ctx.get(b.valid):
                offer = bool(answers) and answers[0].due <= cycle and self.pauses.go()
                ctx.set(b.valid, offer)
                if offer:
                    ctx.set(b.resp, self._response(answers[0]))

    def _write(self, burst, words):
        for beat, (cycle, value, strobe, last) in enumerate(words):
            assert last == (beat == burst.beats - 1), "WLAST at the wrong beat"
            burst.cycles.append(cycle)
            start = burst.address + beat * self.port_bytes
            for lane, byte in enumerate(value.to_bytes(self.port_bytes, "little")):
                if strobe >> lane & 1:
                    self.content[start + lane] = byte
