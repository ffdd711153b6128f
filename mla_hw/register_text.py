"""Documentation page and C header of the register map."""

from collections.abc import Iterable, Mapping

from mla_hw.registers import (
    CACHES,
    ERRORS,
    POSITIONS,
    REGISTER_ADDRESS_BITS,
    Access,
    Register,
    registers,
)

__all__ = ["registers_header", "registers_markdown"]


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    head = list(head)
    lines = [head, ["---"] * len(head), *map(list, rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def _reset(item: Register, constants: Mapping[str, int]) -> int | None:
    return constants.get(item.name) if item.reset is None else item.reset


def registers_markdown(constants: Mapping[str, int] | None = None, query_rows: int = 1) -> str:
    """Return the documentation page of the register map.

    Parameters
    ----------
    constants : mapping or None
        Of a core, from :func:`~mla_hw.registers.core_constants`; None for the page of all cores.
    query_rows : int
        Of the core.
    """
    items = registers(query_rows)
    resets = {item.name: _reset(item, constants or {}) for item in items}
    lines = [
        "# Registers",
        "",
        f"AXI4-Lite, 32 data bits, {REGISTER_ADDRESS_BITS} address bits. Anything else than the "
        "registers below answers with SLVERR, as",
        "does a write to a register that cannot be written (now). Byte strobes are honoured.",
        "",
        f"A core with several query rows has `position_r` at 0x{POSITIONS:03x} + 4·r and "
        f"`base_cache_r` at 0x{CACHES:03x} + 4·r, too, for each",
        "row r behind row 0, to which `position` and `base_cache` belong.",
        "",
        *_table(
            ("address", "name", "access", "reset", "meaning"),
            (
                (
                    f"0x{item.address:03x}",
                    f"`{item.name}`",
                    item.access.value,
                    "of the core" if (value := resets[item.name]) is None else f"0x{value:x}",
                    item.doc,
                )
                for item in items
            ),
        ),
        "",
        "## Fields",
        "",
        *_table(
            ("register", "bits", "field", "meaning"),
            (
                (
                    f"`{item.name}`",
                    f"{field.lsb + field.width - 1}:{field.lsb}"
                    if field.width > 1
                    else str(field.lsb),
                    f"`{field.name}`",
                    field.doc,
                )
                for item in items
                for field in item.fields
            ),
        ),
        "",
        "## Error codes",
        "",
        *_table(
            ("code", "name", "meaning"),
            ((str(int(code)), f"`{code.name}`", doc) for code, doc in ERRORS.items()),
        ),
    ]
    return "\n".join(lines) + "\n"


def registers_header(
    prefix: str = "MLA", constants: Mapping[str, int] | None = None, query_rows: int = 1
) -> str:
    """Return a C header with addresses, constants, field positions, masks and error codes.

    Parameters
    ----------
    prefix : str
        In front of every name, and in the include guard.
    constants : mapping or None
        As for :func:`registers_markdown`; None leaves out what the core says.
    query_rows : int
        Of the core.
    """
    guard = f"{prefix}_REGISTERS_H"
    lines = [f"#ifndef {guard}", f"#define {guard}", ""]
    for item in registers(query_rows):
        name = f"{prefix}_{item.name.upper()}"
        lines += [
            f"/* {item.doc} ({item.access.value}) */",
            f"#define {name} 0x{item.address:03x}u",
        ]
        if item.words > 1:
            lines.append(f"#define {name}_WORDS {item.words}")
        if item.access is Access.RO and (value := _reset(item, constants or {})):
            suffix = "u" if item.words == 1 else "ull"
            lines.append(f"#define {name}_RESET 0x{value:0{8 * item.words}x}{suffix}")
        for field in item.fields:
            mask = ((1 << field.width) - 1) << field.lsb
            lines += [
                f"#define {name}_{field.name.upper()}_LSB {field.lsb}",
                f"#define {name}_{field.name.upper()}_MASK 0x{mask:08x}u",
            ]
        lines.append("")
    for code, doc in ERRORS.items():
        lines.append(f"#define {prefix}_ERROR_{code.name} {int(code)} /* {doc} */")
    lines += ["", f"#endif /* {guard} */"]
    return "\n".join(lines) + "\n"
