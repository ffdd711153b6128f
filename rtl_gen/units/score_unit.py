"""Score unit: from the array's sums to scores, and what the softmax needs beside them."""

from typing import Any

from amaranth import *
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from mla_hw.cycles.latent_ring import LATENT_SCALE_LATENCY
from mla_hw.cycles.multiplier import MULTIPLIER_TIMING
from mla_hw.cycles.score_unit import SHIFT_BITS, score_timing, score_unit_timing
from mla_hw.golden.score_unit import SCORE_BITS
from mla_hw.hardware import CoreConfig
from rtl_gen.layouts import read_port_signature, score_layout
from rtl_gen.pipeline import delay
from rtl_gen.units.multiplier import Multiplier
from rtl_gen.units.rounding_shifter import RoundingShifter
from rtl_gen.units.simple_memory import SimpleMemory

__all__ = ["ScoreUnit"]

_SCALE_BITS = 16
_LOW_BITS = _SCALE_BITS - 1
_PRODUCT_BITS = SCORE_BITS + _SCALE_BITS


class _ScaleProduct(wiring.Component):
    """Product of 24 and 16 signed bits from two 16×16 multipliers; one cycle more than theirs."""

    a: Signal
    b: Signal
    p: Signal

    def __init__(self, *, kind: str) -> None:
        self.kind = kind
        super().__init__({
            "a": In(signed(SCORE_BITS)),
            "b": In(signed(_SCALE_BITS)),
            "p": Out(signed(_PRODUCT_BITS)),
        })

    def elaborate(self, platform):
        m = Module()

        products = {}
        for name, part in (
            ("low", self.a[:_LOW_BITS]),
            ("high", self.a[_LOW_BITS:].as_signed()),
        ):
            m.submodules[name] = multiplier = Multiplier(
                a_width=_SCALE_BITS, b_width=_SCALE_BITS, kind=self.kind
            )
            m.d.comb += [multiplier.a.eq(part), multiplier.b.eq(self.b)]
            products[name] = multiplier.p

        low, high = products["low"], products["high"]
        total = Signal(signed(_PRODUCT_BITS), reset_less=True)
        m.d.sync += total.eq(Cat(low[:_LOW_BITS], high + (low >> _LOW_BITS)))
        m.d.comb += self.p.eq(total)

        return m


