"""Size of the key-value cache per token and layer, and what is said about it."""

from collections.abc import Iterable
from dataclasses import dataclass

from mla_hw.analysis.baselines import analysis_graph
from mla_hw.analysis.machine import BF16
from mla_hw.config import ModelConfig
from mla_hw.graph import kv_groups
from mla_hw.hardware import HardwareConfig, cache_row_bytes, padded

__all__ = ["BASELINES", "CLAIMS", "CacheSize", "Claim", "cache_size", "claim_lines"]

#: What MLA's cache is compared with. A quantised cache against an unquantised one is no merit of
#: MLA alone, but articles mix the two.
BASELINES = ("mha", "gqa", "mha bf16 : int8", "gqa bf16 : int8")


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheSize:
    """Cache of one token in one layer.

    Parameters
    ----------
    model : str
    groups : int
        Groups of ``gqa``.
    mla, mha, gqa : int
        Elements.
    stored_bytes : int
        Of MLA as the core stores it: int8, a scale, and padding to port and array.
    """

    model: str
    groups: int
    mla: int
    mha: int
    gqa: int
    stored_bytes: int

    def baseline_elements(self, baseline: str) -> int:
        """Return the elements of multi-head or grouped-query attention."""
        return self.mha if baseline.startswith("mha") else self.gqa

    def ratio(self, baseline: str) -> float:
        """Return how many times the baseline's cache is larger."""
        elements = self.baseline_elements(baseline)
        if ":" in baseline:
            return elements * BF16.cache / self.stored_bytes
        return elements / self.mla


def cache_size(name: str, config: ModelConfig, hardware: HardwareConfig) -> CacheSize:
    """Count a model's cache, from the graphs."""
    mla, mha, gqa = (
        analysis_graph(config, scheme).cache_elements(1) for scheme in ("absorb", "mha", "gqa")
    )
    columns = hardware.columns
    row = padded(config.kv_lora_rank, columns) + padded(config.qk_rope_head_dim, columns)
    return CacheSize(
        model=name,
        groups=kv_groups(config.num_attention_heads),
        mla=mla,
        mha=mha,
        gqa=gqa,
        stored_bytes=cache_row_bytes(row, columns, hardware.port_bytes),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A number that articles give for MLA's cache.

    Parameters
    ----------
    text : str
    least, most : float
        Ratios of the baseline's cache to MLA's that the text fits.
    elements : tuple of (int, int) or None
        Elements of baseline and MLA, where the text has them.
    exceeded : bool
        Whether a larger ratio is more than was claimed, and not another claim.
    """

    text: str
    least: float
    most: float
    elements: tuple[int, int] | None = None
    exceeded: bool = False

    def holds(self, size: CacheSize, baseline: str) -> bool:
        """Return whether it fits a model and a baseline."""
        if self.elements is not None and ":" not in baseline:
            return self.elements == (size.baseline_elements(baseline), size.mla)
        return self.elements is None and self.least <= size.ratio(baseline) <= self.most

    def cases(self, sizes: Iterable[CacheSize]) -> list[tuple[str, str]]:
        """Return models and baselines that it fits."""
        return [
            (size.model, baseline)
            for baseline in BASELINES
            for size in sizes
            if self.holds(size, baseline)
        ]


#: A saving of s is a ratio of 1 / (1 − s); "up to" is kept by everything below, too.
CLAIMS = (
    Claim(text="70 to 80 % less", least=1 / 0.3, most=1 / 0.2),
    Claim(text="8192 against 2856 units", least=2.87, most=2.87, elements=(8192, 2856)),
    Claim(text="up to 16 times smaller", least=1, most=16, exceeded=True),
)


def claim_lines(sizes: Iterable[CacheSize]) -> list[str]:
    """Say of each claim which baselines and models it fits, and which exceed it."""
    sizes = list(sizes)
    lines = []
    for claim in CLAIMS:
        parts = [_listed(claim.cases(sizes)) or "none of these"]
        above = [
            (size.model, baseline)
            for baseline in BASELINES
            for size in sizes
            if claim.exceeded and size.ratio(baseline) > claim.most
        ]
        if above:
            parts.append(f"exceeded by {_listed(above)}")
        lines.append(f"“{claim.text}”: {'; '.join(parts)}")
    return lines


def _listed(cases: Iterable[tuple[str, str]]) -> str:
    models: dict[str, list[str]] = {}
    for model, baseline in cases:
        models.setdefault(baseline, []).append(model)
    return "; ".join(f"{name}: {', '.join(found)}" for name, found in models.items())
