"""Golden model of :class:`rtl_gen.units.pack.Pack`: quantise one cache row."""

import numpy as np

from mla_hw.golden.arithmetic import Ints, round_shift, saturate

__all__ = ["pack_row"]


def pack_row(latents: Ints, key: Ints, ratio: int, ratio_shift: int) -> tuple[Ints, Ints, int, int]:
    """Quantise latents and RoPE key to int8 with one dynamic scale.

    Parameters
    ----------
    latents : [kv_lora_rank] int16
    key : [qk_rope_head_dim] int16
    ratio, ratio_shift : int
        The key is first brought to the unit of the latents: ``key * ratio >> ratio_shift``;
        ratio 0 to 32767, ratio_shift 0 to 31.

    Returns
    -------
    latents, key : int8, symmetric
    scale : int
        Largest magnitude of both, 1 to 32767: a stored 127 stands for ``scale``.
    saturated : int
        Key elements that met the 16-bit limit after the ratio. The bytes cannot saturate: no
        magnitude exceeds the scale, and the inverse is rounded down.
    """
    key, saturated = saturate(round_shift(key * ratio, ratio_shift), 16)
    both = np.concatenate([latents, key])
    scale = max(1, int(np.abs(both).max()))
    n = 15 - scale.bit_length()
    inverse = (127 << 22) // (scale << n)  # in (127 * 2^7, 127 * 2^8]
    packed, _ = saturate(round_shift(both * inverse, 22 - n), 8)
    return packed[: len(latents)], packed[len(latents) :], scale, saturated
