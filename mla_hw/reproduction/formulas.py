"""Formulas that were fitted to the curves of arXiv 2506.02523; for checking only.

The paper prints none of them. They hold for DeepSeek-V3's layer without RoPE; one operation is one
multiply-accumulate, one access one element. ``L`` are cached tokens, ``B`` sequences. The figures
do not come from here but from counts of the graph (:mod:`mla_hw.reproduction.curves`).
"""

__all__ = [
    "TABLE1",
    "decode_accesses",
    "decode_operations",
    "energy_crossing",
    "order_operations",
    "prefill_accesses",
    "prefill_operations",
    "printed_order_operations",
    "traffic_crossing",
]

_H, _DM, _DQL, _DKL, _DH = 128, 7168, 1536, 512, 128
_DM_SCALED, _DH_SCALED = 4363, 77

#: Hidden size, channels of a query or key and of a value, parameters as printed, and in full.
TABLE1 = {
    "MLA": (7168, 128, 128, "174M", 174_063_616),
    "MHA_l": (7168, 128, 128, "470M", 469_762_048),
    "MHA_s": (4363, 77, 77, "172M", 172_006_912),
}

_OUTPUT = _H * _DKL * _DH + _H * _DH * _DM
_WEIGHTS = {
    "MHA_l": 4 * _H * _DM * _DH,
    "MHA_s": 4 * _H * _DM_SCALED * _DH_SCALED,
    "MLA_rc": _DM * (_DQL + _DKL) + _H * _DQL * _DH + _H * _DKL * _DH + _OUTPUT,
    "MLA_ru": _DM * (_DQL + _DKL) + _H * _DQL * _DKL + _OUTPUT,
}
#: MLA_rc applies the merged weight, too.
_LINEAR = {**_WEIGHTS, "MLA_rc": _WEIGHTS["MLA_ru"]}
_FIXED = {"MLA_rc": _H * _DQL * _DH * _DKL}
_HIDDEN = {"MHA_s": _DM_SCALED}
_PER_PAIR = {"MHA_l": 2 * _H * _DH, "MHA_s": 2 * _H * _DH_SCALED}
_PER_ROW = dict(_PER_PAIR)


def decode_operations(method: str, length: int) -> int:
    """Operations of Fig 3, decode."""
    pairs = (length + 1) * _PER_PAIR.get(method, 2 * _H * _DKL)
    return _LINEAR[method] + pairs + _FIXED.get(method, 0)


def decode_accesses(method: str, length: int) -> int:
    """Off-chip accesses of Fig 3, decode."""
    row = _PER_ROW.get(method, _DKL)
    return _WEIGHTS[method] + length * row + 2 * _HIDDEN.get(method, _DM) + 2 * row


def prefill_operations(method: str, length: int) -> int:
    """Operations of Fig 3, prefill."""
    pairs = length**2 * _PER_PAIR.get(method, 2 * _H * _DKL)
    return length * _LINEAR[method] + pairs + _FIXED.get(method, 0)


def prefill_accesses(method: str, length: int) -> int:
    """Off-chip accesses of Fig 3, prefill."""
    row = _PER_ROW.get(method, _DKL)
    return _WEIGHTS[method] + length * (2 * _HIDDEN.get(method, _DM) + 2 * row)


def printed_order_operations(order: str, length: int, batch: int) -> int:
    """Operations as Fig 2 draws them, with its slips."""
    if order == "1>3>2":
        return order_operations(order, length, batch)
    if order == "1>2>3":
        rows = _DH
        scores = _H * rows * _DKL * (length + 1)
        return batch * _H * _DQL * _DH + _H * rows * _DH * _DKL + scores
    return _H * _DQL * _DH * _DKL + _H * _DQL * _DKL + batch * _H * _DKL * (length + 1)


def order_operations(order: str, length: int, batch: int) -> int:
    """Operations of Fig 2 without its slips."""
    if order == "1>3>2":
        keys = _H * _DKL * _DH * (length + 1)
        return batch * (_H * _DQL * _DH + keys + _H * _DH * (length + 1))
    if order == "1>2>3":
        return batch * _H * (_DQL * _DH + _DH * _DKL + _DKL * (length + 1))
    return _H * _DQL * _DH * _DKL + batch * (_H * _DQL * _DKL + _H * _DKL * (length + 1))


def traffic_crossing() -> float:
    """Operations per element above which MLA_rc beats MLA_ru when times add up, at any L."""
    return _DQL * _DH * _DKL / (_DQL * _DKL - _DQL * _DH - _DH * _DKL)


def energy_crossing(picojoules_per_element: float) -> float:
    """TOPS/W above which MLA_rc needs less energy than MLA_ru, at any L."""
    return traffic_crossing() / picojoules_per_element
