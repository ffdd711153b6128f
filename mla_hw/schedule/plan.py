"""What all parts of a schedule share: the layer, the hardware, and how heads are divided."""

from mla_hw.config import ModelConfig
from mla_hw.golden.activation_buffer import row_offset
from mla_hw.hardware import HardwareConfig, spread_bits, tile_limit
from mla_hw.schedule.dimension import named
from mla_hw.schedule.placement import Buffer
from mla_hw.schedule.schedule import At, Event, OperandRows

__all__ = ["DRAINED", "LOADED", "Plan"]

#: From array to array: the array starts a product before the one ahead of it has left, so one
#: that reads what the other makes has to wait.
DRAINED = Event("drained")
#: From reader to array: what the activation buffer gets from memory.
LOADED = Event("loaded")


class Plan:
    """A layer on an array, with a number of head groups per pass over the cache.

    Integers know the settings that they come from (:class:`~mla_hw.schedule.dimension.Dimension`).

    Parameters
    ----------
    config : ModelConfig
    hardware : HardwareConfig
    pass_groups : int
        Groups of ``rows`` heads per pass.
    query_rows : int
        Query rows that share the weight stream.
    scheme : str
        One of :data:`~mla_hw.schedule.SCHEMES`.

    Attributes
    ----------
    constants : dict
        Index of every 32-bit layer constant.
    lane_bits, spread_bits : int
        Bits of the lane within an element's address, by layout.
    load_bits : int
        Bits of the lane among those of all query rows.
    """

    def __init__(
        self,
        config: ModelConfig,
        hardware: HardwareConfig,
        pass_groups: int,
        query_rows: int = 1,
        scheme: str = "absorb",
    ) -> None:
        self.config, self.hardware = named(config), named(hardware)
        self.pass_groups = pass_groups
        self.query_rows = query_rows
        self.scheme = scheme
        self.lane_bits = (hardware.rows - 1).bit_length()
        self.spread_bits = spread_bits(hardware.rows, query_rows)
        self.load_bits = self.spread_bits + (query_rows - 1).bit_length()
        self.constants = {name: index for index, name in enumerate(self._constant_names())}

    @property
    def passes(self) -> tuple[range, ...]:
        """Heads of each pass."""
        heads = int(self.config.num_attention_heads)
        # Keys and values are made of one head at a time, whose products take one row of the array.
        width = 1 if self.scheme == "naive" else int(self.pass_groups * self.hardware.rows)
        return tuple(range(start, min(start + width, heads)) for start in range(0, heads, width))

    @property
    def compressed(self) -> bool:
        """Whether queries come from a compressed vector."""
        return self.config.q_lora_rank is not None

    @property
    def query(self) -> tuple[str, str]:
        """Phase of the queries' projections, and the buffer that they come from."""
        return ("q_b", "c_q") if self.compressed else ("q", "x")

    @property
    def query_inputs(self) -> int:
        """Elements that queries are projected from."""
        return (
            self.config.hidden_size if self.config.q_lora_rank is None else self.config.q_lora_rank
        )

    @property
    def projections(self) -> tuple[str, ...]:
        """Tensors that projections make, in the order of execution."""
        first = ("q_down",) if self.compressed else ()
        middle = {
            "absorb": ("q_nope", "q_lat", "o"),
            "reuse": ("q_lat", "o"),
            "recompute": ("q_lat", "o"),
            "naive": ("q_nope",),
        }[self.scheme]
        return (*first, "kv_latent", "k_pe", "q_pe", *middle, "y")

    def _constant_names(self) -> tuple[str, ...]:
        # Epsilon takes two words.
        inner = ("epsilon_q", "epsilon_q+") if self.compressed else ()
        products = ("products",) if self.products else ()
        return (
            *self.projections,
            *("score", "context", "key", "epsilon_kv", "epsilon_kv+"),
            *inner,
            *products,
        )

    @property
    def operands(self) -> tuple[OperandRows, ...]:
        """Weights that the array does not take as a stream."""
        config, heads = self.config, range(int(self.config.num_attention_heads))
        nope, kv = config.qk_nope_head_dim, config.kv_lora_rank
        if self.scheme == "naive":
            parts = (("values", config.v_head_dim), ("keys", nope))
            return tuple(
                self._operand(name, head, rows, kv) for head in heads for name, rows in parts
            )
        if self.scheme == "recompute":
            return (
                *(self._operand("W_UQ", head, self.query_inputs, nope) for head in heads),
                *(self._operand("W_UK", head, nope, kv, ring=True) for head in heads),
            )
        return ()

    def _operand(
        self, name: str, head: int, rows: int, steps: int, *, ring: bool = False
    ) -> OperandRows:
        beats = rows * self.row_beats if ring else self.row_groups(rows) * self.group_beats(steps)
        return OperandRows(
            projection=name, head=head, rows=rows, steps=steps, ring=ring, beats=beats
        )

    @property
    def products(self) -> dict[str, int]:
        """Sizes of the product rows: those of a tile, or a word for each input of the queries."""
        config, columns = self.config, self.hardware.columns
        if self.scheme == "naive":
            words = -(-(config.v_head_dim + config.qk_nope_head_dim) // columns)
            return {
                "product_blocks": -(-self.tile_limit // columns),
                # A power of two, so that an element's address needs no product.
                "product_words": words + ((1 << int(words - 1).bit_length()) - int(words)),
                "product_values": config.v_head_dim,
                "product_keys": config.qk_nope_head_dim,
            }
        if self.scheme == "recompute":
            return {"product_blocks": -(-self.query_inputs // columns), "product_words": 1}
        return {}

    @property
    def product_bits(self) -> int:
        """Bits of the channel within an element address of the product rows."""
        return int(self.products["product_words"] * self.hardware.columns - 1).bit_length()

    def row_groups(self, rows: int) -> int:
        """Return how many times the array's rows it takes for so many rows of operands."""
        return -(-rows // self.hardware.rows)

    def group_beats(self, steps: int) -> int:
        """Return the beats of operands for all lanes, one byte each."""
        return -(-(steps << self.lane_bits) // self.hardware.port_bytes)

    @property
    def token_words(self) -> int:
        """Words of C bytes of a cached token, without its scale."""
        columns = self.hardware.columns
        return -(-self.config.kv_lora_rank // columns) - (-self.config.qk_rope_head_dim // columns)

    @property
    def row_beats(self) -> int:
        """Beats of the memory port per cache row."""
        columns, port = self.hardware.columns, self.hardware.port_bytes
        unit = max(port, columns)
        return -(-(self.token_words * columns + 2) // unit) * unit // port

    @property
    def tile_limit(self) -> int:
        """Tokens of the longest tile."""
        return tile_limit(self.hardware.tile_tokens)

    @property
    def all_groups(self) -> int:
        """Groups of ``rows`` heads in all passes."""
        return -(-self.config.num_attention_heads // self.hardware.rows)

    def of_row(self, row: int) -> str:
        """Name a query row where there are several."""
        return f" of row {row}" if self.query_rows > 1 else ""

    def groups(self, heads: range) -> list[range]:
        """Divide heads by the array's rows."""
        rows = int(self.hardware.rows)
        return [heads[start : start + rows] for start in range(0, len(heads), rows)]

    def buffers(self) -> list[Buffer]:
        """All tensors that are kept in on-chip memories, not placed yet."""
        config, groups = self.config, self.pass_groups
        heads, all_groups = config.num_attention_heads, self.all_groups

        def weights(*parts: tuple[int, int]) -> Buffer:
            words = sum(self.row_groups(count) * steps for count, steps in parts)
            return lanes("weights", "projection", words)

        def spread(name: str, memory: str, elements: int) -> Buffer:
            words = -(-elements >> self.spread_bits)
            return Buffer(name=name, memory=memory, layout="spread", words=words)

        def lanes(name: str, memory: str, words: int) -> Buffer:
            return Buffer(name=name, memory=memory, layout="lanes", words=words)

        # Spread, query rows lie side by side; else one behind the other.
        rows = self.query_rows

        def linear(name: str, elements: int) -> Buffer:
            return Buffer(name=name, memory="scratch", layout="linear", words=rows * elements)

        pass_heads = max(map(len, self.passes))
        nope, kv = config.qk_nope_head_dim, config.kv_lora_rank
        buffers = [
            spread("x", "projection", config.hidden_size),
            lanes("P", "vector", groups * self.tile_limit),
            linear("kv_latent", config.kv_lora_rank),
            linear("k_pe", config.qk_rope_head_dim),
            linear("q_pe", heads * config.qk_rope_head_dim),
        ]
        if self.scheme == "naive":
            buffers += [
                weights((config.v_head_dim, kv), (nope, kv)),
                lanes("q_nope", "projection", nope),
                lanes("q_rope", "vector", config.qk_rope_head_dim),
                lanes("o", "vector", heads * config.v_head_dim),
            ]
        else:
            buffers += [
                lanes("q_lat", "projection", rows * groups * kv),
                spread("o", "projection", heads * config.v_head_dim),
                lanes("q_rope", "vector", rows * all_groups * config.qk_rope_head_dim),
                lanes("ctx", "vector", groups * kv)
                if rows == 1
                else spread("ctx", "vector", pass_heads * kv),
            ]
        if self.scheme == "absorb":
            buffers.append(spread("q_nope", "projection", heads * nope))
        if self.scheme == "recompute":
            buffers.append(weights((self.query_inputs, nope)))
        if config.q_lora_rank is not None:
            buffers += [
                spread("c_q", "vector", config.q_lora_rank),
                linear("q_down", config.q_lora_rank),
            ]
        return buffers

    def lanes(self, buffer: str, word: int, lane: int = 0, strides: tuple[int, ...] = ()) -> At:
        """Return an element of a buffer whose heads have a lane each."""
        return At(buffer, (word << self.lane_bits) + lane, strides)

    def spread(self, buffer: str, element: int, row: int, strides: tuple[int, ...] = ()) -> At:
        """Return an element of a query row of a buffer of the layout *spread*."""
        return At(buffer, element + row_offset(self.query_rows, row), strides)

    def row_distance(self, target: str, channels: int) -> int:
        """Return the distance between the query rows' destinations of a projection."""
        if self.query_rows == 1:
            return 0
        return {
            "scratch": channels,
            "spread": row_offset(self.query_rows, 1),
            "lanes": self.pass_groups * self.config.kv_lora_rank << self.lane_bits,
            "output": self.y_beats * self.hardware.port_bytes // 2,
        }[target]

    def table_entry(self, row: int) -> int:
        """Return the first entry of a query row's RoPE row."""
        return row * (self.config.qk_rope_head_dim // 2)

    @property
    def x_elements(self) -> int:
        """Elements in memory that x takes, all query rows together."""
        if self.query_rows == 1:
            return self.config.hidden_size
        return -(-self.config.hidden_size >> self.spread_bits) << self.load_bits

    @property
    def y_beats(self) -> int:
        """Beats of a query row's y."""
        return -(-2 * self.config.hidden_size // self.hardware.port_bytes)
