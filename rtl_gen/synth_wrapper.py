"""Adapter that lets the core be synthesised alone: four pins in place of hundreds of ports."""

from collections.abc import Iterable, Sequence

from mla_hw.errors import ConfigError

__all__ = ["WRAPPER_NAME", "wrapper_verilog"]

WRAPPER_NAME = "synth_wrapper"

HEADER = """\
// Adapter for synthesis and placement. Every input of the core comes from its own bit of a shift
// register, every output goes into its own bit of a signature register, so that nothing of the core
// is optimised away, and all paths to and from it are as short as between registers.
module {name} (
    input wire clk,
    input wire rst,
    input wire scan_in,
    output reg scan_out
);
"""
RESET = """\
    reg [1:0] reset_sync;
    {edge} reset_sync <= {{reset_sync[0], rst}};
"""


def wrapper_verilog(
    ports: Iterable[tuple[str, str, int]],
    *,
    core: str = "accelerator",
    name: str = WRAPPER_NAME,
    clock: str = "clk",
    reset: str = "rst",
    buffer_sites: Sequence[str] = (),
) -> str:
    """Write the Verilog module that wraps the core.

    The module has the ports ``clk``, ``rst``, ``scan_in`` and ``scan_out``. A bit of the core's
    input costs one flip-flop, a bit of its output one flip-flop and one look-up table; no net of
    the adapter but clock and reset drives more than one bit of it.

    Parameters
    ----------
    ports : iterable of (str, str, int)
        Name, direction (``"input"`` or ``"output"``) and width in bits of each port of the core.
        Clock and reset may be among them or not.
    core : str
        Module name of the core.
    name : str
        Module name of the adapter.
    clock, reset : str
        Names of the core's clock and (active high, synchronous) reset.
    buffer_sites : sequence of str
        nextpnr's names of clock buffers of a Nexus behind the pin; the first one makes the clock.

    Returns
    -------
    str
        Verilog-2001 text.

    Raises
    ------
    ConfigError
        If a direction or a width is not valid, or the core has no output.
    """
    driver = "buffered" if buffer_sites else "clk"
    edge = f"always @(posedge {driver})"
    connections = [f".{clock}({driver})", f".{reset}(reset_sync[1])"]
    widths = {"input": 0, "output": 0}
    registers = {"input": "stimulus", "output": "response"}
    for port, direction, width in ports:
        if port in (clock, reset):
            continue
        if direction not in widths:
            raise ConfigError(f"Port {port!r}: expected input or output, not {direction!r}")
        if width < 0:
            raise ConfigError(f"Port {port!r}: expected a width of 0 or more bits, not {width}")
        if width == 0:
            continue
        low = widths[direction]
        widths[direction] += width
        connections.append(f".{port}({registers[direction]}[{low + width - 1}:{low}])")
    if not widths["output"]:
        raise ConfigError(f"Module {core!r} has no output, so nothing of it can be synthesised")

    text = HEADER.format(name=name)
    if buffer_sites:
        text += "    wire buffered;\n"
    for number, site in enumerate(buffer_sites):
        output = "" if number else driver
        text += (
            f'    (* keep, BEL = "{site}" *) '
            f"DCC buffer_{number} (.CLKI(clk), .CE(1'b1), .CLKO({output}));\n"
        )
    text += RESET.format(edge=edge)
    if widths["input"]:
        top = widths["input"] - 1
        text += f"    reg [{top}:0] stimulus;\n"
        text += f"    {edge} stimulus <= {_shifted('stimulus', top, 'scan_in')};\n"
    top = widths["output"] - 1
    text += f"    wire [{top}:0] response;\n"
    text += f"    reg [{top}:0] signature;\n"
    feed = f"stimulus[{widths['input'] - 1}]" if widths["input"] else "scan_in"
    text += f"    {edge} signature <= response ^ {_shifted('signature', top, feed)};\n"
    text += f"    {edge} scan_out <= signature[{top}];\n"
    listing = ",\n".join(f"        {connection}" for connection in connections)
    return f"{text}    {core} core (\n{listing}\n    );\nendmodule\n"


def _shifted(register: str, top: int, bit: str) -> str:
    """Return a register of ``top + 1`` bits moved up by one, with a new lowest bit."""
    return f"{{{register}[{top - 1}:0], {bit}}}" if top else bit
