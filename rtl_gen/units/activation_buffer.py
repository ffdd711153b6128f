"""Activation buffer: int16 operands of the array, one lane per row."""

from typing import Any

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from mla_hw.cycles.simple_memory import MEMORY_READ_LATENCY
from mla_hw.hardware import CoreConfig
from mla_hw.program.instructions import FIELDS
from rtl_gen.layouts import activation_write_layout, element_layout, vector_write_layout
from rtl_gen.pipeline import delay
from rtl_gen.units.simple_memory import SimpleMemory

__all__ = ["ActivationBuffer", "activation_read_layout"]

_TARGETS = FIELDS["target"].choices
_SPREAD, _LANES = _TARGETS.index("spread"), _TARGETS.index("lanes")


def activation_read_layout(config: CoreConfig) -> data.StructLayout:
    """Read of one address of the projection half (0) or the vector half (1).

    All lanes, or with ``single`` just ``lane``, for row 0; with several query rows, for each of
    them the one of its own lanes that ``lane`` counts to.
    """
    lanes = config.rows if config.query_rows == 1 else 1 << config.spread_bits
    return data.StructLayout({
        "half": 1,
        "address": range(config.activation_depth),
        "lane": range(lanes),
        "single": 1,
    })


class ActivationBuffer(wiring.Component):
    """Two halves of R lanes: one written by reader and requantiser, one by the vector engine.

    Element addresses are those of :func:`mla_hw.golden.activation_buffer.place_elements`. Writes
    and reads never wait; latencies are in :mod:`mla_hw.cycles.activation_buffer`.

    Parameters
    ----------
    config : :class:`CoreConfig`
        ``rows`` and ``activation_depth``.

    Members
    -------
    load : :py:`In(activation_write_layout(config))`
        To the projection half, any lanes of one address.
    requantized : :py:`In(element_layout())`
        To the projection half, where the target is *spread* or *lanes*. Never in the same cycle as
        ``load``, which would lose its write.
    vector : :py:`In(vector_write_layout())`
        To the vector half.
    read : :py:`In(activation_read_layout(config))`
    a : :py:`Out(data.ArrayLayout(signed(16), rows))`
        What has been read; with ``single``, 0 in all rows but the query rows.
    """

    load: data.View
    requantized: data.View
    vector: data.View
    read: data.View
    a: data.View

    def __init__(self, config: CoreConfig) -> None:
        self.config = config
        super().__init__({
            "load": In(activation_write_layout(config)),
            "requantized": In(element_layout()),
            "vector": In(vector_write_layout()),
            "read": In(activation_read_layout(config)),
            "a": Out(data.ArrayLayout(signed(16), config.rows)),
        })

    def elaborate(self, platform):
        m = Module()

        # Cycle 0: is it for this buffer? Cycle 1: lane. Cycle 2: memory.
        source = self.requantized
        element: Any = Signal(vector_write_layout(), name="element")
        m.d.comb += [
            element.lanes.eq(source.target == _LANES),
            element.en.eq(source.en & (element.lanes | (source.target == _SPREAD))),
            element.element.eq(source.element),
            element.data.eq(source.data),
        ]
        load, requantized, vector = (
            delay(m, port, 1, name, reset_less=False)
            for name, port in (
                ("load", self.load),
                ("requantized", element),
                ("computed", self.vector),
            )
        )
        projection_write, vector_write = Signal.like(self.load), Signal.like(self.load)
        m.d.comb += projection_write.eq(load)
        self._scatter(m, projection_write, requantized)
        self._scatter(m, vector_write, vector)

        request = Signal.like(self.read, reset_less=True)
        m.d.sync += request.eq(self.read)
        self._gather(
            m,
            request,
            self._store(m, "projection", projection_write, request.address),
            self._store(m, "vector", vector_write, request.address),
        )

        return m

    def _scatter(self, m: Module, write, source) -> None:
        """Turn the write of one element, if there is one, into that of a lane."""
        config = self.config
        lane = Signal(max(config.lane_bits, 1))
        with m.If(source.en):
            m.d.comb += write.en.eq(1 << lane)
            with m.If(source.lanes):
                m.d.comb += [
                    lane.eq(source.element[: config.lane_bits]),
                    write.address.eq(source.element[config.lane_bits :]),
                ]
            with m.Else():
                # The upper bits are the query row.
                upper = len(source.element) - config.query_bits
                m.d.comb += [
                    lane.eq(Cat(source.element[: config.spread_bits], source.element[upper:])),
                    write.address.eq(source.element[config.spread_bits : upper]),
                ]
            m.d.comb += [value.eq(source.data) for value in write.data]

    def _store(self, m: Module, half: str, write, address: Value) -> list:
        """Write to the memories of a half; return what they read from ``address``."""
        held = Signal.like(write, name=f"{half}_write", reset_less=True)
        en = Signal.like(write.en, name=f"{half}_en")
        m.d.sync += [held.eq(write), en.eq(write.en)]
        read = []
        for lane in range(self.config.rows):
            m.submodules[f"{half}_{lane}"] = storage = SimpleMemory(
                signed(16), self.config.activation_depth
            )
            m.d.comb += [
                storage.w.en.eq(en[lane]),
                storage.w.address.eq(held.address),
                storage.w.data.eq(held.data[lane]),
                storage.read.address.eq(address),
            ]
            read.append(storage.read.data)
        return read

    def _gather(self, m: Module, request, projection: list, vector: list) -> None:
        """Choose half and lane of what the memories give."""
        # Cycles 1 and 2: memory. Cycle 3: from wherever the memories are. Cycle 4: half.
        for number in range(MEMORY_READ_LATENCY + 1):
            later = Signal.like(request, name=f"request_{number}", reset_less=True)
            m.d.sync += later.eq(request)
            request = later
        projection = [delay(m, lane, 1, f"projection_{i}") for i, lane in enumerate(projection)]
        vector = [delay(m, lane, 1, f"vector_{i}") for i, lane in enumerate(vector)]
        held = Signal.like(self.a, reset_less=True)
        for lane, pair in enumerate(zip(projection, vector, strict=True)):
            m.d.sync += held[lane].eq(Mux(request.half, pair[1], pair[0]))

        # Cycle 5: lane.
        late = Signal.like(request, reset_less=True)
        rows = Signal.like(held, reset_less=True)
        m.d.sync += late.eq(request)
        with m.If(late.single):
            if self.config.query_rows == 1:
                m.d.sync += rows.as_value().eq(held[late.lane].as_unsigned())
            else:
                m.d.sync += rows.as_value().eq(Cat(self._own_lanes(held, late.lane)))
        with m.Else():
            m.d.sync += rows.eq(held)
        m.d.comb += self.a.eq(rows)

    def _own_lanes(self, held, lane: Value) -> list[Value]:
        """Return what each query row takes: one of its own lanes."""
        width = 1 << self.config.spread_bits
        own = []
        for row in range(self.config.query_rows):
            lanes = [held[row * width + i].as_unsigned() for i in range(width)]
            own.append(Array(lanes)[lane] if width > 1 else lanes[0])
        return own
