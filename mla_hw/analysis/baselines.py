"""What MLA is compared with: multi-head attention, also at the same size, and grouped queries."""

import math
from dataclasses import replace

from mla_hw.config import ModelConfig, RopeConfig
from mla_hw.errors import ConfigError
from mla_hw.fields import did_you_mean
from mla_hw.graph import MLA_SCHEMES, DecodeGraph, build_graph

__all__ = ["ANALYSIS_SCHEMES", "MHA_SCALED", "analysis_graph", "parameters", "scaled_mha"]

#: Multi-head attention of as many parameters as MLA, by smaller hidden state and heads.
MHA_SCALED = "mha-scaled"
#: Schemes that can be analysed.
ANALYSIS_SCHEMES = (*MLA_SCHEMES, "mha", MHA_SCALED, "gqa")


def analysis_graph(config: ModelConfig, scheme: str, *, rope: bool = True) -> DecodeGraph:
    """Build the graph of a scheme of :data:`ANALYSIS_SCHEMES`.

    Raises
    ------
    ConfigError
        For an unknown scheme.
    """
    if scheme not in ANALYSIS_SCHEMES:
        raise ConfigError(
            f"--schemes: must be of {', '.join(ANALYSIS_SCHEMES)}, not {scheme!r}"
            f"{did_you_mean(scheme, ANALYSIS_SCHEMES)}"
        )
    if scheme == MHA_SCALED:
        return build_graph(scaled_mha(config, rope=rope), "mha", rope=rope)
    return build_graph(config, scheme, rope=rope)


def parameters(graph: DecodeGraph) -> int:
    """Count the stored weights of a layer, gains of the norms left out.

    The precomputed product of ``reuse`` is read instead of the weights that it is made of, so it
    counts in their place.
    """
    return graph.weight_elements()


def scaled_mha(config: ModelConfig, *, rope: bool = True) -> ModelConfig:
    """Shrink hidden size and head dimensions until multi-head attention has MLA's parameters.

    Both shrink by the same factor, the number of heads stays: MHA_s of arXiv 2506.02523, Table 1.
    """
    ratio = parameters(build_graph(config, rope=rope)) / parameters(
        build_graph(config, "mha", rope=rope)
    )
    factor = math.sqrt(ratio)

    def shrink(size: int, unit: int = 1) -> int:
        return max(unit, int(size * factor) // unit * unit)

    return replace(
        config,
        hidden_size=shrink(config.hidden_size),
        qk_nope_head_dim=shrink(config.qk_nope_head_dim),
        # Rotated channels come in pairs.
        qk_rope_head_dim=shrink(config.qk_rope_head_dim, 2),
        v_head_dim=shrink(config.v_head_dim),
        # Factors of RoPE are listed per pair, and are nothing that is counted.
        rope=RopeConfig(),
    )
