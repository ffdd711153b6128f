"""AXI4 manager of Amaranth test benches."""

from dataclasses import dataclass, field

from rtl_gen.axi import Response
from tests.axi import Pauses

__all__ = ["Manager"]


@dataclass
class Manager:
    """Offers bursts and takes what comes; :attr:`testbenches` are what a simulation runs.

    Cycles count from 0, the first clock edge ends cycle 0.

    Parameters
    ----------
    axi : interface
        As the unit has it.
    reads : list of tuple of int
        Address and beats of each burst.
    writes : list of tuple
        Address and list of (data, strobes) of each burst.
    pauses : Pauses
    """

    axi: object
    reads: list = field(default_factory=list)
    writes: list = field(default_factory=list)
    pauses: Pauses = field(default_factory=Pauses)

    def __post_init__(self):
        #: Data, response and cycle of every beat, by read burst.
        self.beats = [[] for _ in self.reads]
        #: Response and cycle of every write burst.
        self.answers = []
        #: Cycles in which the addresses of reads and writes, and the beats of writes were taken.
        self.read_taken, self.write_taken, self.beats_taken = [], [], []
        port_bytes = len(self.axi.w.strb)
        size = port_bytes.bit_length() - 1
        self.constants = {"size": size, "burst": 1, "cache": 3, "prot": 0}

    @property
    def testbenches(self):
        return [self._read_addresses, self._take_reads] * bool(self.reads) + [
            self._write_addresses,
            self._write_data,
            self._take_answers,
        ] * bool(self.writes)

    @property
    def words(self):
        return [[data for data, _, _ in burst] for burst in self.beats]

    async def _offer(self, ctx, channel, payloads, taken):
        """Offer one payload after the other, at once unless there are pauses."""
        cycle = 0
        for payload in payloads:
            while not self.pauses.go():
                await ctx.tick()
                cycle += 1
            for name, value in payload.items():
                ctx.set(getattr(channel, name), value)
            ctx.set(channel.valid, 1)
            ready = 0
            while not ready:
                _, _, ready = await ctx.tick().sample(channel.ready)
                cycle += 1
            taken.append(cycle - 1)
            ctx.set(channel.valid, 0)

    async def _read_addresses(self, ctx):
        payloads = [
            {"addr": address, "len": beats - 1, **self.constants} for address, beats in self.reads
        ]
        await self._offer(ctx, self.axi.ar, payloads, self.read_taken)

    async def _write_addresses(self, ctx):
        payloads = [
            {"addr": address, "len": len(beats) - 1, **self.constants}
            for address, beats in self.writes
        ]
        await self._offer(ctx, self.axi.aw, payloads, self.write_taken)

    async def _write_data(self, ctx):
        payloads = [
            {"data": data, "strb": strobes, "last": index == len(beats) - 1}
            for _, beats in self.writes
            for index, (data, strobes) in enumerate(beats)
        ]
        await self._offer(ctx, self.axi.w, payloads, self.beats_taken)

    async def _take_reads(self, ctx):
        r = self.axi.r
        cycle = 0
        for (_, beats), found in zip(self.reads, self.beats, strict=True):
            held = None
            while len(found) < beats:
                ready = self.pauses.go()
                ctx.set(r.ready, ready)
                _, _, valid, *beat = await ctx.tick().sample(r.valid, r.data, r.resp, r.last)
                assert held is None or (valid and beat == held), "a beat that waits has changed"
                held = beat if valid and not ready else None
                if valid and ready:
                    data, response, last = beat
                    assert last == (len(found) == beats - 1)
                    found.append((data, Response(response), cycle))
                cycle += 1
        ctx.set(r.ready, 0)

    async def _take_answers(self, ctx):
        b = self.axi.b
        cycle = 0
        while len(self.answers) < len(self.writes):
            ready = self.pauses.go()
            ctx.set(b.ready, ready)
            _, _, valid, response = await ctx.tick().sample(b.valid, b.resp)
            if valid and ready:
                self.answers.append((Response(response), cycle))
            cycle += 1
        ctx.set(b.ready, 0)
