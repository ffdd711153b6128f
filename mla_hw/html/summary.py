"""What the folder holds, at a glance."""

from mla_hw.html.facts import Facts
from mla_hw.html.markup import Column, Raw, Section, element, join, number, share, table

__all__ = ["summary_section"]

_MODEL = (
    ("hidden", "hidden_size"),
    ("heads", "num_attention_heads"),
    ("query rank", "q_lora_rank"),
    ("latent rank", "kv_lora_rank"),
    ("q/k without RoPE", "qk_nope_head_dim"),
    ("q/k with RoPE", "qk_rope_head_dim"),
    ("value", "v_head_dim"),
)


def summary_section(facts: Facts, warnings: int) -> Section:
    """Return the key figures, the model's dimensions and the versions.

    Parameters
    ----------
    facts : Facts
    warnings : int
        How many there are.
    """
    design, simulation = facts.design, facts.simulation
    core, model, manifest = design.core, design.model, design.manifest
    passes = len(manifest["passes"])
    rows = number(core.query_rows)
    if core.query_rows > 1:
        same = design.memory.same_sequence
        rows += ", consecutive tokens of one sequence" if same else ", one per sequence"
    entries: list[tuple[str, object]] = [
        ("model", f"{model.model_type}, layer {manifest['layer']}"),
        ("scheme", design.scheme),
        ("board", f"{facts.board.name}, {facts.board.device}"),
        ("array", f"{core.rows}×{core.columns}, {number(core.rows * core.columns)} MAC per cycle"),
        ("memory port", f"{core.port_bytes} bytes per cycle"),
        ("context", f"{number(design.context)} tokens, tiles of {number(core.tile_tokens)}"),
        ("query rows", rows),
        ("head passes", number(passes)),
        ("program", f"{number(len(design.program))} instructions"),
        ("configuration hash", element("code", manifest["hash"])),
        ("weights hash", element("code", manifest["weights_hash"])),
    ]
    body = join((
        element("div", join(_cards(facts, warnings)), class_="cards"),
        element("dl", join(map(_entry, entries))),
        table(
            tuple(Column(title) for title, _ in _MODEL),
            [tuple(number(getattr(model, field)) for _, field in _MODEL)],
            caption="Dimensions of the layer",
        ),
        _tools("Generated with", manifest["tools"]),
        _tools("Simulated with", simulation.tools) if simulation else "",
    ))
    return Section("summary", "Summary", body)


def _entry(entry: tuple[str, object]) -> Raw:
    name, value = entry
    return join((element("dt", name), element("dd", value)))


def _cards(facts: Facts, warnings: int) -> list[Raw]:
    last, simulation = facts.last, facts.simulation
    figures = last.figures(facts.design)
    efficiency = sum(item.least_cycles for item in figures) / last.timeline.total
    verdict = "not simulated"
    if simulation:
        verdict = "yes" if simulation.bit_exact else "no"
    tokens = f"{number(simulation.tokens)} tokens" if simulation else "mla-hw simulate"
    return [
        _card(
            number(last.timeline.total),
            f"cycles predicted at the last position, {number(last.positions[0])} cached tokens",
        ),
        _card(share(efficiency), "of the roofline there"),
        _card(verdict, f"bit-exact ({tokens})", kind=None if verdict == "yes" else "doubt"),
        _card(
            element("a", number(warnings), href="#warnings"),
            "warning" if warnings == 1 else "warnings",
            kind="doubt" if warnings else None,
        ),
    ]


def _card(value: object, text: str, kind: str | None = None) -> Raw:
    classes = f"card {kind}" if kind else "card"
    return element("div", join((element("b", value), element("span", text))), class_=classes)


def _tools(title: str, tools: dict[str, str]) -> Raw:
    versions = ", ".join(f"{name} {version}" for name, version in tools.items())
    return element("p", f"{title} {versions}.", class_="hint")
