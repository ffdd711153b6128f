"""Files for a design of the user's own, around the core's AXI ports."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mla_hw.design import Design
from mla_hw.hardware import BURST_BEATS, CoreConfig
from mla_hw.markdown import markdown_table
from mla_hw.program.image import REGIONS
from mla_hw.registers import REGISTER_ADDRESS_BITS
from rtl_gen.axi_wrapper import AXI_WRAPPER_NAME, axi_wrapper_verilog

if TYPE_CHECKING:
    from boards import Board

__all__ = ["integration_files"]

_CONSTRAINTS = """\
# Template for the core by itself ({name}), as it is synthesised out of context. In a design of your
# own the clock comes from there, and these lines are not needed.
create_clock -name aclk -period {period:.3f} [get_ports aclk]
# Everything else is synchronous to aclk. If the block that drives aresetn, m_axi or s_axi has
# another clock, put the tool's clock converter between them; do not cut these paths.
"""

_NOTES = """\
# The core in a design of your own

`verilog/{name}.v` is the top: the core with standard port names. Give the tool all files of
`verilog/` that end in `.v`; it needs no other sources. Memories are inferred. {multipliers}

| port | what it is | connect it to |
|---|---|---|
| `aclk` | the only clock; predictions count its cycles | {clock:g} MHz, or what timing allows |
| `aresetn` | synchronous reset, active low, at least 16 cycles | the reset block of that clock |
| `m_axi` | AXI4 manager, {data} bits of data, 32 of address | memory controller or interconnect |
| `s_axi` | AXI4-Lite subordinate, 32 bits, {window} bytes | processor or host bridge |
| `interrupt` | level, high until acknowledged | interrupt controller; or poll the status |

`m_axi` has one thread: no identifiers, everything in order. Bursts are incrementing, of whole
beats, at most {burst} beats, and never cross a multiple of {burst} beats, so no 4 KiB boundary.
`arcache` and `awcache` say bufferable, not cacheable: if a processor's cache lies in between, flush
it before a run and invalidate it after.

## In a block design

1. Make a block of `{name}` (Vivado: *Add Module*; other tools: a component of the Verilog). The two
   buses, clock and reset are recognised by their names.
2. Connect `m_axi` to the memory through an interconnect of the same width; a wider memory needs a
   width converter of the tool. Connect `s_axi` to the processor's or host's AXI4-Lite port.
3. Give `s_axi` any base address with {window} bytes. The memory may lie anywhere below 4 GiB: what
   the core reads is set in its base registers.
4. Image and cache, of {context} tokens, take {image} bytes of memory.
5. `constraints.sdc` is for synthesis of the block by itself.

## What the program on the processor does

1. Read `identity` and `hash` and compare them with `registers.h`: the core must be the one that
   this folder was generated for.
2. Copy `image.bin` to memory, any address that is a multiple of {align} bytes.
3. Write the base registers: that address plus the offset of the region in the table below.
{more_caches}4. Write `program_beats` = {beats} and `capacity` = {context}, or the core refuses a
   start.
5. For each token: write x, {x_shape} int16, to its region, and {positions}. x is the hidden state
   divided by `scales.x` of `manifest.json`, rounded; y times `scales.y` is the result.
6. Write `start` in `control`. Wait for `interrupt` (enable it in `interrupt_enable`, clear it by
   writing its bits to `interrupt_status`), or poll `status` until `running` is 0. `error_code` says
   what went wrong, if something did.
7. Read y, {x_shape} int16, from its region.

{regions}
Addresses and bits of all registers are in `registers.md` and `registers.h`.
"""


def integration_files(
    design: Design, board: "Board", ports: Mapping[str, Mapping[str, str | int]]
) -> dict[str, str]:
    """Return the files by path: wrapper, constraints and notes; none for a board with a memory.

    Parameters
    ----------
    design : Design
    board : Board
        Whose memory is behind the user's AXI port, or not.
    ports : mapping
        Of the core.
    """
    if board.memory.kind != "axi":
        return {}
    core, memory = design.core, design.memory
    notes = _NOTES.format(
        name=AXI_WRAPPER_NAME,
        clock=board.core_mhz,
        data=8 * core.port_bytes,
        window=1 << REGISTER_ADDRESS_BITS,
        burst=BURST_BEATS,
        image=memory.size,
        context=design.context,
        align=BURST_BEATS * core.port_bytes,
        beats=-(-memory.regions["program"].size // core.port_bytes),
        regions=_regions(design),
        **_multipliers(core),
        **_rows(design),
    )
    period = 1000 / board.core_mhz
    return {
        f"verilog/{AXI_WRAPPER_NAME}.v": axi_wrapper_verilog(ports),
        "constraints.sdc": _CONSTRAINTS.format(name=AXI_WRAPPER_NAME, period=period),
        "integration.md": notes,
    }


def _multipliers(core: CoreConfig) -> dict[str, str]:
    text = f"Multipliers are cells of the family {core.multiplier}."
    if core.multiplier == "portable":
        text = "Multipliers, too, with registers at both inputs and the output."
    return {"multipliers": text}


def _rows(design: Design) -> dict[str, str]:
    """Say what is different with several query rows."""
    rows, size = design.core.query_rows, design.model.hidden_size
    if rows == 1:
        return {"x_shape": str(size), "positions": "its position to `position`", "more_caches": ""}
    spread = 1 << design.core.spread_bits
    return {
        "x_shape": f"{rows} rows of {size} (of x, {spread} elements of each row in turn)",
        "positions": "the position of each row to `position`, `position_1`, …",
        "more_caches": "   The caches of the rows from 1 on, `base_cache_1` …, follow every "
        f"{design.memory.cache_stride} bytes.\n",
    }


def _regions(design: Design) -> str:
    """Return where the regions of every layer lie."""
    layers = [f"layer {number}" for number in design.layers]
    rows = (
        (f"`base_{name}`", *(f"{regions[name].offset:#x}" for regions in design.memory.layers))
        for name in REGIONS
    )
    return markdown_table(("register", *layers), rows)
