"""GTKWave save file: the signals that tell most, in groups."""

from sim.bench import ENGINES, TOP, CoreBench

__all__ = ["save_file", "signals"]

_TAG_BITS = 16
_HEX, _BIT, _DECIMAL, _COMMENT = "@22", "@28", "@24", "@200"
_PORT = {
    "ar": ("valid", "ready", "addr", "len"),
    "r": ("valid", "ready", "last", "data"),
    "aw": ("valid", "ready", "addr", "len"),
    "w": ("valid", "ready", "last", "data"),
    "b": ("valid", "ready", "resp"),
}


def signals(bench: CoreBench) -> dict[str, list[tuple[str, int]]]:
    """Return groups of signals: name below the simulation's top, and width."""
    core = "dut."
    groups = {
        "Run": [
            ("token", 32),
            ("cycle", 64),
            (core + bench.start, 1),
            (core + bench.halt, 1),
            ("interrupt", 1),
        ]
    }
    for engine, queue in zip(ENGINES, bench.queues, strict=False):
        groups[f"Engine: {engine}"] = [
            (f"{core}{queue}.start", 1),
            (f"{core}{queue}.start_tag", _TAG_BITS),
            (f"{core}{queue}.end", 1),
            (f"{core}{queue}.end_tag", _TAG_BITS),
        ]
    for group, members in bench.watched.items():
        groups[group] = [(core + name, width) for name, width in members]
    groups["Memory port"] = [
        (name, bench.ports[name].width)
        for channel, members in _PORT.items()
        for member in members
        if (name := f"memory__{channel}__{member}") in bench.ports
    ]
    groups["Control port"] = [
        (name, port.width) for name, port in bench.ports.items() if name.startswith("control__")
    ]
    return groups


def save_file(bench: CoreBench) -> str:
    """Return the text of a save file; GTKWave opens it beside ``waves.fst``."""
    lines = ['[dumpfile] "waves.fst"', "[timestart] 0"]
    for group, members in signals(bench).items():
        lines += [_COMMENT, f"-{group}"]
        for name, width in members:
            if width == 1:
                lines += [_BIT, f"{TOP}.{name}"]
            else:
                counts = name.split(".")[-1] in ("token", "cycle") or name.endswith("_tag")
                lines += [_DECIMAL if counts else _HEX, f"{TOP}.{name}[{width - 1}:0]"]
    return "\n".join(lines) + "\n"
