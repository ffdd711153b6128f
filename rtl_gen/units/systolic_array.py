"""Systolic array: R rows × C columns of multiply-accumulate, output stationary."""

from typing import Any

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from mla_hw.cycles.accumulator import ACCUMULATE_TIMING
from mla_hw.cycles.multiplier import MULTIPLIER_TIMING
from mla_hw.cycles.systolic_array import result_latency
from mla_hw.hardware import CoreConfig
from rtl_gen.layouts import result_layout, step_layout
from rtl_gen.pipeline import KEEP
from rtl_gen.units.accumulator import Accumulator
from rtl_gen.units.multiplier import Multiplier

__all__ = ["SystolicArray"]


def _chain(m: Module, value: Value, cycles: int, name: str, **options: Any) -> list:
    """Return the value and its ``cycles`` registers in a row."""
    chain = [value]
    for cycle in range(1, cycles + 1):
        chain.append(Signal.like(value, name=f"{name}_{cycle}", **options))
        m.d.sync += chain[-1].eq(chain[-2])
    return chain


class SystolicArray(wiring.Component):
    """One step per cycle, C results per row on the way out while the next tile is summed up.

    Computes :py:`acc[r, c] = sum(a[r] * b[c])` over the steps from ``first`` to ``last``.

    Bit-exact with :func:`mla_hw.golden.systolic_array.multiply_accumulate`. Steps are presented
    aligned; row r works r cycles and column c C-1-c cycles later: operands a move from column
    C-1 to column 0, operands b from row to row, ``first`` and ``last`` travel with a. A step
    without ``en`` changes nothing. Throughput one step per cycle, nothing stalls.

    After ``last``, each sum moves from the accumulator to a shadow register; column 0's is at
    ``o[r]`` :func:`~mla_hw.cycles.systolic_array.result_latency` cycles after the step. A pulse
    of ``drain[r]`` makes ``o[r]`` hold columns 0 … C-1 in the C cycles after it. Another tile's
    sums may arrive from the cycle on in which column C-1's has been taken.

    Parameters
    ----------
    config : :class:`CoreConfig`
        ``rows``, ``columns``, ``acc_width`` and ``multiplier``.

    Members
    -------
    i : :py:`In(step_layout(config))`
    drain : :py:`In(rows)`
    o : :py:`Out(result_layout(config))`
    """

    i: data.View
    drain: Signal
    o: data.View

    def __init__(self, config: CoreConfig) -> None:
        self.config = config
        super().__init__({
            "i": In(step_layout(config)),
            "drain": In(config.rows),
            "o": Out(result_layout(config)),
        })

    def result_latency(self, row: int) -> int:
        """Cycles from ``last`` at the input to column 0's sum at ``o[row]``."""
        return result_latency(self.config.columns, row)

    def elaborate(self, platform):
        m = Module()
        rows, columns = self.config.rows, self.config.columns

        # Zero operands stand for "no step", so that no enable reaches the accumulators.
        en = self.i.en
        flags = Cat(self.i.first & en, self.i.last & en)
        # Stage C-1-c+r of column c is what row r multiplies by.
        b = [
            _chain(m, self.i.b[c], columns - 1 - c + rows - 1, f"b_{c}", reset_less=True)
            for c in range(columns)
        ]
        for r in range(rows):
            a = _chain(m, Mux(en, self.i.a[r], 0), r + columns - 1, f"a_{r}", reset_less=True)
            # Each row has its own, lest one register reach elements all over the array.
            control = _chain(
                m,
                flags,
                r + columns - 1 + MULTIPLIER_TIMING.then(ACCUMULATE_TIMING).latency,
                f"control_{r}",
                attrs=KEEP,
            )
            row_b = [b[c][columns - 1 - c + r] for c in range(columns)]
            m.d.comb += self.o[r].eq(self._row(m, r, a[r:], row_b, control[r:]))
        return m

    def _row(self, m, r: int, a: list, b: list, control: list):
        """Join a row's processing elements; return the shadow register of column 0.

        Column c uses stage C-1-c of ``a``, and of ``control`` the stages when its product and
        its sum are there.
        """
        columns, acc_width = self.config.columns, self.config.acc_width
        neighbour: Value | None = None
        prolonged: Value = Const(0)
        for lag, c in enumerate(reversed(range(columns))):
            mul = Multiplier(a_width=16, b_width=8, kind=self.config.multiplier)
            m.submodules[f"mul_{r}_{c}"] = mul
            m.d.comb += [mul.a.eq(a[lag]), mul.b.eq(b[c])]

            first, last = control[lag + mul.timing.latency]
            acc = Accumulator(width=acc_width, p_width=len(mul.p), kind=self.config.multiplier)
            m.submodules[f"acc_{r}_{c}"] = acc
            m.d.comb += [acc.first.eq(first), acc.p.eq(mul.p)]

            shadow = Signal(signed(acc_width), name=f"shadow_{r}_{c}", reset_less=True)
            move = Signal(name=f"move_{r}_{c}")
            if neighbour is None:
                m.d.sync += move.eq(last)
                with m.If(move):
                    m.d.sync += shadow.eq(acc.sum)
            else:
                # Column c passes on C-1-c sums: the pulse reaches all columns at once, its
                # prolongation comes from the neighbour.
                shift = Signal(name=f"shift_{r}_{c}")
                m.d.sync += [
                    shift.eq(self.drain[r] | prolonged),
                    move.eq(self.drain[r] | prolonged | last),
                ]
                load = control[lag + mul.timing.then(acc.timing).latency][1]
                with m.If(move):
                    m.d.sync += shadow.eq(Mux(load, acc.sum, neighbour))
                prolonged = shift
            neighbour = shadow
        return neighbour
