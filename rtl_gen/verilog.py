"""Readable Verilog: one file per unit family, equal modules written once."""

import re
from collections import defaultdict
from pathlib import Path

from amaranth.back import verilog
from amaranth.hdl import ClockDomain
from amaranth.lib import wiring

__all__ = ["emit_verilog", "instantiation_template", "port_table"]

#: Modules written by hand, one per file of the same name, for what one family does better.
_PRIMITIVES = Path(__file__).parent / "primitives"
_MODULE = re.compile(r"^module (?P<name>\\\S+ |\w+)\s*\(.*?^endmodule\n", re.MULTILINE | re.DOTALL)
_INSTANCE = re.compile(r"^  (?P<module>\\\S+ |\w+) (?P<instance>\\\S+ |\w+) \($", re.MULTILINE)
_INITIAL = re.compile(r"^  initial begin\n(?P<lines>(?:    .*;\n)+)  end\n", re.MULTILINE)
_ZERO = re.compile(r"    (?P<memory>\\\S+ |\w+)\[(?P<index>\d+)\] = (?P<value>\d+'h0+);\n")
_DUMMY = re.compile(r"\\\$auto\$verilog_backend\.cc:\d+:dump_module(\$\d+)? ")
# Amaranth calls the elements of an array `x[0]`, `x[1]`, …; Yosys takes these names for bits of x.
_ELEMENT = re.compile(r"\\[^\s]*\[\d+\][^\s]* ")
_ATTRIBUTE = re.compile(r"^ *\(\* (top|generator|src) = .*? \*\)\n", re.MULTILINE)


def emit_verilog(component: wiring.Component, *, name: str) -> dict[str, str]:
    """Convert a component to Verilog files.

    Modules that Amaranth emits once per instance but that are equal become one, named after the
    instance path without indices. A file holds one submodule of the top with what is below it.

    Parameters
    ----------
    component : wiring.Component
        Its clock domain ``sync`` has no reset; a port ``rst`` is the component's own.
    name : str
        Name of the top module.

    Returns
    -------
    dict
        Text by file name, ``<name>.v`` first, the primitives that are instantiated last.
    """
    text = verilog.convert(
        component, name=name, emit_src=False, missing_domain=_domain_without_reset
    )
    modules = {
        match["name"].strip().lstrip("\\"): _tidy(match[0]) for match in _MODULE.finditer(text)
    }
    modules = _merge(modules, name)
    files: dict[str, list[str]] = defaultdict(list)
    families = _families(modules, name)
    for module, body in modules.items():
        files[families[module]].append(body)
    order = [name, *sorted(family for family in files if family != name)]
    texts = {f"{family}.v": "\n".join(files[family]) for family in order}
    primitives = {
        path.name: path.read_text(encoding="utf-8")
        for path in sorted(_PRIMITIVES.glob("*.v"))
        if any(re.search(rf"^  {path.stem} #", text, re.MULTILINE) for text in texts.values())
    }
    return {**texts, **primitives}


def _domain_without_reset(name: str) -> ClockDomain:
    return ClockDomain(name, reset_less=True)


def _tidy(body: str) -> str:
    """Drop attributes, clear memories in a loop, rename what tools misread."""
    body = _ATTRIBUTE.sub("", body)
    body = _DUMMY.sub("evaluate_at_start", body)
    body = _ELEMENT.sub(lambda match: re.sub(r"\[(\d+)\]", r".\1", match[0]), body)
    return _INITIAL.sub(_clear_loop, body)


def _clear_loop(match: re.Match[str]) -> str:
    lines = match["lines"].splitlines(keepends=True)
    zeros = [_ZERO.fullmatch(line) for line in lines]
    first = zeros[0]
    if first is None or any(zero is None for zero in zeros):
        return match[0]
    memory = first["memory"]
    counter = re.sub(r"\W", "_", memory.strip().lstrip("\\")) + "_index"
    # Nothing is read before it has been written, and Yosys would unroll the loop.
    return (
        "`ifndef SYNTHESIS\n"
        f"  integer {counter};\n"
        f"  initial for ({counter} = 0; {counter} < {len(lines)}; {counter} = {counter} + 1)\n"
        f"    {memory}[{counter}] = {first['value']};\n"
        "`endif\n"
    )


def port_table(component: wiring.Component) -> dict[str, dict[str, str | int]]:
    """Direction and width of every port by its Verilog name, the clock included."""
    ports: dict[str, dict[str, str | int]] = {"clk": {"direction": "input", "width": 1}}
    for path, member, value in component.signature.flatten(component):
        width = len(value.as_value() if hasattr(value, "as_value") else value)
        direction = "output" if member.flow is wiring.Out else "input"
        ports["__".join(str(part) for part in path)] = {"direction": direction, "width": width}
    return ports


def _merge(modules: dict[str, str], top: str) -> dict[str, str]:
    """Write equal modules once, bottom up, and name them without indices."""
    chosen: dict[str, str] = {}  # old name -> new name
    bodies: dict[str, str] = {}  # new name -> text
    by_text: dict[str, str] = {}

    def visit(name: str) -> str:
        if name in chosen:
            return chosen[name]

        def rename(match: re.Match[str]) -> str:
            module = match["module"].strip().lstrip("\\")
            if module not in modules:
                return match[0]
            return f"  {visit(module)} {match['instance']} ("

        body = _INSTANCE.sub(rename, modules[name])
        head = re.compile(rf"^module (?:\\{re.escape(name)} |{re.escape(name)})\s*\(", re.MULTILINE)
        body = head.sub("module @(", body, count=1)
        if name != top and body in by_text:
            chosen[name] = by_text[body]
            return chosen[name]
        new = top if name == top else _unique(_plain(name, top), bodies)
        chosen[name] = by_text[body] = new
        bodies[new] = body.replace("module @(", f"module {new}(", 1)
        return new

    visit(top)
    return {top: bodies.pop(top), **bodies}


def _plain(name: str, top: str) -> str:
    """``accelerator.array.pe_3_7`` becomes ``array_pe``."""
    parts = [re.sub(r"(_\d+|\$\d+)+$", "", part) for part in name.split(".") if part != top]
    return re.sub(r"\W", "_", "_".join(parts[-2:]))


def _unique(name: str, taken: dict[str, str]) -> str:
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name}_v{number}", number + 1
    return candidate


def _families(modules: dict[str, str], top: str) -> dict[str, str]:
    """Assign each module to the first submodule of the top that uses it."""
    families = {top: top}

    def assign(module: str, family: str) -> None:
        for match in _INSTANCE.finditer(modules[module]):
            child = match["module"].strip()
            if child in modules and child not in families:
                families[child] = family or child
                assign(child, families[child])

    # Breadth first at the top, so that a family is named after what the top instantiates.
    for match in _INSTANCE.finditer(modules[top]):
        child = match["module"].strip()
        if child in modules:
            families.setdefault(child, child)
    for module in list(families):
        if module != top:
            assign(module, families[module])
    return families


def instantiation_template(ports: dict[str, dict[str, str | int]], name: str) -> str:
    """Return Verilog text that instantiates the top with one wire per port."""
    wires, connections = [], []
    for port, entry in ports.items():
        width = int(entry["width"])
        size = f"[{width - 1}:0] " if width > 1 else ""
        wires.append(f"wire {size}{port};  // {entry['direction']}\n")
        connections.append(f"    .{port}({port})")
    joined = ",\n".join(connections)
    return f"{''.join(wires)}\n{name} {name} (\n{joined}\n);\n"
