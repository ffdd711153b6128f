"""Requantizer: from the array's sums to int16 elements."""

from amaranth import *
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from mla_hw.cycles.multiplier import MULTIPLIER_TIMING
from mla_hw.cycles.requantizer import SHIFT_BITS, requantizer_timing
from mla_hw.hardware import CONSTANT_BANKS, CoreConfig
from mla_hw.program.instructions import FIELDS
from rtl_gen.arithmetic import saturate
from rtl_gen.layouts import element_layout, requantize_layout
from rtl_gen.pipeline import delay
from rtl_gen.units.multiplier import Multiplier
from rtl_gen.units.rounding_shifter import RoundingShifter

__all__ = ["Requantizer", "constant_layout"]

_BITS = 16
_ROW = FIELDS["target"].choices.index("row")


def constant_layout(config: CoreConfig) -> data.StructLayout:
    """Half of a tile's requantise constants, as one word of the weight stream brings them.

    ``data`` holds ``columns / 2`` little-endian int16: those of the lower columns in ``half`` 0.
    """
    return data.StructLayout({
        "en": 1,
        "bank": range(CONSTANT_BANKS),
        "half": 1,
        "data": data.ArrayLayout(8, config.columns),
    })


class Requantizer(wiring.Component):
    """Shift, multiply by the channel's constant, shift; each shift rounds and saturates.

    Computes :py:`o = saturate(round_shift(saturate(round_shift(acc, pre)) * constant, post))`,
    bit-exact with :func:`mla_hw.golden.requantizer.requantize`. What goes to product rows (target
    *row*) brings its own constant and is narrowed to 8 bits. The latency is
    :py:`timing.latency`, the throughput one element per cycle; nothing stalls. A constant that
    is written in a cycle holds for the sums that are presented in this cycle and later.

    Parameters
    ----------
    config : :class:`CoreConfig`
        ``acc_width``, ``columns`` and ``multiplier`` matter.

    Members
    -------
    constant : :py:`In(constant_layout(config))`
        Constants of the tiles to come, 0 to 32767.
    i : :py:`In(requantize_layout(config))`
        Sums; ``bank`` and ``column`` say which constant, ``pre`` and ``post`` the shifts.
    o : :py:`Out(element_layout())`
        Elements, in order.
    saturated : :py:`Out(1)`
        The element that is presented met a limit before or after the multiplication.
    """

    constant: data.View
    i: data.View
    o: data.View
    saturated: Signal

    def __init__(self, config: CoreConfig) -> None:
        self.config = config
        self.timing = requantizer_timing()
        super().__init__({
            "constant": In(constant_layout(config)),
            "i": In(requantize_layout(config)),
            "o": Out(element_layout()),
            "saturated": Out(1),
        })

    def elaborate(self, platform):
        m = Module()

        config, latency = self.config, self.timing.latency
        m.submodules.pre = pre = RoundingShifter(
            width=config.acc_width, shift_bits=SHIFT_BITS, out_width=_BITS
        )
        m.submodules.multiplier = multiplier = Multiplier(
            a_width=_BITS, b_width=_BITS, kind=config.multiplier
        )
        m.submodules.post = post = RoundingShifter(
            width=2 * _BITS, shift_bits=SHIFT_BITS, out_width=_BITS
        )
        halves = data.ArrayLayout(_BITS, config.columns // 2)
        constants: memory.Memory = memory.Memory(shape=halves, depth=2 * CONSTANT_BANKS, init=[])
        m.submodules.constants = constants
        w_constants, r_constants = constants.write_port(), constants.read_port()

        # The memory is read two cycles before the multiplication, which leaves one for the
        # choice of the column.
        narrow_at = pre.timing.latency
        column = delay(m, Cat(self.i.column, self.i.bank), narrow_at - 2, "column")
        column_bits = len(self.i.column)
        within = delay(m, column[: column_bits - 1], 1, "within")
        factor = Signal(_BITS, reset_less=True)
        m.d.comb += [
            w_constants.en.eq(self.constant.en),
            w_constants.addr.eq(Cat(self.constant.half, self.constant.bank)),
            w_constants.data.eq(self.constant.data),
            r_constants.addr.eq(column[column_bits - 1 :]),
        ]
        m.d.sync += factor.eq(data.View(halves, r_constants.data)[within])
        if config.product_blocks:
            common = delay(m, Cat(self.i.factor, self.i.target == _ROW), narrow_at - 1, "common")
            with m.If(common[-1]):
                m.d.sync += factor.eq(common[:-1])

        m.d.comb += [
            pre.i.eq(self.i.acc),
            pre.shift.eq(self.i.pre),
            multiplier.a.eq(pre.o),
            multiplier.b.eq(factor),
        ]

        product_at = narrow_at + MULTIPLIER_TIMING.latency
        m.d.comb += [
            post.i.eq(multiplier.p),
            post.shift.eq(delay(m, self.i.post, product_at, "post_shift")),
        ]

        en = delay(m, self.i.en, latency - 1, "en", reset_less=False)
        element = delay(m, Cat(self.i.target, self.i.element), latency - 1, "element")
        pre_saturated = delay(m, pre.saturated, latency - 1 - narrow_at, "pre_saturated")
        data_o = Signal(signed(_BITS), reset_less=True)
        element_o = Signal.like(element, reset_less=True)
        en_o = Signal()
        m.d.sync += [
            en_o.eq(en),
            element_o.eq(element),
            data_o.eq(post.o),
            self.saturated.eq(en & (pre_saturated | post.saturated)),
        ]
        if config.product_blocks:
            limited, clamped = saturate(post.o, 8)[::-1]
            with m.If(element[: len(self.i.target)] == _ROW):
                m.d.sync += data_o.eq(clamped)
                with m.If(en & limited):
                    m.d.sync += self.saturated.eq(1)
        m.d.comb += [
            self.o.en.eq(en_o),
            Cat(self.o.target, self.o.element).eq(element_o),
            self.o.data.eq(data_o),
        ]

        return m
