"""Core configurations for unit tests."""

from mla_hw.hardware import CoreConfig

__all__ = ["EACH", "ODD", "PRODUCTS", "SEVERAL", "SMALL", "TOKENS", "WIDE", "small_core"]


def small_core(**overrides) -> CoreConfig:
    """Return a core that simulates in seconds; keywords replace its fields."""
    fields = {
        "rows": 2,
        "columns": 4,
        "port_bytes": 8,
        "tile_tokens": 16,
        "accumulator_lanes": 2,
        "outstanding_reads": 4,
        "multiplier": "portable",
        "acc_width": 36,
        "kv_lora_rank": 10,
        "qk_rope_head_dim": 6,
        "activation_depth": 128,
        "scratch_depth": 64,
        "heads": 4,
        "ring_blocks": 8,
        "output_words": 32,
        "weight_fifo_depth": 64,
        "program_depth": 64,
        "constants": 16,
    }
    return CoreConfig(**{**fields, **overrides})


SMALL = small_core()
#: Nothing that need not be a power of two is one; fewer accumulator lanes than rows.
ODD = small_core(
    rows=3,
    accumulator_lanes=1,
    heads=6,
    kv_lora_rank=7,
    qk_rope_head_dim=2,
    ring_blocks=7,
    activation_depth=100,
    tile_tokens=12,
)
#: More columns than rows, several accumulator slots, words wider than the port.
WIDE = small_core(
    rows=4,
    columns=8,
    port_bytes=4,
    accumulator_lanes=2,
    heads=8,
    kv_lora_rank=16,
    qk_rope_head_dim=8,
    ring_blocks=4,
)
#: Three query rows of two lanes each, and a lane that none of them has.
SEVERAL = small_core(rows=7, accumulator_lanes=1, heads=7, query_rows=3, activation_depth=100)
#: As many query rows as rows.
EACH = small_core(rows=4, accumulator_lanes=2, query_rows=4, port_bytes=16)
#: Product rows beside the ring.
PRODUCTS = small_core(product_blocks=5, product_words=2)
#: The same with a token's value and key, neither of which fills its words; odd rows.
TOKENS = small_core(
    rows=3,
    accumulator_lanes=1,
    heads=3,
    product_blocks=5,
    product_words=4,
    product_values=6,
    product_keys=7,
)