class ScoreUnit(wiring.Component):
    """Bring score sums to log2 units and keep scores, token scales and tile maxima.

    Computes :py:`score = saturate(round_shift(saturate(round_shift(acc, pre)) * scale, post))`,
    bit-exact with :func:`mla_hw.golden.score_unit.scale_scores`, where the scale of the token is
    read from the latent ring. A read address that is presented :py:`timing.latency` cycles
    after a sum shows it in each of the memories; the throughput is one sum per cycle, nothing
    stalls.

    The scales are copied, once per head group, because the ring may have let go of the block before
    the softmax of the tile is done. The maximum of a head is that of its scores from
    the last ``first`` on; until the next ``first`` of a row, all of the row's sums belong to one
    head. A row's sums come in a run without other rows between, or at least
    :py:`MAXIMUM_DISTANCE` cycles after the run before.

    Parameters
    ----------
    config : :class:`CoreConfig`
        Geometry of rows, tile and ring, ``acc_width``, ``heads`` and ``multiplier`` matter.

    Members
    -------
    i : :py:`In(score_layout(config))`
        Sums.
    token_scale : :py:`Out(read_port_signature(unsigned(16), ring_blocks * columns))`
        Port of the latent ring that gives the scale of a token.
    scores : :py:`In(read_port_signature(signed(SCORE_BITS), score_depth))`
        Scores, by ``i.address``.
    scales : :py:`In(read_port_signature(unsigned(16), groups * tile_limit))`
        Token scales, by :py:`group * tile_limit + token`.
    maxima : :py:`In(read_port_signature(signed(SCORE_BITS), groups << lane_bits))`
        Tile maxima, by ``i.head``.
    saturated : :py:`Out(1)`
        A score met a limit before or after the multiplication; :py:`score_timing()` after its sum.
    """

    i: data.View
    token_scale: Any
    scores: Any
    scales: Any
    maxima: Any
    saturated: Signal

    def __init__(self, config: CoreConfig) -> None:
        self.config = config
        self.timing = score_unit_timing()
        self.ports = {
            "scores": (signed(SCORE_BITS), config.score_depth),
            "scales": (unsigned(_SCALE_BITS), config.groups * config.tile_limit),
            "maxima": (signed(SCORE_BITS), config.groups << config.lane_bits),
        }
        super().__init__({
            "i": In(score_layout(config)),
            "token_scale": Out(
                read_port_signature(unsigned(_SCALE_BITS), config.ring_blocks * config.columns)
            ),
            **{name: In(read_port_signature(*port)) for name, port in self.ports.items()},
            "saturated": Out(1),
        })

    def elaborate(self, platform):
        m = Module()

        writes = {}
        for name, port in self.ports.items():
            m.submodules[name] = storage = SimpleMemory(*port)
            wiring.connect(m, wiring.flipped(getattr(self, name)), storage.read)
            writes[name] = storage.w

        # One cycle before the score is there, and with it.
        score_at = score_timing().latency
        en_before = delay(m, self.i.en, score_at - 1, "en", reset_less=False)
        en = delay(m, en_before, 1, "en_score", reset_less=False)
        score = self._score(m, en_before)
        m.d.comb += [
            writes["scores"].en.eq(en),
            writes["scores"].address.eq(delay(m, self.i.address, score_at, "address")),
            writes["scores"].data.eq(score),
        ]
        self._keep_maximum(m, score, en, writes["maxima"])
        self._copy_scale(m, writes["scales"])

        return m

    def _score(self, m, en_before):
        """Return the score of the sum that was presented :py:`score_timing()` cycles ago."""
        config = self.config
        m.submodules.pre = pre = RoundingShifter(
            width=config.acc_width, shift_bits=SHIFT_BITS, out_width=SCORE_BITS
        )
        m.submodules.product = product = _ScaleProduct(kind=config.multiplier)
        m.submodules.post = post = RoundingShifter(
            width=_PRODUCT_BITS, shift_bits=SHIFT_BITS, out_width=SCORE_BITS
        )
        narrow_at = pre.timing.latency
        product_at = narrow_at + MULTIPLIER_TIMING.latency + 1
        m.d.comb += [
            self.token_scale.address.eq(self.i.block_token),
            pre.i.eq(self.i.acc),
            pre.shift.eq(self.i.pre),
            product.a.eq(pre.o),
            product.b.eq(
                delay(m, self.token_scale.data, narrow_at - LATENT_SCALE_LATENCY, "scale")
            ),
            post.i.eq(product.p),
            post.shift.eq(delay(m, self.i.post, product_at, "post_shift")),
        ]

        score = Signal(signed(SCORE_BITS), reset_less=True)
        pre_saturated = delay(
            m, pre.saturated, product_at + post.timing.latency - narrow_at, "pre_saturated"
        )
        m.d.sync += [
            score.eq(post.o),
            self.saturated.eq(en_before & (pre_saturated | post.saturated)),
        ]
        return score

    def _keep_maximum(self, m, score, en, write):
        """Write the maximum of the head's scores so far, ``score`` included."""
        row_bits, score_at = self.config.lane_bits, score_timing().latency
        running: memory.Memory = memory.Memory(
            shape=signed(SCORE_BITS),
            depth=max(2, 1 << row_bits),
            init=[],
            attrs={"ram_style": "distributed"},
        )
        m.submodules.running = running
        w_running = running.write_port()
        r_running = running.read_port(transparent_for=[w_running])

        # One cycle before the score: the row's maximum is read, unless it is the one that is held.
        head_before = delay(m, self.i.head[: len(write.address)], score_at - 1, "head")
        head = delay(m, head_before, 1, "head_score")
        last_row = Signal(row_bits, reset_less=True)
        present_row = Mux(en, head[:row_bits], last_row)
        is_held = Signal(reset_less=True)
        m.d.comb += r_running.addr.eq(head_before[:row_bits])
        m.d.sync += [last_row.eq(present_row), is_held.eq(head_before[:row_bits] == present_row)]

        # With the score: compare with what was read.
        first = delay(m, self.i.first, score_at, "first")
        larger = Signal(signed(SCORE_BITS), reset_less=True)
        joins = Signal(reset_less=True)
        keep = first | is_held | (score > r_running.data)
        m.d.sync += [larger.eq(Mux(keep, score, r_running.data)), joins.eq(is_held & ~first)]

        # One cycle after it: compare with what is held, a loop of one cycle.
        en = delay(m, en, 1, "en_larger", reset_less=False)
        head = delay(m, head, 1, "head_larger")
        held = Signal(signed(SCORE_BITS), reset_less=True)
        with m.If(en & ~(joins & (held > larger))):
            m.d.sync += held.eq(larger)

        # Two cycles after it.
        w_en = delay(m, en, 1, "en_held", reset_less=False)
        held_head = delay(m, head, 1, "head_held")
        m.d.comb += [
            w_running.en.eq(w_en),
            w_running.addr.eq(held_head[:row_bits]),
            w_running.data.eq(held),
            write.en.eq(w_en),
            write.address.eq(held_head),
            write.data.eq(held),
        ]

    def _copy_scale(self, m, write):
        """Write the token's scale where the softmax reads it."""
        config = self.config
        # A table instead of a multiplication by tile_limit.
        base = Signal(range(config.groups * config.tile_limit), reset_less=True)
        with m.Switch(self.i.group):
            for group in range(config.groups):
                with m.Case(group):
                    m.d.sync += base.eq(group * config.tile_limit)
        address = Signal.like(base, reset_less=True)
        m.d.sync += address.eq(base + delay(m, self.i.token, 1, "token"))
        latency = LATENT_SCALE_LATENCY + 1
        m.d.comb += [
            write.en.eq(delay(m, self.i.en, latency, "en_scale", reset_less=False)),
            write.address.eq(delay(m, address, latency - 2, "scale_address")),
            write.data.eq(delay(m, self.token_scale.data, 1, "scale_copy")),
        ]
