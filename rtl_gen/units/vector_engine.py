"""Vector engine: norm, rope, softmax, normalize and pack with two multipliers."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from mla_hw.golden.context_accumulator import CONTEXT_BITS
from mla_hw.golden.score_unit import SCORE_BITS
from mla_hw.hardware import CoreConfig
from rtl_gen.control_layouts import short_opcodes
from rtl_gen.layouts import read_port_signature, vector_command_layout, vector_write_layout
from rtl_gen.pipeline import KEEP
from rtl_gen.units.context_accumulator import head_control_layout
from rtl_gen.units.multiplier import Multiplier
from rtl_gen.units.norm import Norm
from rtl_gen.units.normalize import Normalize
from rtl_gen.units.pack import Pack, packed_layout
from rtl_gen.units.rope import Rope
from rtl_gen.units.softmax import Softmax

__all__ = ["VectorEngine", "saturated_layout"]

_UNITS = {
    "NORM": Norm,
    "ROPE": Rope,
    "SOFTMAX": Softmax,
    "NORMALIZE": Normalize,
    "PACK": Pack,
}
#: Read ports of the engine, and their users.
_READERS = {
    "scratch": ("NORM", "ROPE"),
    "table": ("ROPE",),
    "constants": ("NORM", "NORMALIZE", "PACK"),
    "scores": ("SOFTMAX",),
    "scales": ("SOFTMAX",),
    "maxima": ("SOFTMAX",),
    "context": ("NORMALIZE",),
}


def saturated_layout() -> data.StructLayout:
    """Pulses, one per element that met a limit."""
    return data.StructLayout({"rope": 1, "normalize": 1, "pack": 1})


class VectorEngine(wiring.Component):
    """Execute NORM, ROPE, SOFTMAX, NORMALIZE and PACK, one at a time.

    Each instruction has a unit of its own; two multipliers are shared, as is the way to the
    activation buffer. Durations are :func:`mla_hw.cycles.vector_engine.vector_cycles`, whatever
    the data; the next command is accepted ``NEXT_COMMAND`` cycles after ``done`` at the earliest.

    Parameters
    ----------
    config : CoreConfig

    Members
    -------
    command : :py:`In(stream.Signature(vector_command_layout()))`
        The opcode is one of the five.
    done : :py:`Out(1)`
        Pulse in the cycle of the last write through ``o``, or one cycle after the last one through
        ``packed`` or ``control``.
    scratch : :py:`Out(read_port_signature(signed(16), config.scratch_depth))`
    table : :py:`Out(read_port_signature(unsigned(32), config.table_entries))`
        RoPE row: cosine in the low half, sine in the high half.
    constants : :py:`Out(read_port_signature(unsigned(32), config.constants))`
        Layer constants.
    scores, scales, maxima : :py:`Out(read_port_signature(…))`
        Memories of the score unit; see :class:`~rtl_gen.units.softmax.Softmax`.
    context : :py:`Out(read_port_signature(…))`
        Memory of the context accumulator; see :class:`~rtl_gen.units.normalize.Normalize`.
    o : :py:`Out(vector_write_layout())`
        To the vector half of the activation buffer.
    packed : :py:`Out(packed_layout(config))`
        Bytes of the cache row.
    control : :py:`Out(head_control_layout())`
        Shift controls, to the context accumulator.
    saturated : :py:`Out(saturated_layout())`
        Pulses for the counters.
    """

    command: stream.Interface
    done: Signal
    scratch: Any
    table: Any
    constants: Any
    scores: Any
    scales: Any
    maxima: Any
    context: Any
    o: data.View
    packed: data.View
    control: data.View
    saturated: data.View

    def __init__(self, config: CoreConfig) -> None:
        self.config = config
        heads = config.groups << config.lane_bits
        contexts = config.context_depth << config.context_lane_bits
        super().__init__({
            "command": In(stream.Signature(vector_command_layout())),
            "done": Out(1),
            "scratch": Out(read_port_signature(signed(16), config.scratch_depth)),
            "table": Out(read_port_signature(unsigned(32), config.table_entries)),
            "constants": Out(read_port_signature(unsigned(32), config.constants)),
            "scores": Out(read_port_signature(signed(SCORE_BITS), config.score_depth)),
            "scales": Out(read_port_signature(unsigned(16), config.groups * config.tile_limit)),
            "maxima": Out(read_port_signature(signed(SCORE_BITS), heads)),
            "context": Out(read_port_signature(signed(CONTEXT_BITS), contexts)),
            "o": Out(vector_write_layout()),
            "packed": Out(packed_layout(config)),
            "control": Out(head_control_layout()),
            "saturated": Out(saturated_layout()),
        })

    def elaborate(self, platform):
        m = Module()

        units: dict[str, Any] = {name: unit(self.config) for name, unit in _UNITS.items()}
        for name, unit in units.items():
            m.submodules[name.lower()] = unit
        active = self._dispatch(m, units)
        self._share_multipliers(m, units)

        for name, users in _READERS.items():
            port = getattr(self, name)
            for user in users:
                reader = getattr(units[user], name)
                m.d.comb += reader.data.eq(port.data)
                if len(users) == 1:
                    m.d.comb += port.address.eq(reader.address)
                with m.If(active[user]):
                    m.d.comb += port.address.eq(reader.address)
        wiring.connect(m, units["NORMALIZE"].totals, units["SOFTMAX"].totals)

        # The row being packed comes from NORM and ROPE.
        pack = units["PACK"]
        row = Signal.like(pack.row_i)
        m.d.comb += pack.row_i.eq(row)
        for name in ("NORM", "ROPE"):
            with m.If(active[name]):
                m.d.sync += row.eq(units[name].row)

        # What has several sources has a register. The others come a cycle earlier, and their
        # destinations may take it.
        o: Any = Signal(vector_write_layout())
        outputs = [
            unit.o.as_value() & active[name].replicate(len(o.as_value()))
            for name, unit in units.items()
            if hasattr(unit, "o")
        ]
        m.d.sync += o.eq(reduce(or_, outputs))
        m.d.comb += [
            self.o.eq(o),
            self.packed.eq(pack.packed),
            self.control.eq(units["SOFTMAX"].control),
            *(
                self.saturated[name].eq(units[name.upper()].saturated)
                for name, _ in saturated_layout()
            ),
        ]

        return m

    def _dispatch(self, m, units):
        """Hand each command to its unit; return, by name, which one has been at work last."""
        active = {name: Signal(name=f"active_{name.lower()}") for name in units}
        codes = short_opcodes(units)
        # The units lie far apart, so that each has a register of its own that says the same.
        busy = [Signal(name=f"busy_{name.lower()}", attrs=KEEP) for name in units]
        m.d.comb += self.command.ready.eq(~busy[0])
        for (name, unit), near in zip(units.items(), busy, strict=True):
            accept = self.command.valid & ~near
            selected = self.command.p.opcode[: len(codes[name])] == codes[name]
            m.d.comb += [
                unit.command.p.eq(self.command.p),
                unit.command.valid.eq(accept & selected),
            ]
            with m.If(self.done):
                m.d.sync += near.eq(0)
            with m.If(accept):
                m.d.sync += [near.eq(1), active[name].eq(selected)]

        m.d.sync += self.done.eq(Cat(unit.done for unit in units.values()).any())
        return active

    def _share_multipliers(self, m, units):
        """Join the operands: idle units keep theirs at 0."""
        for name in ("multiplier_0", "multiplier_1"):
            m.submodules[name] = multiplier = Multiplier(
                a_width=16, b_width=16, kind=self.config.multiplier
            )
            a, b = C(0, 16), C(0, 16)
            for unit in units.values():
                if (port := getattr(unit, name, None)) is not None:
                    a, b = a | port.a.as_unsigned(), b | port.b.as_unsigned()
                    m.d.comb += port.p.eq(multiplier.p)
            m.d.comb += [multiplier.a.eq(a), multiplier.b.eq(b)]
