"""Scheduling of ``absorb`` decode: tiling, head groups and passes, order, placement."""

from collections.abc import Iterable
from dataclasses import dataclass

from mla_hw.config import ModelConfig
from mla_hw.errors import CapacityError, ConfigError, ScheduleError
from mla_hw.fields import check_positive_int
from mla_hw.golden.arithmetic import symmetric_limit
from mla_hw.hardware import BURST_BEATS, CoreConfig, HardwareConfig, tile_limit
from mla_hw.schedule.limits import (
    check_quantities,
    first_exceeded,
    layer_quantities,
    pass_quantities,
    program_quantities,
    row_beats,
)
from mla_hw.schedule.placement import Buffer, Placement, place
from mla_hw.schedule.schedule import Event, Loop, Schedule, Step, WeightTiles

__all__ = ["schedule_layer"]

_RING_UNIT = 2048  # bytes per bank: the 8-bit shape of an 18-kbit block RAM
_WEIGHT_FIFO_BURSTS = 8
#: From array to array: the array starts a product before the one ahead of it has left, so one
#: that reads what the other makes has to wait.
_DRAINED = Event("drained")


def schedule_layer(
    config: ModelConfig,
    hardware: HardwareConfig,
    *,
    multiplier: str = "portable",
    pass_groups: int | None = None,
) -> Schedule:
    """Schedule one layer.

    Parameters
    ----------
    config : ModelConfig
    hardware : HardwareConfig
    multiplier : str
        What ``multiplier: auto`` stands for on the board's device.
    pass_groups : int or None
        Head groups per pass over the cache; None takes as many as the activation buffer holds.

    Raises
    ------
    CapacityError
        When the activation buffer cannot hold one group of heads.
    ConfigError
        When a dimension is beyond what the core counts to.
    """
    check_quantities(layer_quantities(config, hardware))
    groups = -(-config.num_attention_heads // hardware.rows)
    if pass_groups is None:
        candidates: Iterable[int] = range(groups, 0, -1)
    else:
        candidates = (min(check_positive_int("pass_groups", pass_groups), groups),)
    # Equal passes: no more groups than the number of passes asks for.
    sizes = dict.fromkeys(-(-groups // -(-groups // count)) for count in candidates)
    problem: ScheduleError | ConfigError | None = None
    for count in sizes:
        scheduler = _Scheduler(config, hardware, count)
        placement = scheduler.place()
        need = 4 * hardware.rows * max(placement.depth("projection"), placement.depth("vector"))
        if need > hardware.activation_bytes:
            problem = CapacityError(
                need,
                hardware.activation_bytes,
                "bytes",
                "activation buffer",
                "raise activation_bytes (--hardware)",
            )
        elif exceeded := first_exceeded(pass_quantities(config, hardware, placement, count)):
            problem = ConfigError(str(exceeded))
        else:
            # More passes only make the program longer.
            check_quantities(program_quantities(config, hardware, count))
            return scheduler.build(placement, multiplier)
    assert problem is not None, "there is at least one group"
    raise problem


@dataclass(slots=True)
class _Step:
    first: int
    last: int


class _Scheduler:
    """Collects steps in program order; buffers are placed by when they are alive."""

    def __init__(self, config: ModelConfig, hardware: HardwareConfig, pass_groups: int) -> None:
        self.config, self.hardware = config, hardware
        self.pass_groups = pass_groups
        self.lane_bits = (hardware.rows - 1).bit_length()
        self.spread_bits = hardware.rows.bit_length() - 1
        heads, width = config.num_attention_heads, pass_groups * hardware.rows
        self.passes = tuple(
            range(start, min(start + width, heads)) for start in range(0, heads, width)
        )
        self.constants = self._constants()
        self.streams: list[tuple[WeightTiles, ...]] = []

    def _constants(self) -> dict[str, int]:
        """Index of every 32-bit layer constant; epsilon takes two."""
        names = [*self.projection_names(), "score", "context", "key", "epsilon_kv", "epsilon_kv+"]
        if self.config.q_lora_rank is not None:
            names += ["epsilon_q", "epsilon_q+"]
        return {name: index for index, name in enumerate(names)}

    def projection_names(self) -> list[str]:
        first = ["q_down"] if self.config.q_lora_rank is not None else []
        return [*first, "kv_latent", "k_pe", "q_pe", "q_nope", "q_lat", "o", "y"]

    # Placement. Times: 0 load x, 1 q_a, 2 kv_a, 3 q_pe, 4 q_nope, then per pass 5 uk, 6 scores,
    # 7 context, 8 normalize and uv (+ 4 per pass), then y.

    def place(self) -> Placement:
        config, groups = self.config, self.pass_groups
        heads, final = config.num_attention_heads, 5 + 4 * len(self.passes)
        all_groups = -(-heads // self.hardware.rows)
        compressed = config.q_lora_rank is not None

        def spread(elements: int) -> int:
            return -(-elements >> self.spread_bits)

        spec = [
            ("x", "projection", "spread", spread(config.hidden_size), 0, 2 if compressed else 4),
            (
                "q_nope",
                "projection",
                "spread",
                spread(heads * config.qk_nope_head_dim),
                4,
                final - 4,
            ),
            ("q_lat", "projection", "lanes", groups * config.kv_lora_rank, 5, final - 3),
            ("o", "projection", "spread", spread(heads * config.v_head_dim), 8, final),
            ("q_rope", "vector", "lanes", all_groups * config.qk_rope_head_dim, 3, final - 3),
            ("P", "vector", "lanes", groups * tile_limit(self.hardware.tile_tokens), 6, final - 2),
            ("ctx", "vector", "lanes", groups * config.kv_lora_rank, 8, final - 1),
            ("kv_latent", "scratch", "linear", config.kv_lora_rank, 0, final),
            ("k_pe", "scratch", "linear", config.qk_rope_head_dim, 0, final),
            ("q_pe", "scratch", "linear", heads * config.qk_rope_head_dim, 0, final),
        ]
        if config.q_lora_rank is not None:
            spec += [
                ("c_q", "vector", "spread", spread(config.q_lora_rank), 1, 4),
                ("q_down", "scratch", "linear", config.q_lora_rank, 0, final),
            ]
        return place(
            Buffer(name=name, memory=memory, layout=layout, words=words, first=first, last=last)
            for name, memory, layout, words, first, last in spec
        )

    def build(self, placement: Placement, multiplier: str) -> Schedule:
        self.placement = placement
        body = self._query_and_row()
        for number, heads in enumerate(self.passes):
            body += self._pass(number, heads)
        body += self._output()
        core = self._core(multiplier, body)
        return Schedule(
            core=core,
            placement=placement,
            body=tuple(body),
            streams=tuple(self.streams),
            constants=self.constants,
            passes=self.passes,
        )

    def _core(self, multiplier: str, body: list[Step | Loop]) -> CoreConfig:
        config, hardware = self.config, self.hardware
        steps = max(
            config.hidden_size,
            config.q_lora_rank or 0,
            config.cache_row,
            config.num_attention_heads * config.v_head_dim,
            tile_limit(hardware.tile_tokens),
        )
        token_words = -(-config.kv_lora_rank // hardware.columns) + -(
            -config.qk_rope_head_dim // hardware.columns
        )
        block_bytes = token_words * hardware.columns
        # One tile that is read and half of the next one that comes in, or what the block RAM
        # that this takes anyway has room for.
        blocks = -(-tile_limit(hardware.tile_tokens) // hardware.columns)
        least = (blocks + -(-blocks // 2)) * block_bytes
        ring_blocks = max(-(-least // _RING_UNIT) * _RING_UNIT // block_bytes, blocks + 1)
        ring_blocks = min(ring_blocks, 4 * blocks)
        depth = max(self.placement.depth("projection"), self.placement.depth("vector"))
        y_bytes = 2 * config.hidden_size
        return CoreConfig(
            rows=hardware.rows,
            columns=hardware.columns,
            port_bytes=hardware.port_bytes,
            tile_tokens=hardware.tile_tokens,
            accumulator_lanes=hardware.lanes,
            outstanding_reads=hardware.outstanding_reads,
            multiplier=multiplier if hardware.multiplier == "auto" else hardware.multiplier,
            acc_width=(symmetric_limit(16) * symmetric_limit(8) * steps).bit_length() + 1,
            kv_lora_rank=config.kv_lora_rank,
            qk_rope_head_dim=config.qk_rope_head_dim,
            activation_depth=depth,
            scratch_depth=self.placement.depth("scratch"),
            heads=self.pass_groups * hardware.rows,
            ring_blocks=ring_blocks,
            output_words=-(-y_bytes // hardware.port_bytes),
            weight_fifo_depth=_WEIGHT_FIFO_BURSTS * BURST_BEATS,
            program_depth=_count(body) + 1,
            constants=len(self.constants),
        )

    # Steps.

    def _stream(self, phase: str, *tiles: WeightTiles) -> Step:
        columns, port = self.hardware.columns, self.hardware.port_bytes
        size = sum(tile.bytes(columns) for tile in tiles)
        beats = -(-size // port)
        self.streams.append(tiles)
        name = tiles[0].projection
        return Step(
            instruction="STREAM",
            phase=phase,
            what=f"weights of {name}: {size} bytes",
            fields={"n": beats, "k": (beats * port - size) // columns},
        )

    def _projection(
        self,
        phase: str,
        name: str,
        channels: int,
        steps: int,
        fields: dict[str, int | str],
        *,
        waits: tuple[Event, ...] = (),
        tells: tuple[Event, ...] = (),
    ) -> Step:
        return Step(
            instruction="MATMUL",
            phase=phase,
            what=f"{name}[{channels}] = W · {steps} steps",
            fields={
                "mode": "project",
                "constant": self.constants[name],
                "k": steps,
                "n": channels,
                "rows": 1,
                **fields,
            },
            waits=waits,
            tells=tells,
        )

    def _spread(self, name: str) -> int:
        return self.placement[name].address << self.spread_bits

    def _lanes(self, name: str) -> int:
        return self.placement[name].address << self.lane_bits

    def _whole(
        self,
        phase: str,
        name: str,
        channels: int,
        source: str,
        target: dict[str, int | str],
        *,
        waits: tuple[Event, ...] = (),
        tells: tuple[Event, ...] = (),
    ) -> list[Step | Loop]:
        """Stream and multiply a projection of a spread vector."""
        half = self.placement[source].memory
        steps = {
            "x": self.config.hidden_size,
            "c_q": self.config.q_lora_rank or 0,
            "o": self.config.num_attention_heads * self.config.v_head_dim,
        }[source]
        tiles = WeightTiles(projection=name, head=None, channels=channels, steps=steps)
        fields = {"source": f"{half}_spread", "a": self._spread(source), **target}
        return [
            self._stream(phase, tiles),
            self._projection(phase, name, channels, steps, fields, waits=waits, tells=tells),
        ]

    def _scratch(self, name: str) -> dict[str, int | str]:
        return {"target": "scratch", "c": self.placement[name].address}

    def _query_and_row(self) -> list[Step | Loop]:
        config, port = self.config, self.hardware.port_bytes
        rope, heads = config.qk_rope_head_dim, config.num_attention_heads
        rope_beats = -(-2 * rope // port)
        body: list[Step | Loop] = [
            Step(
                instruction="LOAD",
                phase="",
                what="layer constants",
                fields={
                    "target": "constants",
                    "base": "constants",
                    "k": len(self.constants),
                    "n": -(-4 * len(self.constants) // port),
                },
            ),
            Step(
                instruction="LOAD",
                phase="",
                what="RoPE row of the position",
                fields={
                    "target": "table",
                    "base": "rope",
                    "k": rope // 2,
                    "n": rope_beats,
                    "a_stride2": rope_beats,
                },
            ),
            Step(
                instruction="LOAD",
                phase="",
                what=f"x[{config.hidden_size}]",
                fields={
                    "target": "spread",
                    "base": "x",
                    "k": config.hidden_size,
                    "n": -(-2 * config.hidden_size // port),
                    "c": self._spread("x"),
                },
                tells=(Event("x"),),
            ),
        ]
        loaded: tuple[Event, ...] = (Event("x"),)
        query = "x"
        if config.q_lora_rank is not None:
            rank = config.q_lora_rank
            body += self._whole(
                "q_a",
                "q_down",
                rank,
                "x",
                self._scratch("q_down"),
                waits=loaded,
                tells=(Event("q_down"),),
            )
            loaded = ()
            query = "c_q"
        body += self._whole(
            "kv_a", "kv_latent", config.kv_lora_rank, "x", self._scratch("kv_latent"), waits=loaded
        )
        body += self._whole("kv_a", "k_pe", rope, "x", self._scratch("k_pe"), tells=(Event("kv"),))
        vector: list[Step | Loop] = []
        if config.q_lora_rank is not None:
            vector.append(
                Step(
                    instruction="NORM",
                    phase="q_a",
                    what="c_q = rmsnorm(q_down)",
                    fields={
                        "target": "spread",
                        "constant": self.constants["epsilon_q"],
                        "k": config.q_lora_rank,
                        "a": self.placement["q_down"].address,
                        "c": self._spread("c_q"),
                    },
                    waits=(Event("q_down"),),
                    tells=(Event("c_q"),),
                )
            )
        vector += [
            Step(
                instruction="NORM",
                phase="kv_a",
                what="c_kv = rmsnorm(kv_latent)",
                fields={
                    "target": "row",
                    "constant": self.constants["epsilon_kv"],
                    "k": config.kv_lora_rank,
                    "a": self.placement["kv_latent"].address,
                },
                waits=(Event("kv"),),
            ),
            Step(
                instruction="ROPE",
                phase="kv_a",
                what="k_rope = rope(k_pe)",
                fields={
                    "target": "row",
                    "k": rope,
                    "n": 1,
                    "a": self.placement["k_pe"].address,
                    "c": config.kv_lora_rank,
                },
            ),
            Step(
                instruction="PACK",
                phase="kv_a",
                what="quantise the cache row",
                fields={
                    "constant": self.constants["key"],
                    "k": config.kv_lora_rank,
                    "n": rope,
                },
                tells=(Event("row"),),
            ),
            Step(
                instruction="STORE",
                phase="kv_a",
                what="append the row to the cache",
                fields={
                    "target": "row",
                    "base": "cache",
                    "n": row_beats(config, self.hardware),
                    "a_stride2": row_beats(config, self.hardware),
                },
                waits=(Event("row"),),
                tells=(Event("stored"),),
            ),
        ]
        body += vector
        phase = "q" if query == "x" else "q_b"
        waits = (Event("c_q"),) if query == "c_q" else ()
        body += self._whole(
            phase,
            "q_pe",
            heads * rope,
            query,
            self._scratch("q_pe"),
            waits=waits,
            tells=(Event("q_pe"),),
        )
        body.append(
            Step(
                instruction="ROPE",
                phase=phase,
                what="q_rope = rope(q_pe)",
                fields={
                    "target": "lanes",
                    "k": rope,
                    "n": heads,
                    "a": self.placement["q_pe"].address,
                    "c": self._lanes("q_rope"),
                },
                waits=(Event("q_pe"),),
                tells=(Event("q_rope"),),
            )
        )
        body += self._whole(
            phase,
            "q_nope",
            heads * config.qk_nope_head_dim,
            query,
            {"target": "spread", "c": self._spread("q_nope")},
            tells=(_DRAINED,),
        )
        return body

    def _groups(self, heads: range) -> list[range]:
        return [heads[i : i + self.hardware.rows] for i in range(0, len(heads), self.hardware.rows)]

    def _pass(self, number: int, heads: range) -> list[Step | Loop]:
        return [
            *self._absorb(number, heads),
            *self._attention(number, heads),
            *self._values(number, heads),
        ]

    def _absorb(self, number: int, heads: range) -> list[Step | Loop]:
        """q_lat[h] = W_UK[h]^T q_nope[h], head by head."""
        config = self.config
        nope, kv = config.qk_nope_head_dim, config.kv_lora_rank
        tiles = (
            WeightTiles(projection="q_lat", head=head, channels=kv, steps=nope) for head in heads
        )
        body: list[Step | Loop] = [self._stream("uk", *tiles)]
        groups = self._groups(heads)
        for group, members in enumerate(groups):
            step = self._projection(
                "uk",
                "q_lat",
                kv,
                nope,
                {
                    "source": "projection_spread",
                    "target": "lanes",
                    "a": self._spread("q_nope") + members[0] * nope,
                    "a_stride0": nope,
                    "c": self._lanes("q_lat") + (group * kv << self.lane_bits),
                    "c_stride0": 1,
                },
                waits=(Event(_DRAINED.name, "first"),) if number == group == 0 else (),
                tells=(Event(_DRAINED.name, "last"),) if group + 1 == len(groups) else (),
            )
            body.append(Loop(body=(step,), count=len(members), index="row"))
        return body

    def _attention(self, number: int, heads: range) -> list[Step | Loop]:
        """Scores of the next group before the context of this one, so that softmax is hidden."""
        groups = self._groups(heads)
        tile_beats = row_beats(self.config, self.hardware) * self.hardware.tile_tokens
        first_pass = number == 0
        ready: tuple[Event, ...] = (Event(_DRAINED.name, "first"),)
        if first_pass:
            ready += (Event("q_rope", "first"),)
        body: list[Step | Loop] = [
            Step(
                instruction="TILE",
                phase="attention",
                what="cache rows of the tile",
                fields={"base": "cache", "tile_n": 1, "a_stride0": tile_beats},
                waits=(Event("stored", "first"),) if first_pass else (),
            )
        ]
        body.append(self._score(0, groups[0], waits=ready))
        for group, members in enumerate(groups):
            if group + 1 < len(groups):
                body.append(self._score(group + 1, groups[group + 1]))
            body += self._softmax_and_context(group, members, last=group + 1 == len(groups))
        return [Loop(body=tuple(body), count=None, index="tile")]

    def _score(self, group: int, members: range, *, waits: tuple[Event, ...] = ()) -> Step:
        config, hardware = self.config, self.hardware
        rope_group = members[0] // hardware.rows
        return Step(
            instruction="MATMUL",
            phase="attention",
            what=f"scores of heads {members[0]} … {members[-1]}",
            fields={
                "mode": "score",
                "constant": self.constants["score"],
                "rows": len(members),
                "group": group,
                "tile_n": 1,
                "source": "projection_lanes",
                "a": self._lanes("q_lat") + (group * config.kv_lora_rank << self.lane_bits),
                "b": self._lanes("q_rope")
                + (rope_group * config.qk_rope_head_dim << self.lane_bits),
                "c": group * hardware.rows * tile_limit(hardware.tile_tokens),
            },
            waits=waits,
            tells=(Event("scores"),),
        )

    def _softmax_and_context(self, group: int, members: range, *, last: bool) -> list[Step | Loop]:
        config, hardware = self.config, self.hardware
        probabilities = self._lanes("P") + (
            group * tile_limit(hardware.tile_tokens) << self.lane_bits
        )
        heads = f"heads {members[0]} … {members[-1]}"
        return [
            Step(
                instruction="SOFTMAX",
                phase="attention",
                what=f"probabilities of {heads}",
                fields={
                    "tile_n": 1,
                    "rows": len(members),
                    "group": group,
                    "a": group * hardware.rows * tile_limit(hardware.tile_tokens),
                    "c": probabilities,
                },
                waits=(Event("scores"),),
                tells=(Event("probabilities"),),
            ),
            Step(
                instruction="MATMUL",
                phase="attention",
                what=f"context of {heads}",
                fields={
                    "mode": "context",
                    "source": "vector_lanes",
                    "tile_k": 1,
                    "rows": len(members),
                    "group": group,
                    "n": config.kv_lora_rank,
                    "a": probabilities,
                    "c": group * hardware.rows // hardware.lanes * config.kv_lora_rank,
                    "release": int(last),
                },
                waits=(Event("probabilities"),),
                tells=(Event("context", "last"),) if last else (),
            ),
        ]

    def _values(self, number: int, heads: range) -> list[Step | Loop]:
        """ctx[h] = context / sum, then o[h] = W_UV[h] ctx[h], head by head."""
        config, hardware = self.config, self.hardware
        kv, v_dim, lanes = config.kv_lora_rank, config.v_head_dim, hardware.lanes
        lane_bits = (lanes - 1).bit_length()
        tiles = (WeightTiles(projection="o", head=head, channels=v_dim, steps=kv) for head in heads)
        body: list[Step | Loop] = [self._stream("uv", *tiles)]
        last_pass = number + 1 == len(self.passes)
        for start in range(0, len(heads), lanes):
            last = last_pass and start + lanes >= len(heads)
            members = heads[start : start + lanes]
            group, row = divmod(start, hardware.rows)
            ctx = self._lanes("ctx") + (group * kv << self.lane_bits) + row
            normalize = Step(
                instruction="NORMALIZE",
                phase="uv",
                what=f"ctx of heads {members[0]} … {members[-1]}",
                fields={
                    "constant": self.constants["context"],
                    "k": kv,
                    "a": start // lanes * kv << lane_bits,
                    "a_stride0": 1,
                    "b": (group << self.lane_bits) + row,
                    "b_stride0": 1,
                    "c": ctx,
                    "c_stride0": 1,
                },
                waits=(Event("context", "first"),) if start == 0 else (),
                tells=(Event("ctx"),),
            )
            project = self._projection(
                "uv",
                "o",
                v_dim,
                kv,
                {
                    "source": "vector_lanes",
                    "target": "spread",
                    "a": ctx,
                    "a_stride0": 1,
                    "c": self._spread("o") + members[0] * v_dim,
                    "c_stride0": v_dim,
                },
                waits=(Event("ctx"),),
                tells=(Event(_DRAINED.name, "last"),) if last else (),
            )
            body.append(Loop(body=(normalize, project), count=len(members), index="row"))
        return body

    def _output(self) -> list[Step | Loop]:
        hidden, port = self.config.hidden_size, self.hardware.port_bytes
        return [
            *self._whole(
                "o",
                "y",
                hidden,
                "o",
                {"target": "output", "c": 0},
                waits=(_DRAINED,),
                tells=(Event("y"),),
            ),
            Step(
                instruction="STORE",
                phase="o",
                what=f"y[{hidden}]",
                fields={"target": "output", "base": "y", "n": -(-2 * hidden // port)},
                waits=(Event("y"),),
            ),
        ]


def _count(body: tuple[Step | Loop, ...] | list[Step | Loop]) -> int:
    """Instructions that a body becomes."""
    return sum(_count(item.body) + 2 if isinstance(item, Loop) else 1 for item in body)
